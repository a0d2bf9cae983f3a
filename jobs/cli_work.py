"""Commands that make something: sample, load and unload, run, serve."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli_session import AsJson, answer, day, say, session, table

if TYPE_CHECKING:
    from jobs.progress import Event
    from jobs.runner import RunReport
    from lakehouse.ingest.loading import Landed


def sample(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Where the files go: one per week, and the truth behind them in the folder truth.")],
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**63 - 1, help="One seed, the same bytes.")] = 7,
    weeks: Annotated[int, typer.Option("--weeks", min=1, max=1_000)] = 80,
    products: Annotated[int, typer.Option("--products", min=30, max=50_000, help="Products sold at first.")] = 300,
    customers: Annotated[int, typer.Option("--customers", min=10, max=5_000_000, help="Customers who ever come.")] = 800,
    stores: Annotated[int, typer.Option("--stores", min=1, max=500)] = 1,
    as_json: AsJson = False,
) -> None:
    """Write a believable shop's sales as weekly files, to try everything with."""
    from lakehouse.ingest.sample import write_sample

    truth = write_sample(folder, seed=seed, weeks=weeks, products=products, customers=customers, stores=stores)
    lines = sum(file.lines for file in truth.files)
    if as_json:
        answer({"folder": str(folder), "files": [str(folder / file.name) for file in truth.files], "lines": lines})
    else:
        print(f"{len(truth.files)} files with {lines:,} lines in {folder}. Load them with: zeromargin load {folder} --source canonical")


def load(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Raw files, or folders of them.")],
    source: Annotated[str, typer.Option("--source", metavar="NAME", help="Which entry of conf/base/sources.yml describes them.")],
    as_json: AsJson = False,
) -> None:
    """Land raw files in bronze, one commit each. What has landed before is not landed again, whatever its name.

    No customer number is kept, nor the files' names, which may hold one: a landed file is known by its SHA-256 (--json prints both).
    """
    from jobs.parts import parts
    from lakehouse.ingest import load as land
    from lakehouse.ingest import sources
    from lakehouse.ingest.beside import lacking

    landed = []
    with session(context).lake() as lake:
        try:
            for path in paths:
                landed += land(lake, path, source, progress=_tell_lines)
        finally:
            _end_progress()
        off, kept = parts(lake)
    if as_json:
        answer([asdict(file) for file in landed])
        return
    rows = [
        (
            file.file,
            file.digest[:12],
            "landed before" if file.already else f"{file.lines:,}",
            f"{file.accepted:,}",
            _counts(file.refused),
            file.version,
        )
        for file in landed
    ]
    table(
        f"Landed in bronze.sales from source {source}",
        ("file", "SHA-256", "lines", "accepted", "refused", "version"),
        rows,
        right=("lines", "accepted"),
    )
    print(_totals(landed))
    lacks = lacking(sum(file.unmatched for file in landed), sources.find(source, session(context).settings().profile))
    for file in landed:
        if file.doubt:
            print(f"{file.file}: {file.doubt}")
    if lacks:
        print(f"{lacks}: they have nothing of what it says")
    for one in [one for one in off if one.source == source]:
        print(one)
    for flags in [flags for flags in kept if flags.source == source]:
        print(flags)


def unload(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE|SHA-256", help="The file that landed, or the first characters of its SHA-256.")],
    as_json: AsJson = False,
) -> None:
    """Take a landed file's lines out of bronze again: one that the gate refuses, say. Only while no snapshot stands on them."""
    from lakehouse.ingest.unloading import unload as take_out

    with session(context).lake() as lake:
        gone = take_out(lake, file)
    if as_json:
        answer(asdict(gone))
    else:
        print(f"{gone.lines:,} lines of file {gone.digest[:12]} are out of bronze.sales (version {gone.version}). It may land again")


