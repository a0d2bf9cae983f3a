"""What one table held on a day, what is behind it and who relied on it, as an auditor asks it from the shell."""

from __future__ import annotations

import html
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lakehouse.errors import TamperedModel
from lakehouse.quality.corrections import authors
from lakehouse.registry import loading
from lakehouse.registry.audit import PUBLISHED
from lakehouse.registry.loading import open_registered
from lakehouse.tables import Lake, audit, catalog, delta, runs
from lakehouse.tables.audit import Change, Held
from lakehouse.tables.catalog import BRONZE
from lakehouse.tables.listing import Listing, page, shown
from lakehouse.tables.snapshots import Snapshot


@dataclass(frozen=True)
class Source:
    """One landed file that was in bronze then, with its lines: those accepted, and those known by the moment (which features may use).
    `corrected_by`: who said what these lines should have been, where they are corrections of refused ones."""

    file: str
    source: str
    landed_at: datetime
    lines: int
    accepted: int
    known: int
    corrected_by: str | None


@dataclass(frozen=True)
class Written:
    """One version up to the one that was published: when it was written (wall clock, UTC) and by whom."""

    version: int
    written_at: datetime
    operation: str
    run: str | None
    stage: str | None


@dataclass(frozen=True)
class TrainedOn:
    """One registered model version that was trained on this table, and at which version of it."""

    model: str
    version: str
    table_version: int
    trained_at: datetime | None
    aliases_now: tuple[str, ...]
    decision: str | None


@dataclass(frozen=True)
class Predicted:
    """Predictions that were published with the snapshot, at its moment."""

    table: str
    model_version: str
    rows: int


@dataclass(frozen=True)
class TableAudit:
    """One table on one day. `held` is none where the snapshot of that day does not have the table; `known` counts its rows whose line was known
    by the snapshot's moment, where rows say so."""

    table: str
    about: str
    day: str
    snapshot: Snapshot
    held: Held | None
    known: int | None
    changed_since: Listing[Change]
    files: Listing[Source]
    versions: Listing[Written]
    models: Listing[TrainedOn]
    predictions: Listing[Predicted]

    def sections(self) -> list[tuple[str, Listing[Any]]]:
        """Title and rows of each part, in the order in which they are read."""
        parts: dict[str, Listing[Any]] = {
            "Held": Listing([] if self.held is None else [self.held], "the snapshot does not have this table"),
            "Changed since": self.changed_since,
            "Files behind it": self.files,
            "Versions up to then": self.versions,
            "Models trained on it": self.models,
            "Predictions published with it": self.predictions,
        }
        return list(parts.items())

    def __str__(self) -> str:
        known = "" if self.known is None else f" Of its rows {self.known:,} were known by {shown(self.snapshot.moment)} and could be used."
        head = f"{self.table} (one row per {self.about.removeprefix('one row per ')}) on {self.day}: {self.snapshot}.{known}"
        return "\n\n".join([head, *(f"{title}\n{rows!r}" for title, rows in self.sections()), _CLOCKS])

    def page(self) -> str:
        """The same as a page of HTML that needs nothing else."""
        body = "".join(f"<h2>{html.escape(title)}</h2>{rows._repr_html_()}" for title, rows in self.sections())
        known = (
            "" if self.known is None else f"<p>Rows known by {shown(self.snapshot.moment)}, which could be used: <b>{self.known:,}</b></p>"
        )
        about = f"<p>{html.escape(self.about)}</p><p>{html.escape(str(self.snapshot))}</p>"
        return page(f"{self.table} on {self.day}", f"{about}{known}{body}<footer>{_CLOCKS}</footer>")


_CLOCKS = "Times of writing and landing are in UTC; days, as_of and moments are the shop's."


def audit_table(lake: Lake, name: str, day: str) -> TableAudit:
    """What is known of a table as it was published on a day. Raises `UnknownName`, `NothingPublished`."""
    table = catalog.table(name)
    then = lake.at(day)
    snapshot = then.snapshot()
    assert snapshot is not None
    found = next(iter(audit.held(then, table.name)), None)
    return TableAudit(
        table.name,
        table.about,
        day,
        snapshot,
        found,
        _known(then, table.name, snapshot) if found is not None else None,
        audit.changes(then, lake, table.name),
        _files(then, snapshot),
        _versions(lake, table.name, found.version) if found is not None else Listing([], "no version"),
        _models(lake, table.name, snapshot.moment),
        _predictions(then, snapshot),
    )


def _known(then: Lake, name: str, snapshot: Snapshot) -> int | None:
    columns = set(catalog.table(name).column_names)
    moment = f"TIMESTAMP'{snapshot.moment:%Y-%m-%d %H:%M:%S}'"
    if {"sold_at", "_known_at"} <= columns:
        return int(then.read(name).where(f"sold_at < {moment} AND _known_at < {moment}").count())
    if "moment" in columns:
        return int(then.read(name).where(f"moment <= {moment}").count())
    return None


def _files(then: Lake, snapshot: Snapshot) -> Listing[Source]:
    version = snapshot.versions[BRONZE]
    moment = f"TIMESTAMP'{snapshot.moment:%Y-%m-%d %H:%M:%S}'"
    accepted = "size(reasons) = 0"
    rows = then.sql(
        f"SELECT file_digest, max(source) AS source, count(*) AS lines, sum(CASE WHEN {accepted} THEN 1 ELSE 0 END) AS accepted, "
        f"sum(CASE WHEN {accepted} AND sold_at < {moment} AND _known_at < {moment} THEN 1 ELSE 0 END) AS known "
        f"FROM bronze.sales VERSION AS OF {version} GROUP BY file_digest"
    )
    landed = delta.arrivals(then.path(BRONZE), "file_digest", 0)
    said = authors(then)
    files = []
    # Versions tell the order in which files landed; times don't, where the clock was set back.
    for row in sorted(rows.toArrow().to_pylist(), key=lambda row: (landed[row["file_digest"]].version, row["file_digest"])):
        digest = row["file_digest"]
        counts = (row["lines"], row["accepted"], row["known"])
        files.append(Source(digest[:12], row["source"], landed[digest].written_at, *counts, said.get(digest)))
    return Listing(files, "no file had landed")


def _versions(lake: Lake, name: str, until: int) -> Listing[Written]:
    writers = runs.writers(lake.ops)
    commits = [commit for commit in delta.history(lake.path(name)) if commit.version <= until]
    return Listing(
        [Written(one.version, one.written_at, one.operation, *writers.get((name, one.version), (None, None))) for one in reversed(commits)]
    )


def _models(lake: Lake, name: str, until: datetime) -> Listing[TrainedOn]:
    found = []
    for one in loading.versions(lake.settings):
        if one.moment is None or one.moment > until:
            continue
        try:
            tables = open_registered(lake.settings, one).manifest["tables"]
        except TamperedModel:
            continue  # verify names it
        version = tables.get(name) if isinstance(tables, dict) else None
        if isinstance(version, int):
            found.append(TrainedOn(one.name, one.version, version, one.moment, one.aliases, one.decision))
    return Listing(found, "no model had been trained on it by then")


def _predictions(then: Lake, snapshot: Snapshot) -> Listing[Predicted]:
    found = []
    for name in PUBLISHED.values():
        if name in snapshot.versions:
            rows = then.read(name).where(f"as_of = TIMESTAMP'{snapshot.moment:%Y-%m-%d %H:%M:%S}'").groupBy("version").count()
            found += [Predicted(name, row["version"], row["count"]) for row in rows.toArrow().to_pylist()]
    return Listing(sorted(found, key=lambda one: (one.table, one.model_version)), "no predictions were published at that moment")
