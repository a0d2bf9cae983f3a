"""What one table held on a day, what is behind it and who relied on it, as an auditor asks it from the shell."""

from __future__ import annotations

import html
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lakehouse.quality.correction_history import authors
from lakehouse.registry.reliance import Predicted, TrainedOn, predicted_from, trained_on
from lakehouse.tables import Lake, audit, catalog, delta, delta_log, digests, lineage, moments, runs, snapshots
from lakehouse.tables.audit import Change, Held
from lakehouse.tables.catalog import BRONZE, Table
from lakehouse.tables.listing import Listing, page, shown
from lakehouse.tables.moments import SOLD_BY
from lakehouse.tables.snapshots import Snapshot

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Source:
    """One landed file that this table, or the nearest one that it is made of and that names files, has `rows` of. Of its lines in bronze those
    accepted, and those known by the moment (which features may use).
    `corrected_by`: who said what these lines should have been, where they are corrections of refused ones."""

    file: str
    source: str
    landed_at: datetime
    lines: int
    accepted: int
    known: int
    rows: int
    corrected_by: str | None


@dataclass(frozen=True)
class Written:
    """One version up to the one that was held: its rows, when it was written (wall clock, UTC) and by whom, and whether a snapshot published it."""

    version: int
    rows: int
    published: bool
    written_at: datetime
    operation: str
    run: str | None
    stage: str | None


@dataclass(frozen=True)
class Known:
    """What of the table counts: all that was `held`, or what was known by the moment asked about. `units` and `revenue` are sums, where the table has
    them; `found` says how what was known is told."""

    of: str
    version: int | None
    rows: int
    units: Decimal | None
    revenue: Decimal | None
    found: str
    digest: str


@dataclass(frozen=True)
class TableAudit:
    """One table on one day, and what of it was known by the moment `known_by`. `held` is none where the snapshot of that day does not have the
    table."""

    table: str
    about: str
    day: str
    snapshot: Snapshot
    known_by: datetime
    held: Held | None
    known: Listing[Known]
    changed_since: Listing[Change]
    files: Listing[Source]
    versions: Listing[Written]
    models: Listing[TrainedOn]
    predictions: Listing[Predicted]

    def sections(self) -> list[tuple[str, Listing[Any]]]:
        """Title and rows of each part, in the order in which they are read."""
        parts: dict[str, Listing[Any]] = {
            "Held": Listing([] if self.held is None else [self.held], "the snapshot does not have this table"),
            "Known by then": self.known,
            "Changed since": self.changed_since,
            "Models trained on it": self.models,
            "Predictions made of it": self.predictions,
            "Files behind it": self.files,
            "Versions up to then": self.versions,
        }
        return list(parts.items())

    def __str__(self) -> str:
        head = f"{self.table} (one row per {self.about.removeprefix('one row per ')}) on {self.day}: {self.snapshot}. {self._asked}"
        return "\n\n".join([head, *(f"{title}\n{rows!r}" for title, rows in self.sections()), _CLOCKS])

    def page(self) -> str:
        """The same as a page of HTML that needs nothing else."""
        return page(f"{self.table} on {self.day}", self._repr_html_())

    def _repr_html_(self) -> str:
        body = "".join(f"<h2>{html.escape(title)}</h2>{rows._repr_html_()}" for title, rows in self.sections())
        told = "".join(f"<p>{html.escape(text)}</p>" for text in (self.about, f"{self.snapshot}.", self._asked))
        return f"{told}{body}<footer>{_CLOCKS}</footer>"

    @property
    def _asked(self) -> str:
        return f"Known is what was known before {shown(self.known_by)}."


_CLOCKS = "Times of writing and landing are in UTC; days, as_of and moments are the shop's."
_TIMED = {"_known_at", "moment"}


def audit_table(lake: Lake, name: str, day: str, known: str | None = None) -> TableAudit:
    """What is known of a table as it was published on a day, and what of that was known by another (left out: by the snapshot's own moment).

    Raises `UnknownName`, `NothingPublished`, `InputError` for a day that is none.
    """
    table = catalog.table(name)
    then = lake.at(day)
    snapshot = then.snapshot()
    assert snapshot is not None
    found = next(iter(audit.held(then, table.name)), None)
    version = None if found is None else found.version
    by = moments.parse_day(known) if known else snapshot.moment if _TIMED & set(table.column_names) else snapshot.as_of
    models = trained_on(lake, table.name, version, snapshot.moment)
    return TableAudit(
        table.name,
        table.about,
        day,
        snapshot,
        by,
        found,
        Listing([], "the snapshot does not have this table") if found is None else _known(lake, then, table, found, by, snapshot.as_of),
        audit.changes(then, lake, table.name),
        _files(then, table, snapshot, by),
        Listing([], "no version") if version is None else _versions(lake, table.name, version),
        models,
        predicted_from(then, table.name, models),
    )


