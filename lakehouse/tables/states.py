"""What is shown of a table and of its versions, and which of them a run reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from lakehouse.tables import catalog, delta, runs
from lakehouse.tables.runs import Run


@dataclass(frozen=True)
class Version:
    """One version of a table: when it was written (wall clock, UTC), by which operation, run and stage, and if it is pinned."""

    table: str
    version: int
    written_at: datetime
    operation: str
    run: str | None
    stage: str | None
    pinned: bool
    published: bool


@dataclass(frozen=True)
class TableState:
    """A table as it is read by default."""

    name: str
    about: str
    version: int | None
    rows: int
    bytes: int


def versions_read(engine: Engine, run: Run) -> dict[str, int]:
    """What a run reads by default: what its stages wrote, else what was published when it began, else the empty tables."""
    found: dict[str, int] = {name: delta.created_version(table) for name, table in catalog.load().items()}
    if run.base is not None:
        found |= run.base.versions
    found |= run.restored | run.bronze_versions
    for stage in runs.stage_runs(engine, run.id):
        if stage.state == "done":
            found |= {name: versions[-1] for name, versions in stage.versions.items()}
    return found
