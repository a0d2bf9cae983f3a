"""Databases in files that this user may only read: SQLite opens them without laying anything beside them."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from lakehouse.errors import NoPermission


def may_write(file: Path) -> bool:
    """Whether this user may write to a database's file and beside it, where SQLite keeps its log. Of one that is not there: may make it."""
    return os.access(file.parent, os.W_OK | os.X_OK) and (os.access(file, os.W_OK) or not file.exists())


def is_frozen(place: Path) -> bool:
    """Whether nobody at all may write there: the disk is mounted read-only."""
    return bool(os.statvfs(place).f_flag & os.ST_RDONLY)


def opened(file: Path) -> sqlite3.Connection:
    """The database, to be read and nothing else. Raises `NoPermission` where its newest changes lie beside it and can't be read so."""
    # Where nobody writes, SQLite would still lay its log beside the file, unless it is told that the file stays as it is.
    way = "mode=ro&immutable=1" if not may_write(file) and _has_log(file) and _is_settled(file) else "mode=ro"
    return sqlite3.connect(f"file:{quote(str(file))}?{way}", uri=True, timeout=30, check_same_thread=False)


def _has_log(file: Path) -> bool:
    """Whether the database is one that writes to a log first."""
    with file.open("rb") as content:
        return content.read(20)[18:19] == b"\2"


def _is_settled(file: Path) -> bool:
    """Whether all of it is in the file. Raises `NoPermission` where it is not, and nobody is writing who keeps the log's index."""
    log, index = (Path(f"{file}-{end}") for end in ("wal", "shm"))
    if not log.exists() or not log.stat().st_size:
        return True
    if not index.exists():
        raise NoPermission(
            f"the newest changes of {file} lie in {log.name}, left by a process that was killed, and reading them needs writing beside it, which this"
            f" user may not. Let this user write to {file.parent}, or read a copy of it elsewhere"
        )
    return False
