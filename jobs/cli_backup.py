"""The commands backup and restore-backup."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli_session import AsJson, answer, say, session, size

if TYPE_CHECKING:
    from lakehouse.registry.backup import BackedUp


def backup(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the backup goes; it must be empty, or not be there yet.")],
    without_secrets: Annotated[
        bool, typer.Option("--without-secrets", help="Leave out the vault's secret and the signing key, which are then kept elsewhere.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy the home as one consistent set of files, while nobody writes. It holds the vault: keep it as you keep that."""
    from lakehouse.registry.backup import backup as take
    from lakehouse.registry.verifying import surroundings

    with session(context).lake() as lake:
        found = take(lake, folder, secrets=not without_secrets, progress=_tell)
        broken = [one for one in surroundings(lake) if not one.whole]
    _show(found, f"Backed up {found.home} (snapshot {found.snapshot or 'none'}) in {found.folder}", as_json)
    for one in broken:
        say(f"What was backed up is not whole. {one.kind.capitalize()} of {one.name}: {one.found}")
    if broken:
        say("Keep the last backup in which it was. All that is broken: zeromargin verify")


def restore_backup(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A backup.")],
    as_json: AsJson = False,
) -> None:
    """Make a new home (--home DIR) of a backup, every file held to its SHA-256."""
    from lakehouse.registry.backup import restore_backup as bring_back

    home = session(context).settings().home
    found = bring_back(folder, home, progress=_tell)
    _show(found, f"{home} is what {found.home} was at {found.taken_at:%Y-%m-%d %H:%M} UTC (snapshot {found.snapshot or 'none'})", as_json)


def _show(found: BackedUp, said: str, as_json: bool) -> None:
    if as_json:
        answer(asdict(found))
        return
    print(f"{said}: {found.files:,} files, {size(found.bytes)}")
    if found.left_out:
        print(f"Not in it, and to be kept in another way: {', '.join(found.left_out)}")
    print("What conf/ says (sources, rules, the timetable) is the checkout's, not the home's: keep it with the code")


def _tell(done: int, of: int) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{done:,} of {of:,} files", end="" if done < of else "\r\033[K", file=sys.stderr, flush=True)
    elif done == of:
        say(f"{of:,} files")
