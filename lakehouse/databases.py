"""Databases by their SQLAlchemy URL: which of them is a file, and one that is opened to be read."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

_PATIENCE_S = 2


def file_of(url: str | URL) -> Path | None:
    """The file of a database that is one; None of a server's, and of what is no URL."""
    try:
        where = make_url(url)
    except ArgumentError:  # what is wrong with it is said where it is opened
        return None
    return Path(where.database) if where.get_backend_name() == "sqlite" and where.database else None


def opened_to_read(url: str) -> Engine:
    """An engine that makes no file and writes to none. It has no pool: a database that was put away and back is found again at the next look."""
    where, file = make_url(url), file_of(url)
    options: dict[str, object] = {}
    if file is not None:
        where = where.set(database=f"file:{quote(str(file))}", query={"mode": "ro", "uri": "true"})
        options = {"timeout": _PATIENCE_S}
    return create_engine(where, poolclass=NullPool, connect_args=options)
