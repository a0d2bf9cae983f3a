"""Facts of a table: numbers that one pass over it gives, to be compared with what they must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from lakehouse.quality.config import Below, TableTerms
from lakehouse.quality.suites import equal_rule, present_rule
from lakehouse.tables.catalog import Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Fact:
    """A number or text that was found. `below` is the layer below's; `rows` how many rows fail; `note` says it in words."""

    value: int | float | str
    below: str | None = None
    rows: int | None = None
    note: str | None = None


def single_row(frame: DataFrame, aggregates: Mapping[str, str]) -> dict[str, object]:
    """The aggregates (SQL by name) over all rows of a frame, in one pass."""
    from pyspark.sql import functions as F

    columns = [F.expr(sql).alias(name) for name, sql in aggregates.items()]
    found: list[dict[str, object]] = frame.agg(*columns).toArrow().to_pylist()
    return found[0]


def missing_values(frame: DataFrame, table: Table) -> dict[str, Fact]:
    """How many rows have no value in each column that may not be null."""
    counted = {present_rule(column): f"sum(CASE WHEN {column} IS NULL THEN 1 ELSE 0 END)" for column in table.required}
    return {rule: breaking(value) for rule, value in single_row(frame, counted).items()}


def broken_rows(frame: DataFrame, terms: TableTerms) -> dict[str, Fact]:
    """How many rows break each rule that every row must keep. NULL counts as broken."""
    if not terms.expect:
        return {}
    counted = {rule: f"sum(CASE WHEN coalesce({sql}, false) THEN 0 ELSE 1 END)" for rule, (sql, _) in terms.expect.items()}
    return {rule: breaking(value) for rule, value in single_row(frame, counted).items()}


def repeated_keys(frame: DataFrame, table: Table) -> Fact:
    """How many keys occur more than once. Grouping costs an eighth of the window that Great Expectations would use."""
    from pyspark.sql import functions as F

    # Not count(): Sail fails to sum the counts of a table of one row ("Physical input schema should be the same").
    repeated = frame.groupBy(*table.key).agg(F.sum(F.lit(1)).alias("rows")).where("rows > 1")
    row = single_row(repeated, {"keys": "count(1)", "rows": "sum(rows)"})
    keys = whole(row["keys"])
    return Fact(keys, rows=whole(row["rows"]), note=f"{keys:,} keys more than once")


def mistyped(frame: DataFrame, table: Table) -> Fact:
    """Columns of another type than the catalog's, and what they are; "none" where there is none."""
    found = {part.name: part.dataType.simpleString() for part in frame.schema.fields}
    other = [
        f"{column.name} {found[column.name]} instead of {column.type}"
        for column in table.columns
        if column.name in found and found[column.name] != column.type
    ]
    return Fact(", ".join(other) or "none")


def against_below(here: DataFrame, there: DataFrame, below: Below) -> dict[str, Fact]:
    """Both sides of each aggregate that must be equal: over this table and over the layer below, each in one pass."""
    mine = single_row(here, {name: sql for name, (sql, _) in below.equal.items()})
    theirs = single_row(there.where(below.where), {name: sql for name, (_, sql) in below.equal.items()})
    return {equal_rule(name, below.table): equality(mine[name], theirs[name]) for name in below.equal}


def equality(mine: object, theirs: object) -> Fact:
    """Two values as exact texts. A sum over no rows is nothing, and equals 0."""
    if isinstance(mine, int | Decimal) or isinstance(theirs, int | Decimal):
        mine, theirs = mine or 0, theirs or 0
    here, there = _text(mine), _text(theirs)
    return Fact(here, below=there, note=here if here == there else f"{here} against {there}")


def breaking(value: object) -> Fact:
    """A count of rows that should be none."""
    rows = whole(value)
    return Fact(rows, rows=rows, note=f"{rows:,} rows that break it")


def whole(value: object) -> int:
    """An engine's count or sum of counts; nothing counts as 0."""
    return int(value) if isinstance(value, int | Decimal) else 0


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, date):
        return value.isoformat()
    return "none" if value is None else str(value)
