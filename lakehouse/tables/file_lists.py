"""Which files a version of a table consisted of when it was written or published. A log entry that was emptied or cut since may still be read
without an error, and then says something else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Engine, delete, func, insert, select

from lakehouse.tables.ops import file_lists


@dataclass(frozen=True)
class FileList:
    """How many live files, and the SHA-256 of their paths within the table, in order."""

    files: int
    digest: str


def of(paths: Iterable[str]) -> FileList:
    ordered = sorted(paths)
    return FileList(len(ordered), hashlib.sha256("\n".join(ordered).encode()).hexdigest())


def note(engine: Engine, name: str, version: int, found: FileList) -> None:
    """Keeps the list of the newest version of a table, in place of what was noted of this one and of later ones: they were never there, or were
    lost before anybody relied on them."""
    with engine.begin() as connection:
        connection.execute(delete(file_lists).where((file_lists.c.name == name) & (file_lists.c.version >= version)))
        connection.execute(insert(file_lists).values(name=name, version=version, files=found.files, digest=found.digest))


def noted(engine: Engine, name: str, version: int | None = None) -> tuple[int, FileList] | None:
    """What was noted of a version, or of the newest that anything was noted of."""
    query = select(file_lists).where(file_lists.c.name == name).order_by(file_lists.c.version.desc()).limit(1)
    with engine.connect() as connection:
        row = connection.execute(query if version is None else query.where(file_lists.c.version == version)).first()
    return None if row is None else (row.version, FileList(row.files, row.digest))


def newest(engine: Engine) -> dict[str, tuple[int, FileList]]:
    """The same of each table that anything was noted of, its newest version's, in one query."""
    last = select(file_lists.c.name, func.max(file_lists.c.version).label("version")).group_by(file_lists.c.name).subquery()
    query = select(file_lists).join(last, (file_lists.c.name == last.c.name) & (file_lists.c.version == last.c.version))
    with engine.connect() as connection:
        return {row.name: (row.version, FileList(row.files, row.digest)) for row in connection.execute(query)}
