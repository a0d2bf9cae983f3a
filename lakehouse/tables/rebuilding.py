"""Tables that were lost: removed by hand, or with a log that can't be read. All but bronze are made anew from bronze."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine, delete

from lakehouse.errors import StateError
from lakehouse.tables import catalog, delta, ops
from lakehouse.tables.catalog import BRONZE
from lakehouse.tables.snapshots import Snapshot

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

ANEW = "zeromargin run --from-bronze"


def loss(path: str, name: str, published: Snapshot | None) -> str | None:
    """What is wrong with a table that was published; none where it is there with that version."""
    if published is None or name not in published.versions:
        return None
    if not delta.exists(path):
        return f"{name} is not there any more"
    try:
        head = delta.head(path)
    except StateError as error:
        return f"the log of {name} can't be read ({str(error).splitlines()[0]})"
    return (
        f"{name} has only {head + 1} versions, and version {published.versions[name]} is published"
        if head < published.versions[name]
        else None
    )


def refuse(name: str, what: str) -> StateError:
    """What to do about a lost table."""
    if name == BRONZE:
        return StateError(f"{what}. Nothing else holds what landed: bring the home back from a backup (zeromargin restore-backup)")
    return StateError(f"{what}. Make all tables anew from bronze with: {ANEW}. What the older versions of {name} held is gone")


def make_room(lake: Lake) -> list[str]:
    """Puts what is left of lost tables aside, as `NAME.damaged`, so that they can be made anew. Returns their names.

    Snapshots, pins and digests that name a lost version are forgotten first: another table will have versions of these numbers. Raises
    `StateError` where bronze is what was lost.
    """
    lake.check_lease()
    published = lake.snapshot()
    lost = {name: what for name in catalog.load() if (what := loss(lake.path(name), name, published)) is not None}
    if BRONZE in lost:
        raise refuse(BRONZE, lost[BRONZE])
    _forget(lake.ops, lost)
    for name in lost:
        place, number = Path(lake.path(name)), 1
        while (aside := place.with_name(f"{place.name}.damaged-{number}")).exists():
            number += 1
        if place.exists():
            place.rename(aside)
    return list(lost)


def _forget(engine: Engine, names: Collection[str]) -> None:
    with engine.begin() as connection:
        for table in (ops.snapshot_tables, ops.pins, ops.digests):
            connection.execute(delete(table).where(table.c.name.in_(names)))