def _known(lake: Lake, then: Lake, table: Table, held: Held, by: datetime, as_of: datetime) -> Listing[Known]:
    """All that was held, and of it what was known by a moment: by the times of the lines or rows where the table has them, else what had been
    published by then."""
    moment, rows = _sql(by), then.read(table.name)
    columns, at = set(table.column_names), shown(by)
    whole = _counted("held", rows, table, held.version, "all of its rows")
    if {"sold_at", "_known_at"} <= columns:
        lines = rows.where(f"{SOLD_BY} < {moment} AND _known_at < {moment}")
        return Listing([whole, _counted("known", lines, table, held.version, f"lines that were sold before {at}, and known before it")])
    if "moment" in columns:
        made = rows.where(f"moment <= {moment}")
        return Listing(
            [
                whole,
                _counted("known", made, table, held.version, f"rows of moments up to {at}: each is made of lines known before its moment"),
            ]
        )
    published = snapshots.newest(lake.ops, min(by, as_of))
    if published is None or table.name not in published.versions:
        return Listing([whole, Known("known", None, 0, None, None, f"nothing of it had been published as of {at}", "")])
    version = published.versions[table.name]
    said = f"its rows do not say when they were known: what snapshot {published.id} had published, the newest as of {at}"
    return Listing([whole, _counted("known", lake.read(table.name, version=version), table, version, said)])


def _counted(of: str, rows: DataFrame, table: Table, version: int, found: str) -> Known:
    held = digests.digest(rows, table, version)
    sums = {}
    for name, columns in (("units", ("quantity", "units")), ("revenue", ("amount", "revenue"))):
        column = next((one for one in columns if one in rows.columns), None)
        sums[name] = None if column is None else f"cast(coalesce(sum({column}), 0) AS decimal(38,4)) AS {name}"
    wanted = [text for text in sums.values() if text is not None]
    row = rows.selectExpr(*wanted).toArrow().to_pylist()[0] if wanted else {}
    return Known(of, version, held.rows, row.get("units"), row.get("revenue"), found, held.digest)


def _files(then: Lake, table: Table, snapshot: Snapshot, by: datetime) -> Listing[Source]:
    named = next((one for one in (table.name, *lineage.behind(table.name)) if _file_column(one)), None)
    if named is None or named not in snapshot.versions:
        return Listing([], "no file is behind it")
    column, moment, accepted = _file_column(named), _sql(by), "size(reasons) = 0"
    counted = then.read(named).groupBy(column).count().toArrow().to_pylist()
    rows = {row[column]: row["count"] for row in counted}
    lines = then.sql(
        f"SELECT file_digest, max(source) AS source, count(*) AS lines, sum(CASE WHEN {accepted} THEN 1 ELSE 0 END) AS accepted, "
        f"sum(CASE WHEN {accepted} AND {SOLD_BY} < {moment} AND _known_at < {moment} THEN 1 ELSE 0 END) AS known "
        f"FROM bronze.sales VERSION AS OF {snapshot.versions[BRONZE]} GROUP BY file_digest"
    )
    landed = delta_log.arrivals(then.path(BRONZE), "file_digest", until=snapshot.versions[BRONZE])
    said = authors(then)
    files = []
    # Versions tell the order in which files landed; times don't, where the clock was set back.
    for row in sorted(lines.toArrow().to_pylist(), key=lambda row: (landed[row["file_digest"]].version, row["file_digest"])):
        digest = row["file_digest"]
        if digest in rows:
            counts = (row["lines"], row["accepted"], row["known"], rows[digest])
            files.append(Source(digest[:12], row["source"], landed[digest].written_at, *counts, said.get(digest)))
    return Listing(files, "no file is behind it: it was empty")


def _file_column(name: str) -> str:
    """The column in which a table says of which file a row is; empty where it does not."""
    return next((one for one in ("file_digest", "_file") if one in catalog.table(name).column_names), "")


def _sql(moment: datetime) -> str:
    return f"TIMESTAMP'{moment:%Y-%m-%d %H:%M:%S}'"


def _versions(lake: Lake, name: str, until: int) -> Listing[Written]:
    writers, path = runs.writers(lake.ops), lake.path(name)
    published = {one.versions.get(name) for one in lake.snapshots()}
    commits = [commit for commit in reversed(delta.history(path)) if commit.version <= until]
    return Listing(
        Written(
            *(one.version, delta.size(path, one.version).rows, one.version in published, one.written_at, one.operation),
            *writers.get((name, one.version), (None, None)),
        )
        for one in commits
    )
