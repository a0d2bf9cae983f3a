"""Versions of tables as temporary views of a session: an engine opens a version once, not anew in each query."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.tables.handles import LOG, Identity, identity

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

LASTS_S = 300  # an endpoint that others started may end an idle session, whose views are gone then


class Views:
    """The versions that a stage has opened. A version is what its log says, and that never changes: so what was opened stays right, unless the
    table was made anew; then the entry of its log is another file, and the version is opened again, by another name. Views stay as long as their
    session does."""

    def __init__(self, opened: Callable[[str, int], DataFrame], path: Callable[[str], str]) -> None:
        self._open, self._path = opened, path
        self._opened: dict[tuple[str, int, Identity], tuple[str, float]] = {}

    def of(self, table: str, version: int) -> str | None:
        """The name of the view; none where the version's entry is not there. Raises the engine's error where the version can't be opened."""
        entry = _entry(self._path(table), version)
        if entry is None:
            return None
        unopened = f"{table.replace('.', '_')}_v{version}_{uuid.uuid4().hex}", -math.inf
        view, made = self._opened.get((table, version, entry), unopened)
        if time.monotonic() - made > LASTS_S:
            self._open(table, version).createOrReplaceTempView(view)
            self._opened[table, version, entry] = view, time.monotonic()
        return view


def _entry(path: str, version: int) -> Identity | None:
    """Which file a version's entry is; nothing where it is not there."""
    try:
        return identity((Path(path) / LOG / f"{version:020}.json").stat())
    except OSError:
        return None
