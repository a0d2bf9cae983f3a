"""A snapshot publishes the versions of many tables at once; it is the only publication there is."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, Engine, insert, select, update

from lakehouse.errors import NothingPublished, StateError
from lakehouse.tables.lease import check
from lakehouse.tables.ops import now, restores, runs, snapshot_tables, snapshots


@dataclass(frozen=True)
class Snapshot:
    """One publication: the run that made it, the day it was told, the moment of its features, and each table's version."""

    id: int
    run: str
    as_of: datetime
    moment: datetime
    every: str
    versions: dict[str, int]

    def __str__(self) -> str:
        return f"snapshot {self.id} as of {self.as_of:%Y-%m-%d}: features at {self.moment:%Y-%m-%d}, by run {self.run}"

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><td style="text-align: left">{html.escape(name)}</td><td>{version}</td></tr>' for name, version in self.versions.items()
        )
        return (
            f"<p>{html.escape(str(self))}</p><details><summary>{len(self.versions)} tables</summary>"
            f"<table><tr><th>table</th><th>version</th></tr>{rows}</table></details>"
        )


def newest(engine: Engine, until: datetime | None = None) -> Snapshot | None:
    """The last written snapshot (with as_of ≤ `until`) that was not undone."""
    with engine.connect() as connection:
        query = select(snapshots).where(~snapshots.c.undone).order_by(snapshots.c.id.desc()).limit(1)
        if until is not None:
            query = query.where(snapshots.c.as_of <= until)
        row = connection.execute(query).first()
        return None if row is None else _with_versions(connection, row.id)


def by_id(engine: Engine, number: int) -> Snapshot:
    """The snapshot of that number. Raises `NothingPublished` where there is none."""
    with engine.connect() as connection:
        if connection.execute(select(snapshots.c.id).where(snapshots.c.id == number)).first() is None:
            raise NothingPublished(f"there is no snapshot {number}. See: zeromargin snapshots")
        return _with_versions(connection, number)


def every(engine: Engine, undone_too: bool = False) -> list[Snapshot]:
    """All that were not undone (or all), the oldest first."""
    query = select(snapshots).order_by(snapshots.c.id)
    with engine.connect() as connection:
        found = connection.execute(query if undone_too else query.where(~snapshots.c.undone)).all()
        tables = connection.execute(select(snapshot_tables)).all()
    versions: dict[int, dict[str, int]] = {}
    for table in tables:
        versions.setdefault(table.snapshot, {})[table.name] = table.version
    return [Snapshot(row.id, row.run, row.as_of, row.moment, row.every, versions.get(row.id, {})) for row in found]


def counted(engine: Engine) -> frozenset[int]:
    """The numbers of those that were not undone."""
    with engine.connect() as connection:
        return frozenset(connection.execute(select(snapshots.c.id).where(~snapshots.c.undone)).scalars())


def made_anew(engine: Engine, since: int) -> bool:
    """Whether all tables were made anew from bronze by another run than that of snapshot `since`, and published after it."""
    run = select(snapshots.c.run).where(snapshots.c.id == since).scalar_subquery()
    later = (snapshots.c.id > since) & ~snapshots.c.undone & (snapshots.c.run != run)
    anew = select(snapshots.c.id).join(runs, runs.c.id == snapshots.c.run).where(later & runs.c.base.is_(None))
    with engine.connect() as connection:
        return connection.execute(anew.limit(1)).first() is not None


@dataclass(frozen=True)
class Restore:
    """Going back to a snapshot, begun and not at its end: from which version of bronze.sales it began, and as which run it is published."""

    number: int
    snapshot: int
    bronze: int

    @property
    def run(self) -> str:
        return f"restore-{self.snapshot}-{self.number}"


def begin_restore(engine: Engine, number: int, bronze: int, token: str) -> Restore:
    """Notes that the lake goes back to a snapshot, from this version of bronze.sales. Returns the attempt before this one where that was broken
    off."""
    with engine.begin() as connection:
        check(connection, token)
        again = (restores.c.snapshot == number) & restores.c.ended_at.is_(None)
        begun = connection.execute(select(restores.c.number, restores.c.bronze).where(again)).first()
        if begun is not None:
            return Restore(begun.number, number, begun.bronze)
        result = connection.execute(insert(restores).values(snapshot=number, bronze=bronze, started_at=now()))
        assert result.inserted_primary_key is not None
        return Restore(int(result.inserted_primary_key[0]), number, bronze)


