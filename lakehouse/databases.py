"""Databases by their SQLAlchemy URL: which of them is a file, and one that is opened to be read."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError
from sqlalchemy.pool import NullPool

_PATIENCE_S = 2
_SQLITE, _HEADER = b"SQLite format 3\0", 100
_LOCKED = "database is locked"  # as SQLite says it


def file_of(url: str | URL) -> Path | None:
    """The file of a database that is one; None of a server's, and of what is no URL."""
    try:
        where = make_url(url)
    except ArgumentError:  # what is wrong with it is said where it is opened
        return None
    return Path(where.database) if where.get_backend_name() == "sqlite" and where.database else None


def is_database(file: Path) -> bool:
    """Whether it is one of SQLite's."""
    with file.open("rb") as content:
        return content.read(len(_SQLITE)) == _SQLITE


def may_pass(url: str | URL, error: BaseException) -> str:
    """Why a database could not be opened, where another try may help: a file that somebody else has locked, a server that is away. Else empty."""
    if file_of(url) is not None:
        return "is locked by another process that writes to it" if _LOCKED in str(error) else ""
    reason = str(getattr(error, "orig", None) or error).splitlines()
    # What comes without a class of SQLAlchemy's is what PostgreSQL's driver says where it is cut off while it connects.
    return f"does not answer: {next(iter(reason), 'no reason')}" if isinstance(error, InterfaceError | OperationalError | OSError) else ""


def is_damaged(error: BaseException) -> bool:
    """Whether SQLite says that a file is no whole database (any more): no second try helps."""
    code = getattr(getattr(error, "orig", None) or error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def damage(file: Path, thorough: bool = False) -> str:
    """What is wrong with a file of SQLite's that something was written to, empty where nothing is or it can't be asked now. One that was cut, or is none, is
    always found, by its first bytes alone; `thorough`: one that was written over too, for which SQLite reads all of it."""
    if wrong := _cut(file):
        return wrong
    if not thorough:
        return ""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=_PATIENCE_S)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        return str(error) if is_damaged(error) else ""
    return "" if found == "ok" else str(found)


def _cut(file: Path) -> str:
    """By the header (as SQLite documents its file format): whether the file is as long as it says. To open it would leave files beside it."""
    with file.open("rb") as content:
        header = content.read(_HEADER)
    if not header.startswith(_SQLITE) or len(header) < _HEADER:
        return "the file is no database" if header else "the file is empty"
    size = int.from_bytes(header[16:18])
    pages = int.from_bytes(header[28:32]) if header[24:28] == header[92:96] else 0  # else it was not kept up
    expected = pages * (65_536 if size == 1 else size)
    there = file.stat().st_size
    return "" if there >= expected else f"the file has {there:,} bytes, and says that it has {expected:,}"


def opened_to_read(url: str) -> Engine:
    """An engine that makes no file and writes to none. It has no pool: a database that was put away and back is found again at the next look."""
    where, file = make_url(url), file_of(url)
    options: dict[str, object] = {}
    if file is not None:
        where = where.set(database=f"file:{quote(str(file))}", query={"mode": "ro", "uri": "true"})
        options = {"timeout": _PATIENCE_S}
    return create_engine(where, poolclass=NullPool, connect_args=options)
