"""Tables as delta-rs opens them, kept open: a stage opens its tables dozens of times, and each takes the longer the longer the log is."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import StateError

if TYPE_CHECKING:
    from deltalake import DeltaTable


LOG = "_delta_log"
KEPT_OPEN = 64
SEE = "What is broken, and what repairs it: zeromargin verify"
_LONGEST = 200  # letters of what a library says
Identity = tuple[int, int, int, int]
Log = frozenset[tuple[str, int, int, int, int]]  # name and identity
_OPENED: dict[tuple[str, int | None], tuple[Log, DeltaTable]] = {}
_OPENING = threading.Lock()


def open_table(path: str, version: int | None = None) -> DeltaTable:
    """The table at `path`, to be looked at now. Raises `StateError` where there is none, or where that version is not there.

    One that was opened before is given again as long as no file of its log was taken away or written to. Without a `version` what is given moves
    on with the log. What changes a table opens its own.
    """
    log, key = _log_files(path), (path, version)
    with _OPENING:
        before, table = _OPENED.pop(key, (frozenset(), None))
    if not before or not before <= log:
        table = None
    elif table is not None and version is None and before != log:
        table = _moved_on(table, (name for name, *_ in log - before))
    table = table or _open(path, version)
    with _OPENING:
        _OPENED[key] = log, table
        while len(_OPENED) > KEPT_OPEN:
            _OPENED.pop(next(iter(_OPENED)))
    return table


def in_short(error: Exception) -> str:
    """What a library says of a log, without the places in its own code that follow; of an error of ours, without the advice."""
    first = next(iter(str(error).strip().splitlines()), type(error).__name__).partition(f". {SEE}")[0]
    return f"{first[:_LONGEST]}…" if len(first) > _LONGEST else first


def identity(about: os.stat_result) -> Identity:
    """Which file it is, its bytes, and the times of its content and of itself: the same as long as nobody wrote to it or put another in its place."""
    return about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def _log_files(path: str) -> Log:
    """Each file of a table's log but the engines' checksums, which delta-rs does not read, by name and identity; nothing where it can't be looked into."""
    try:
        with os.scandir(Path(path) / LOG) as found:
            return frozenset((one.name, *identity(one.stat())) for one in found if not one.name.endswith(".crc"))
    except OSError:
        return frozenset()


def _moved_on(table: DeltaTable, new: Iterable[str]) -> DeltaTable | None:
    """The table at its newest version, where the files that are new in its log are newer entries. Else nothing: a checkpoint is looked into."""
    from deltalake.exceptions import DeltaError

    if not all(name.endswith(".json") and name > f"{table.version():020}.json" for name in new):
        return None
    try:
        table.update_incremental()
    except DeltaError:
        return None
    return table


def open_to_change(path: str) -> DeltaTable:
    """The table at `path`, for whoever commits through it: it becomes the version that is made. Raises as `open_table`."""
    return _open(path, None)


def _open(path: str, version: int | None) -> DeltaTable:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        return DeltaTable(path, version=version)
    except TableNotFoundError:
        raise StateError(
            f"there is no table at {path}. The first load or run makes it; one that was there and is lost is named by: zeromargin verify"
        ) from None
    except DeltaError as error:
        what = "the table" if version is None else f"version {version} of the table"
        raise StateError(f"{what} at {path} can't be opened: {in_short(error)}. {SEE}") from None
