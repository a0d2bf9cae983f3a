"""The command audit: one table on one day, as text, JSON or a page."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli_session import AsJson, TableName, answer, day, session


def audit(
    context: typer.Context,
    name: TableName,
    at: Annotated[
        str | None, typer.Option("--at", metavar="DAY", help="The day that is asked about; left out, the newest published.")
    ] = None,
    known: Annotated[
        str | None,
        typer.Option("--known", metavar="DAY", help="What of it was known before this day; left out, by the snapshot's own moment."),
    ] = None,
    page: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write it as a page that needs nothing else.")] = None,
    as_json: AsJson = False,
) -> None:
    """What a table held on a day, what of it was known by another, which files and runs are behind it, and which models and predictions relied on
    it."""
    from lakehouse.errors import NothingPublished
    from lakehouse.registry.table_audit import audit_table

    with session(context).lake() as lake:
        newest = lake.snapshot()
        if at is None and newest is None:
            raise NothingPublished("nothing is published yet: there is nothing to audit. Load files, then run: zeromargin run")
        found = audit_table(lake, name, at or str(day(newest.as_of if newest is not None else None)), known)
    if page is not None:
        page.write_text(found.page(), encoding="utf-8")
    if as_json:
        parts = {title.lower().replace(" ", "_"): [asdict(row) for row in rows] for title, rows in found.sections()}
        answer({"table": found.table, "day": found.day, "snapshot": asdict(found.snapshot), "known_by": found.known_by, **parts})
    elif page is not None:
        print(f"Written to {page}")
    else:
        print(found)
