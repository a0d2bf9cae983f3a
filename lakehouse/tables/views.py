"""Versions of tables as temporary views of a session: an engine opens a version once, not anew in each query."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.tables.delta import LOG

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Entry = tuple[int, int, int]


class Views:
    """The versions that one session has opened. A version is what its log says, and that never changes: so what was opened stays right, unless the
    table was made anew; then the entry of its log is another file, and the version is opened again, by another name."""

    def __init__(self, opened: Callable[[str, int], DataFrame], path: Callable[[str], str]) -> None:
        self._open, self._path = opened, path
        self._opened: dict[tuple[str, int], tuple[Entry | None, str]] = {}
        self._numbers = count(1)

    def of(self, table: str, version: int) -> str:
        """The name of the view. Raises the engine's error where the version can't be opened."""
        entry = _entry(self._path(table), version)
        known = self._opened.get((table, version))
        if known is not None and entry is not None and known[0] == entry:
            return known[1]
        view = f"{table.replace('.', '_')}_v{version}_{next(self._numbers)}"
        self._open(table, version).createOrReplaceTempView(view)
        self._opened[table, version] = entry, view
        return view


def _entry(path: str, version: int) -> Entry | None:
    """Which file a version's entry is, its bytes and when it was written; nothing where it is not there."""
    try:
        about = (Path(path) / LOG / f"{version:020}.json").stat()
    except OSError:
        return None
    return about.st_ino, about.st_size, about.st_mtime_ns
