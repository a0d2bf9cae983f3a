"""The command line: parses, calls, and maps errors to exit codes. 0: done, 1: failed, 2: wrong use, 70: a defect of ours, 130:
interrupted.

Answers go to standard output, everything else to standard error.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import TyperException

from jobs import cli_audit, cli_backup, cli_keep, cli_quarantine, cli_schedule, cli_show, cli_sources, cli_vault, cli_work
from jobs.cli_session import INTERRUPTED, Session, reporting, say

app = typer.Typer(
    name="zeromargin",
    help="Raw retail sales in; governed, reproducible forecasts, segments and recommendations out.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
GLOBAL_VALUES, GLOBAL_FLAGS = ("--home", "--profile"), ("--debug",)

COMMANDS: dict[str, Callable[..., None]] = {
    "sample": cli_work.sample,
    "load": cli_work.load,
    "unload": cli_work.unload,
    "run": cli_work.run,
    "status": cli_show.status,
    "tables": cli_show.tables,
    "show": cli_show.show,
    "sql": cli_show.sql,
    "history": cli_show.history,
    "digest": cli_show.digest,
    "models": cli_show.models,
    "snapshots": cli_keep.snapshots,
    "diff": cli_keep.diff,
    "audit": cli_audit.audit,
    "restore": cli_keep.restore,
    "pin": cli_keep.pin,
    "unpin": cli_keep.unpin,
    "pins": cli_keep.pins,
    "maintain": cli_keep.maintain,
    "verify": cli_keep.verify,
    "backup": cli_backup.backup,
    "restore-backup": cli_backup.restore_backup,
    "schedule": cli_schedule.schedule,
    "serve": cli_work.serve,
}


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option("--home", metavar="DIR", help="Holds everything that is written. Left out: ZEROMARGIN_HOME, or ~/.zeromargin."),
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="NAME", help="A folder of conf/. Left out: ZEROMARGIN_PROFILE, or local.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    context.obj = Session(home, profile, debug)
    if context.invoked_subcommand is None:
        say(f"Error: a command is missing. Commands: {', '.join(COMMANDS)}\nSee: zeromargin --help")
        raise typer.Exit(2)


for name, command in COMMANDS.items():
    app.command(name)(command)
app.add_typer(cli_sources.app, name="sources")
app.add_typer(cli_quarantine.app, name="quarantine")
app.add_typer(cli_vault.app, name="vault")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    given = globals_first(sys.argv[1:] if arguments is None else arguments)
    code = 0

    def work() -> None:
        nonlocal code
        try:
            code = app(args=given, prog_name="zeromargin", standalone_mode=False) or 0
        except TyperException as error:
            say(f"Error: {error.format_message()}\nSee: zeromargin --help")
            code = error.exit_code
        if code == INTERRUPTED:
            raise KeyboardInterrupt

    # A scheduler ends a command with SIGTERM: the lease is let go of and children are ended, as on Ctrl-C.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return reporting(work, debug="--debug" in given) or code
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def globals_first(arguments: Sequence[str]) -> list[str]:
    """The options of every command may stand anywhere: `status --home DIR` is `--home DIR status`."""
    front: list[str] = []
    rest: list[str] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        if word == "--":
            rest += [word, *left]
            break
        if word in GLOBAL_FLAGS or word.startswith(tuple(f"{name}=" for name in GLOBAL_VALUES)):
            front.append(word)
        elif word in GLOBAL_VALUES:
            front += [word, *left[:1]]
            left = left[1:]
        else:
            rest.append(word)
    return [*front, *rest]


if __name__ == "__main__":
    sys.exit(main())
