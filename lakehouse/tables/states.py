"""What is shown of a table and of its versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


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