def run(
    context: typer.Context,
    stages: Annotated[list[str] | None, typer.Argument(metavar="[STAGE]...", help="Stages by name; left out, all of them.")] = None,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="DATE", help="The day that the run is told it is; left out, the day after the newest sale."),
    ] = None,
    engine: Annotated[
        str | None, typer.Option("--engine", metavar="sail|spark", help="The engine; left out, the one of the settings.")
    ] = None,
    from_bronze: Annotated[
        bool, typer.Option("--from-bronze", help="Make every table anew from what landed: for one that was lost, or to compare.")
    ] = False,
    drop_history: Annotated[
        list[str] | None,
        typer.Option(
            "--drop-history",
            metavar="TABLE",
            help="With --from-bronze: give up a table's older versions and their pins, as verify may say.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the stages from silver to predictions on what has landed. An unfinished run is gone on with."""
    from jobs.runner import run as run_stages
    from lakehouse.errors import UnknownName

    if engine not in (None, "sail", "spark"):
        raise UnknownName("engine", str(engine), ("sail", "spark"))
    report = run_stages(
        session(context).settings(engine), stages, as_of, from_bronze=from_bronze, progress=_tell, dropped=drop_history or ()
    )
    if as_json:
        answer(asdict(report))
    else:
        _show_run(report)


def serve(
    context: typer.Context,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Left out, serving.port of the settings.")] = None,
) -> None:
    """Answer forecasts, segments and recommendations over HTTP, until interrupted."""
    chosen = session(context).settings()
    place = {"ZEROMARGIN_HOME": str(chosen.home), "ZEROMARGIN_PROFILE": chosen.profile}
    # The service is a process of its own, which imports nothing of what runs the jobs.
    os.execve(sys.executable, [sys.executable, "-m", "serving", *([] if port is None else ["--port", str(port)])], {**os.environ, **place})


def _tell_lines(file: str, lines: int) -> None:
    """How far a load is: in a terminal one line that changes, elsewhere a line for each batch of lines."""
    if sys.stderr.isatty():
        print(f"\r\033[K{file}: {lines:,} lines", end="", file=sys.stderr, flush=True)
    else:
        say(f"{file}: {lines:,} lines")


def _end_progress() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _totals(landed: list[Landed]) -> str:
    """One line for all files: a shop's years are hundreds of them."""
    lines, accepted = sum(file.lines for file in landed), sum(file.accepted for file in landed)
    before = sum(file.already for file in landed)
    if before == len(landed):
        return f"Nothing is new: all {before:,} files had landed before" if before > 1 else "Nothing is new: this file had landed before"
    refused: dict[str, int] = {}
    for file in landed:
        for reason, count in file.refused.items():
            refused[reason] = refused.get(reason, 0) + count
    told = f"{len(landed) - before:,} of {len(landed):,} files landed: {lines:,} lines, {accepted:,} accepted, {lines - accepted:,} refused"
    if refused:
        told += f" ({_counts(dict(sorted(refused.items())))})"
    skipped = sum(file.skipped for file in landed)
    if skipped:
        told += f". {skipped:,} more are no sales, as the source says, and are not kept"
    return f"{told}. {before:,} had landed before" if before else told


def _tell(event: Event) -> None:
    """A run's progress, line by line, on standard error."""
    if event.step == "prepared":
        say(event.message)
        return
    head = f"[{event.number}/{event.total}] {event.stage}"
    words = {
        "started": "…",
        "skipped": "done before",
        "again": f"failed after {event.seconds:.1f} s, is tried again: {event.message.splitlines()[0] if event.message else ''}",
        "done": f"done in {event.seconds:.1f} s",
        "failed": f"failed after {event.seconds:.1f} s",
    }
    if event.step == "started" and sys.stderr.isatty():
        print(f"{head} …", end="\r", file=sys.stderr, flush=True)
    else:
        say(f"{head} {words[event.step]}")


def _show_run(report: RunReport) -> None:
    rows = [(stage.name, "done before" if stage.skipped else f"{stage.seconds:.1f} s", _result(stage.result)) for stage in report.stages]
    table(f"Run {report.run} as of {day(report.as_of)}", ("stage", "took", "result"), rows, right=("took",))
    if report.stages:
        print(f"Executed notebooks: {report.stages[0].notebook.parent}")
    if report.back_test:
        print("This run looked back to before the newest snapshot: it published nothing.")
    elif report.published:
        print(f"Published: snapshot {report.snapshot}")
    else:
        still = "nothing yet" if report.snapshot is None else f"snapshot {report.snapshot}"
        print(f"This run has published nothing yet: readers see {still}. Go on with: zeromargin run")
    if report.waiting:
        print(f"Files that landed after this run had begun, and are not in it: {report.waiting:,}. Take them in with: zeromargin run")


def _result(result: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in result.items() if isinstance(value, str | int | float | bool))


def _counts(refused: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in refused.items())
