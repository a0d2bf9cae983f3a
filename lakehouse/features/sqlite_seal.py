"""The seal within the online store's own file, by which one that lost its rows, or is an older one, is told from the one that the marker speaks of."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from lakehouse.features.marker import Marker

_TABLE = "zeromargin_published"
_WAIT_S = 30


@dataclass(frozen=True)
class Seal:
    """What was published into the file to the end, and the snapshot that is being published into it, if one is."""

    marker: Marker
    reaching: int | None

    def is_of(self, marker: Marker) -> bool:
        return marker == self.marker or marker.snapshot == self.reaching


def read(file: Path, counted: bool = True) -> Seal | None:
    """None where the file has no seal or (`counted`) not as many values as when it was given it. Raises `sqlite3.DatabaseError` for one that is damaged, or
    not there."""
    with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=_WAIT_S)) as connection:
        if not _has_seal(connection):
            return None
        marker, reaching, entries = connection.execute(f"SELECT marker, reaching, entries FROM {_TABLE}").fetchone()
        if counted:
            there = _entries(connection)
            if there < entries or (there > entries and reaching is None):
                return None
    return Seal(Marker.of(marker), reaching)


def begin(file: Path, snapshot: int) -> None:
    """Says which snapshot is being published, in a file that has a seal."""
    with closing(sqlite3.connect(file, timeout=_WAIT_S)) as connection, connection:
        if _has_seal(connection):
            connection.execute(f"UPDATE {_TABLE} SET reaching = ?", (snapshot,))


def write(file: Path, marker: Marker) -> None:
    with closing(sqlite3.connect(file, timeout=_WAIT_S)) as connection, connection:
        connection.execute(f"DROP TABLE IF EXISTS {_TABLE}")
        connection.execute(f"CREATE TABLE {_TABLE} (marker TEXT NOT NULL, reaching INTEGER, entries INTEGER NOT NULL)")
        connection.execute(f"INSERT INTO {_TABLE} VALUES (?, NULL, ?)", (marker.as_text(), _entries(connection)))


def remove(file: Path) -> None:
    with closing(sqlite3.connect(file, timeout=_WAIT_S)) as connection, connection:
        connection.execute(f"DROP TABLE IF EXISTS {_TABLE}")


def _has_seal(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_TABLE,)).fetchone() is not None


def _entries(connection: sqlite3.Connection) -> int:
    """How many values all views' tables hold, which Feast made."""
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> ?", (_TABLE,))]
    return sum(int(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]) for name in names)
