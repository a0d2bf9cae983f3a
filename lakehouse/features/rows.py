"""Feature rows between their table's types and the integers that windows are computed in.

Integers are exact, equal on every engine and quick to sum: a decimal(18,3) is counted in thousandths, a date and a moment in
days since 1970-01-01.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lakehouse.features.windows import days_since_epoch, timestamp_of
from lakehouse.tables.catalog import Table
from lakehouse.tables.writer import LONGEST_LIST

# What several steps read is worth computing once: an engine would do it anew for each of them.
Staged = Callable[[DataFrame], DataFrame]


def as_it_is(frame: DataFrame) -> DataFrame:
    """Computes nothing beforehand."""
    return frame


def counted(value: Column, scale: int) -> Column:
    """A decimal in units of its last digit, exactly."""
    return (value * F.lit(Decimal(10) ** scale)).cast("bigint")


def as_integers(rows: DataFrame, table: Table) -> DataFrame:
    """Published rows with numbers and times as integers, and `t` for the moment. Bookkeeping columns are left out."""
    return rows.select(*(_integer(name, table.type_of(name)).alias("t" if name == "moment" else name) for name in table.content_names))


def as_published(rows: DataFrame, table: Table) -> DataFrame:
    """The reverse: the table's columns in its order, without bookkeeping."""
    return rows.withColumnRenamed("t", "moment").select(
        *(_published(name, table.type_of(name)).alias(name) for name in table.content_names)
    )


def latest(rows: DataFrame, entity: tuple[str, ...], of: DataFrame, staged: Staged = as_it_is) -> DataFrame:
    """The last row of each entity that is in `of`. Where it is computed which those are, only rows of their moments are read."""
    wanted = rows.select(*entity, "moment").join(of.select(*entity).distinct(), on=list(entity), how="left_semi")
    last = staged(wanted.groupBy(*entity).agg(F.max("moment").alias("moment")))
    if staged is not as_it_is:
        rows = rows.where(_at(sorted(last.select("moment").distinct().toArrow().column("moment").to_pylist())))
    return rows.join(last, on=[*entity, "moment"], how="left_semi")


def _at(moments: Sequence[datetime]) -> Column:
    """Whether a row is of one of these moments, in lists that are short enough for engines to skip by."""
    said = [f"TIMESTAMP'{moment:%Y-%m-%d %H:%M:%S}'" for moment in moments]
    lists = (said[start : start + LONGEST_LIST] for start in range(0, len(said), LONGEST_LIST))
    return F.expr(" OR ".join(f"moment IN ({', '.join(part)})" for part in lists) or "false")


def _integer(name: str, kind: str) -> Column:
    if kind.startswith("decimal"):
        return counted(F.col(name), _scale(kind))
    if kind in ("date", "timestamp"):
        return days_since_epoch(F.col(name))
    return F.col(name)


def _published(name: str, kind: str) -> Column:
    if kind.startswith("decimal"):
        return (F.col(name).cast("decimal(18,0)") * F.lit(Decimal(10) ** -_scale(kind))).cast(kind)
    if kind == "date":
        return F.date_from_unix_date(F.col(name))
    if kind == "timestamp":
        return timestamp_of(F.col(name))
    return F.col(name).cast(kind)


def _scale(kind: str) -> int:
    return int(kind.rstrip(")").split(",")[1])
