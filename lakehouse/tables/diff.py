"""Two versions of a table side by side: which rows came, went, and say something else under the same key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lakehouse.tables import catalog, delta, digests
from lakehouse.tables.listing import Listing

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from lakehouse.tables.catalog import Table
    from lakehouse.tables.lake import Lake

Kind = Literal["added", "changed", "removed"]
KINDS: tuple[Kind, ...] = ("added", "changed", "removed")
_WHEN = {"added": "was IS NULL", "changed": "was <> now", "removed": "now IS NULL"}
SAMPLE = 5


@dataclass(frozen=True)
class Row:
    """One row that differs, by its key. `before` and `after` hold the columns that do: all of a row that came or went."""

    kind: Kind
    key: Mapping[str, object]
    before: Mapping[str, object]
    after: Mapping[str, object]


@dataclass(frozen=True)
class Counts:
    """How many keys are new, have other values, are gone."""

    added: int
    changed: int
    removed: int


@dataclass(frozen=True)
class Difference:
    """What leads from one version of a table to another. Bookkeeping columns (those that begin with an underscore) are not compared."""

    table: str
    from_version: int
    to_version: int
    from_rows: int
    to_rows: int
    added: int
    changed: int
    removed: int
    sample: Listing[Row]

    def __str__(self) -> str:
        head = f"{self.table} from version {self.from_version} ({self.from_rows:,} rows) to {self.to_version} ({self.to_rows:,} rows)"
        return f"{head}: {self.added:,} added, {self.changed:,} changed, {self.removed:,} removed"


def difference(lake: Lake, name: str, from_version: int, to_version: int, sample: int = SAMPLE) -> Difference:
    """Compares two versions by the table's key, with up to `sample` rows of each kind, those with the least keys.

    Raises `UnknownName` for a table that the catalog lacks, `StateError` for a version that is not there.
    """
    table = catalog.table(name)
    before, after = (_completed(lake.read(name, version=version), table) for version in (from_version, to_version))
    both = _keys(before, after, table)
    found = counts(before, after, table)
    rows = [row for kind in KINDS if getattr(found, kind) for row in _rows(both, before, after, table, kind, sample)] if sample else []
    from_rows, to_rows = (delta.size(lake.path(name), version).rows for version in (from_version, to_version))
    return Difference(
        table.name,
        from_version,
        to_version,
        from_rows,
        to_rows,
        found.added,
        found.changed,
        found.removed,
        Listing(rows, "no row differs"),
    )


def counts(before: DataFrame, after: DataFrame, table: Table) -> Counts:
    from pyspark.sql import functions as F

    summed = [F.sum(F.expr(f"CASE WHEN {_WHEN[kind]} THEN 1 ELSE 0 END")).alias(kind) for kind in KINDS]
    row = _keys(_completed(before, table), _completed(after, table), table).agg(*summed).toArrow().to_pylist()[0]
    return Counts(*(row[kind] or 0 for kind in KINDS))


def _keys(before: DataFrame, after: DataFrame, table: Table) -> DataFrame:
    """One row per key of either version, with the hash of its content in each (null where it is not there)."""
    hashed = digests.row_hash(table.content_names)
    was, now = (frame.select(*table.key, hashed.alias(name)) for frame, name in ((before, "was"), (after, "now")))
    return was.join(now, list(table.key), "full_outer")


def _completed(frame: DataFrame, table: Table) -> DataFrame:
    """A version's rows with the columns that the table has got since, empty."""
    from pyspark.sql import functions as F

    there = frame.columns
    lacking = {one.name: F.lit(None).cast(one.type) for one in table.columns if one.name not in there}
    return frame.withColumns(lacking) if lacking else frame


def _rows(both: DataFrame, before: DataFrame, after: DataFrame, table: Table, kind: Kind, limit: int) -> list[Row]:
    keys = both.where(_WHEN[kind]).select(*table.key).orderBy(*table.key).limit(limit)
    columns = [name for name in table.content_names if name not in table.key]
    wanted = [tuple(row.values()) for row in keys.toArrow().to_pylist()]
    sides = []
    for frame, there in ((before, kind != "added"), (after, kind != "removed")):
        rows = frame.join(keys, list(table.key), "left_semi").select(*table.key, *columns).toArrow().to_pylist() if there else []
        sides.append({tuple(row[name] for name in table.key): {name: row[name] for name in columns} for row in rows})
    found = []
    for key in wanted:
        was, now = sides[0].get(key, {}), sides[1].get(key, {})
        differing = [name for name in columns if kind != "changed" or was[name] != now[name]]
        parts = [{name: side[name] for name in differing if side} for side in (was, now)]
        found.append(Row(kind, dict(zip(table.key, key, strict=True)), *parts))
    return found
