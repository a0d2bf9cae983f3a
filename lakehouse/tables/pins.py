"""A pin keeps one version of one table from maintenance, and says for whom and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine, delete, insert, select

from lakehouse.tables.ops import pins


@dataclass(frozen=True)
class Pin:
    """One pinned version."""

    table: str
    version: int
    owner: str
    reason: str
    pinned_at: datetime


def add(engine: Engine, table: str, version: int, owner: str, reason: str) -> None:
    """Pins a version for `owner`. Pinning it again changes nothing."""
    with engine.begin() as connection:
        same = (pins.c.name == table) & (pins.c.version == version) & (pins.c.owner == owner)
        if connection.execute(select(pins.c.id).where(same)).first() is None:
            now = datetime.now(UTC).replace(tzinfo=None)
            connection.execute(insert(pins).values(name=table, version=version, owner=owner, reason=reason, pinned_at=now))


def remove(engine: Engine, table: str, version: int, owner: str) -> bool:
    """Takes a pin away; False where there was none."""
    with engine.begin() as connection:
        same = (pins.c.name == table) & (pins.c.version == version) & (pins.c.owner == owner)
        return connection.execute(delete(pins).where(same)).rowcount > 0


def every(engine: Engine) -> list[Pin]:
    """All pins, by table and version."""
    with engine.connect() as connection:
        rows = connection.execute(select(pins).order_by(pins.c.name, pins.c.version, pins.c.id)).all()
    return [Pin(row.name, row.version, row.owner, row.reason, row.pinned_at) for row in rows]
