"""What is shown of a table and of its versions, and which of them a run reads."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from lakehouse.errors import InputError, StateError
from lakehouse.tables import catalog, delta, rebuilding, runs
from lakehouse.tables.catalog import Table
from lakehouse.tables.runs import Run

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake


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
    """A table as it is read by default. `wrong`: what is wrong with one that can't be read, and what to do."""

    name: str
    about: str
    version: int | None
    rows: int
    bytes: int
    wrong: str = ""


def state(lake: Lake, table: Table, lost: str | None) -> TableState:
    """The state of a table, given what is wrong with it (`rebuilding.losses`)."""
    if lost is not None:
        return TableState(table.name, table.about, None, 0, 0, str(rebuilding.refuse(table.name, lost)))
    try:
        number = lake.version(table.name)
        size = delta.size(lake.path(table.name), number)
    except StateError:  # nothing is published of it
        return TableState(table.name, table.about, None, 0, 0)
    return TableState(table.name, table.about, number, size.rows, size.bytes)


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


def whole_number(name: str, version: object) -> int:
    """A version as any kind of whole number. Raises `InputError` for anything else."""
    if isinstance(version, bool) or not hasattr(version, "__index__"):
        raise InputError(f"{version!r} is no version of {name}. Expected a whole number. Versions: zeromargin history {name}")
    return operator.index(version)
