"""The commands `sources list` and `sources check`: retailers' files, as sources.yml describes them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from jobs.cli_session import AsJson, answer, day, session, table

if TYPE_CHECKING:
    from lakehouse.errors import InputError
    from lakehouse.ingest.checking import Understood
    from lakehouse.ingest.sources import Source

app = typer.Typer(help="Retailers' files: which are described, and what a description makes of a file.", no_args_is_help=False)


@app.command("list")
def listed(context: typer.Context, as_json: AsJson = False) -> None:
    """Every source that sources.yml describes."""
    from lakehouse.ingest import sources

    found = [_told(name, one) for name, one in sources.every(session(context).settings().profile).items()]
    if as_json:
        answer(found)
    else:
        rows = [(one["name"], one["fault"] or one["about"], ", ".join(one["formats"]), ", ".join(one["fields"])) for one in found]
        table("", ("source", "about, or what is wrong with it", "files", "fields"), rows)


@app.command()
def check(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of sales.")],
    source: Annotated[
        str | None, typer.Option("--source", metavar="NAME", help="Left out: a draft of an entry for sources.yml is guessed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a source understands of a file, which lines would be refused, and which silver would send to quarantine or leave out as repeats; for
    an unknown file, guess an entry. Nothing is loaded."""
    from lakehouse.errors import InputError
    from lakehouse.ingest import sources
    from lakehouse.ingest.checking import check as look
    from lakehouse.ingest.guessing import draft
    from lakehouse.medallion.trial import settled
    from lakehouse.quality import config

    if not file.is_file():
        raise InputError(f"there is no file {file}")
    settings = session(context).settings()
    oldest = datetime.fromisoformat(settings.door.oldest)
    settle = partial(settled, rules=config.load(settings.profile).row_rules)
    if source is None:
        guessed = draft(file, oldest=oldest, settle=settle)
        if as_json:
            answer({"draft": guessed})
        else:
            print(guessed, end="")
        return
    found = look(file, sources.find(source, settings.profile), oldest, settle=settle)
    if as_json:
        answer({**asdict(found), "good_for": good_for(found)})
    else:
        _show(found)


def good_for(found: Understood) -> dict[str, str | None]:
    """What a lake of nothing but such files would answer, and why it would not (None where it would, given enough history)."""
    from jobs.parts import NO_CUSTOMER, NO_RECEIPT, ONE_PRODUCT

    customers = None if found.with_customer else NO_CUSTOMER
    one_product = ONE_PRODUCT if found.products == 1 else None
    why = {
        "demand": None if found.products else "no line is of a product",
        "segments": customers,
        "recommendations": customers or one_product,
        "receipts": None if found.with_invoice else NO_RECEIPT,
    }
    if found.kept:
        return why
    return dict.fromkeys(why, "no line would be kept" if found.accepted else "no line would be accepted")


class _Told(TypedDict):
    """An entry of sources.yml; of one that is wrong, no more than its fault is told."""

    name: str
    about: str
    formats: list[str]
    fields: list[str]
    fault: str | None


def _told(name: str, one: Source | InputError) -> _Told:
    if isinstance(one, Exception):
        return {"name": name, "about": "", "formats": [], "fields": [], "fault": str(one)}
    return {"name": name, "about": one.about, "formats": sorted(one.formats), "fields": sorted(one.fields), "fault": None}


def _show(found: Understood) -> None:
    skipped = f", {found.skipped:,} skipped as no sales" if found.skipped else ""
    of = "all" if found.whole else "the first"
    print(f"{found.file} as source {found.source}: {of} {found.lines:,} lines read, {found.accepted:,} accepted{skipped}")
    print(f"  of those silver would keep {found.kept:,}, leave out {found.repeats:,} as repeats, send {found.quarantined:,} to quarantine")
    for rule in found.unjudged:
        print(f"  the row rule {rule} can't be told without an engine")
    print(f"  read as {', '.join(f'{what} {how}' for what, how in found.written.items())}")
    for title, lines in found.sheets.items():
        print(f'  sheet "{title}": {lines:,} lines')
    print(f"  columns: {', '.join(f'{theirs} → {ours}' for theirs, ours in found.columns.items())}")
    print(f"  ignored: {', '.join(found.ignored) or 'none'}")
    print(f"  fields: {', '.join(found.fields)}")
    print(f"  sold from {day(found.first) or '–'} to {day(found.last) or '–'}, {found.products:,} products, {found.amount:,.2f} in all")
    print(f"  {found.with_customer:,} name a customer, {found.cancellations:,} cancel, {found.no_products:,} are of no product")
    if found.no_quantity:
        print(f"  {found.no_quantity:,} have an amount and the quantity 0")
    if found.unmatched:
        print(f"  {found.unmatched:,} have a key of which the table beside says nothing")
    for remark in found.remarks:
        print(f"  {remark}")
    for one in found.sample:
        print(
            f"  {one.where}: quantity {one.quantity:f}, unit price {'–' if one.unit_price is None else f'{one.unit_price:f}'}, amount {one.amount:f}"
        )
    answers = good_for(found)
    print(f"  a lake of such files alone: {', '.join(part for part, why in answers.items() if why is None) or 'nothing'}")
    for part, why in answers.items():
        if why is not None:
            print(f"    no {part}: {why}")
    for title, counted in (("would be refused", found.refused), ("would go to quarantine", found.broken)):
        rows = [(reason, count, ", ".join(found.examples[reason])) for reason, count in counted.items()]
        if rows:
            table(f"  {title}", ("reason", "lines", "such as"), rows, right=("lines",))
