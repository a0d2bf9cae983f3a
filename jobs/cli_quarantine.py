"""The commands `quarantine list, show, correct, release`: lines that were refused, and what somebody says they should have been."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from jobs.cli_session import AsJson, answer, day, say, session, table, text

app = typer.Typer(help="Lines that were refused: see them, correct them, let the corrected ones in.", no_args_is_help=False)
File = Annotated[str, typer.Argument(metavar="FILE", help="Digest of the file, or how it begins.")]
Line = Annotated[int, typer.Argument(metavar="LINE", min=1, help="Number of the line in it, the first line of data being 1.")]
HIDDEN = {"customer_key", "_run", "_known_at", "file_digest", "line_number", "reasons", "stage"}


@app.command("list")
def listed(
    context: typer.Context,
    reason: Annotated[str | None, typer.Option("--reason", help="Only lines refused for this.")] = None,
    every: Annotated[bool, typer.Option("--all", help="With those that were corrected.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many lines are shown at the most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Refused lines by reason, and those that nobody has corrected yet."""
    from lakehouse.quality import corrections

    with session(context).lake() as lake:
        counted = corrections.counts(lake)
        found = corrections.refused(lake, reason, None if every else corrections.OPEN, limit)
    if as_json:
        answer({"reasons": counted, "lines": [asdict(one) for one in found]})
        return
    table("", ("reason", "lines"), counted.items(), right=("lines",))
    rows = [
        (
            one.file[:12],
            one.line,
            one.stage,
            one.reasons,
            one.product_code,
            one.quantity,
            one.unit_price,
            one.amount,
            one.sold_at,
            one.state,
        )
        for one in found
    ]
    names = ("file", "data line", "by", "reasons", "product", "quantity", "price", "amount", "sold at", "state")
    if rows:
        table("\nLines", names, rows, right=("data line", "quantity", "price", "amount"))
    else:
        say(found.empty)


@app.command()
def show(context: typer.Context, file: File, number: Line, as_json: AsJson = False) -> None:
    """One refused line: what is known of it, why it was refused, and who corrected it."""
    from lakehouse.quality import config, corrections

    current = session(context)
    with current.lake() as lake:
        found, row, history = corrections.line(lake, file, number)
        about = {rule.name: rule.about for rule in config.load(lake.settings.profile).row_rules}
    known = {name: value for name, value in row.items() if name not in HIDDEN and value is not None}
    if as_json:
        answer({"line": asdict(found), "values": known, "corrections": [asdict(one) for one in history]})
        return
    by = "the door" if found.stage == "door" else found.stage
    print(f"line {found.line} of {found.file}, any header left out, refused by {by}, {found.state}")
    for reason in found.reasons:
        print(f"  {reason}" + (f": {about[reason]}" if reason in about else ""))
    for name, value in known.items():
        print(f"  {name:<16} {text(value)}")
    for one in history:
        changed = ", ".join(f"{name} {_was(known.get(name))} to {value or 'nothing'}" for name, value in one.values.items())
        landed = f"landed as {one.landed_as[:12]}…" if one.landed_as else one.state
        print(f"corrected by {one.by} ({day(one.proposed_at)} UTC): {changed}. Why: {one.why}; {landed}")


@app.command()
def correct(
    context: typer.Context,
    file: File,
    number: Line,
    changes: Annotated[list[str], typer.Option("--set", metavar="NAME=VALUE", help="What it should have said, such as quantity=3.")],
    by: Annotated[str, typer.Option("--by", metavar="WHO", help="Who says so.")],
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="What it is known from.")],
    as_json: AsJson = False,
) -> None:
    """Say what a refused line should have been. It waits until it is released."""
    from lakehouse.quality import corrections

    values = {}
    for change in changes:
        name, mark, value = change.partition("=")
        if not mark:
            raise typer.BadParameter(f'"{change}" is not NAME=VALUE')
        if name.strip() in values:
            raise typer.BadParameter(f"{name.strip()} is said twice. Say it once")
        values[name.strip()] = value.strip()
    with session(context).lake() as lake:
        made = corrections.correct(lake, file, number, values, by, why)
    if as_json:
        answer(asdict(made))
    else:
        print(f"line {made.line} of {made.file[:12]}… would pass so. Let it in with: zeromargin quarantine release")


@app.command()
def withdraw(context: typer.Context, file: File, number: Line) -> None:
    """Take back what was said of a line, as long as it waits."""
    from lakehouse.quality import corrections

    with session(context).lake() as lake:
        gone = corrections.withdraw(lake, file, number)
    print(f"what {gone.by} said of line {gone.line} of {gone.file[:12]}… is withdrawn")


@app.command()
def release(
    context: typer.Context,
    file: Annotated[str | None, typer.Argument(metavar="[FILE]", help="Only corrections of this file's lines.")] = None,
    number: Annotated[int | None, typer.Argument(metavar="[LINE]", help="Only that of this line.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let the corrected lines in, as lines of their own. The next run reads them."""
    from lakehouse.quality import corrections

    with session(context).lake() as lake:
        done = corrections.release(lake, file, number)
    if as_json:
        answer(asdict(done))
        return
    print(f"{done.lines:,} corrected lines landed as {done.digest[:12]}…, bronze.sales version {done.version}")
    if done.left:
        say(f"{done.left:,} wait on: their lines are not in quarantine any more")
    say("They are published by the next run: zeromargin run")


def _was(value: object) -> str:
    return "from nothing" if value is None else f"from {text(value)}"