def end_restore(engine: Engine, token: str) -> None:
    """Notes that the lake has gone back, with all that belongs to it. Those to other snapshots that were broken off before are at their end too."""
    with engine.begin() as connection:
        check(connection, token)
        connection.execute(update(restores).where(restores.c.ended_at.is_(None)).values(ended_at=now()))


def unfinished_restore(engine: Engine) -> int | None:
    """The snapshot that the lake was about to go back to when that was broken off."""
    with engine.connect() as connection:
        return connection.execute(select(restores.c.snapshot).where(restores.c.ended_at.is_(None))).scalar()


def restored_from(engine: Engine, newest: int | None) -> list[int]:
    """The versions of bronze.sales that the newest restores (or all) began from."""
    with engine.connect() as connection:
        return list(connection.execute(select(restores.c.bronze).order_by(restores.c.number.desc()).limit(newest)).scalars())


def check_no_restore(engine: Engine) -> None:
    """Raises `StateError` while a restore that was broken off waits to be finished: bronze may lack lines that are published, and what is online
    may be of a snapshot that was undone."""
    number = unfinished_restore(engine)
    if number is not None:
        raise StateError(f"a restore of snapshot {number} was broken off. Finish it first: zeromargin restore {number}")


def lines(engine: Engine, newest: Iterable[int]) -> list[tuple[int, ...]]:
    """For each of these snapshots those that counted when it was the newest, from the oldest to itself."""
    with engine.connect() as connection:
        upon = _published_upon(connection)
    return [_line(upon, number) for number in newest]


def publish(engine: Engine, snapshot: Snapshot, token: str, restored: int | None = None) -> Snapshot:
    """Writes a snapshot in one transaction, in which the lease is checked. Returns it with the number that it got.

    `restored`: the snapshot that the lake went back to; those that counted when it was the newest count again, the others are undone, and open
    runs are given up.
    """
    with engine.begin() as connection:
        check(connection, token)
        if restored is not None:
            _count_alone(connection, restored)
            connection.execute(update(runs).where(runs.c.state == "open").values(state="abandoned", ended_at=now()))
        facts = {"run": snapshot.run, "as_of": snapshot.as_of, "moment": snapshot.moment, "every": snapshot.every}
        result = connection.execute(insert(snapshots).values(**facts, published_at=now()))
        assert result.inserted_primary_key is not None
        number = int(result.inserted_primary_key[0])
        tables = [{"snapshot": number, "name": name, "version": version} for name, version in snapshot.versions.items()]
        connection.execute(insert(snapshot_tables), tables)
    return replace(snapshot, id=number)


def _published_upon(connection: Connection) -> dict[int, int | None]:
    """What each snapshot came after: the one before it, or the one that the lake went back to."""
    begun = connection.execute(select(restores.c.number, restores.c.snapshot, restores.c.bronze))
    went_back = {one.run: one.snapshot for one in (Restore(*row) for row in begun)}
    found: dict[int, int | None] = {}
    for number, run in connection.execute(select(snapshots.c.id, snapshots.c.run).order_by(snapshots.c.id)):
        found[number] = went_back.get(run, next(reversed(found), None))
    return found


def _line(upon: dict[int, int | None], number: int) -> tuple[int, ...]:
    found, one = [], upon.get(number)
    while one is not None:
        found.append(one)
        one = upon.get(one)
    return (*reversed(found), number)


def _count_alone(connection: Connection, number: int) -> None:
    """Those that counted when this snapshot was the newest count, and no others."""
    counted = set(_line(_published_upon(connection), number))
    for one in connection.execute(select(snapshots.c.id, snapshots.c.undone)).all():
        if one.undone is (one.id in counted):
            connection.execute(update(snapshots).where(snapshots.c.id == one.id).values(undone=not one.undone))


def _with_versions(connection: Connection, number: int) -> Snapshot:
    row = connection.execute(select(snapshots).where(snapshots.c.id == number)).one()
    tables = connection.execute(select(snapshot_tables).where(snapshot_tables.c.snapshot == number)).all()
    versions = {table.name: table.version for table in tables}
    return Snapshot(row.id, row.run, row.as_of, row.moment, row.every, versions)
