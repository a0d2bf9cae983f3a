"""A pin keeps one version of one table from maintenance, and says for whom and why. What it held is kept beside it as a digest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, delete, insert, select

from lakehouse.tables.digests import Digest
from lakehouse.tables.ops import digests, is_read_only, now, pins


@dataclass(frozen=True)
class Pin:
    """One pinned version."""

    table: str
    version: int
    owner: str
    reason: str
    pinned_at: datetime


def add(engine: Engine, table: str, version: int, owner: str, reason: str) -> bool:
    """Pins a version for `owner`. Pinning it again changes nothing, and is False."""
    with engine.begin() as connection:
        same = (pins.c.name == table) & (pins.c.version == version) & (pins.c.owner == owner)
        if connection.execute(select(pins.c.id).where(same)).first() is not None:
            return False
        connection.execute(insert(pins).values(name=table, version=version, owner=owner, reason=reason, pinned_at=now()))
    return True


def remove(engine: Engine, table: str, version: int, owner: str) -> bool:
    """Takes a pin away; False where there was none."""
    with engine.begin() as connection:
        same = (pins.c.name == table) & (pins.c.version == version) & (pins.c.owner == owner)
        return connection.execute(delete(pins).where(same)).rowcount > 0


def record(engine: Engine, digest: Digest) -> Digest:
    """Keeps the full digest of a version that is relied on, unless one is kept. Returns the one that is; who may only read keeps none."""
    same = (digests.c.name == digest.table) & (digests.c.version == digest.version)
    with engine.begin() as connection:
        kept = connection.execute(select(digests).where(same)).first()
        if kept is not None:
            return Digest(kept.name, kept.version, kept.rows, kept.digest)
        if is_read_only(engine):
            return digest
        facts = {"name": digest.table, "version": digest.version, "rows": digest.rows, "digest": digest.digest}
        connection.execute(insert(digests).values(**facts, recorded_at=now()))
    return digest


def recorded(engine: Engine) -> dict[tuple[str, int], Digest]:
    """Every digest that is kept, by table and version."""
    with engine.connect() as connection:
        rows = connection.execute(select(digests)).all()
    return {(row.name, row.version): Digest(row.name, row.version, row.rows, row.digest) for row in rows}


def every(engine: Engine) -> list[Pin]:
    """All pins, by table and version."""
    with engine.connect() as connection:
        rows = connection.execute(select(pins).order_by(pins.c.name, pins.c.version, pins.c.id)).all()
    return [Pin(row.name, row.version, row.owner, row.reason, row.pinned_at) for row in rows]
