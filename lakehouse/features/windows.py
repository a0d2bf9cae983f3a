"""Windows that end at the moments of a grid, as events: a line enters each window once and leaves it once.

All times in here are days since 1970-01-01, as integers: moments are midnights, and a window covers whole steps of the
grid, so the day of a line says everything. For a line, `first` is the first moment after it was sold and `usable` the
first moment after it was both sold and known. A window that reaches from `far` days back to `near` days back holds the line
at the moments t with max(usable, first + near) <= t < first + far. Values at a moment are running sums of these events, so
a run needs only the row that an entity had before and the lines that enter or leave a window since.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import reduce
from typing import Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import Window as Over
from pyspark.sql import functions as F

from lakehouse.tables.moments import Every

EPOCH = date(1970, 1, 1)
# 1970-01-01 was a Thursday: three days after a Monday.
DAYS_SINCE_MONDAY = 3
SECONDS_A_DAY = 86_400

Bound = Literal["min", "max"]
BOUNDS: Mapping[Bound, Callable[[Column], Column]] = {"min": F.min, "max": F.max}


@dataclass(frozen=True)
class Window:
    """One feature: the sum of `measure` over the lines sold from `far` days to `near` days before the moment.

    Without `far`, a line that entered never leaves.
    """

    name: str
    measure: str
    far: int | None
    near: int = 0

    @property
    def edges(self) -> tuple[int, ...]:
        """How many days after `first` a line enters or leaves for no other reason than time."""
        return tuple(days for days in (self.near, self.far) if days)


@dataclass(frozen=True)
class Span:
    """The moments to compute: those of the grid after `after` (None: from the first line on) up to and with `until`."""

    after: datetime | None
    until: datetime
    every: Every

    @property
    def after_day(self) -> int | None:
        return None if self.after is None else day_number(self.after)

    @property
    def until_day(self) -> int:
        return day_number(self.until)

    @property
    def is_empty(self) -> bool:
        return self.after is not None and self.after >= self.until

    def holds(self, moment: Column) -> Column:
        """Whether a moment (in days) is one of these."""
        within = moment <= F.lit(self.until_day)
        return within if self.after_day is None else within & (moment > F.lit(self.after_day))


def day_number(moment: datetime) -> int:
    return (moment.date() - EPOCH).days


def moment_of(day: int) -> datetime:
    return datetime.combine(EPOCH, datetime.min.time()) + timedelta(days=day)


def days_since_epoch(time: Column) -> Column:
    return F.unix_date(F.to_date(time))


def moment_after(time: Column, every: Every) -> Column:
    """The first moment of the grid that is later than `time`, in days; a time that is a moment gives the next one."""
    day = days_since_epoch(time)
    if every == "day":
        return day + F.lit(1)
    return day - F.pmod(day + F.lit(DAYS_SINCE_MONDAY), F.lit(7)) + F.lit(7)


def timestamp_of(day: Column) -> Column:
    return F.timestamp_seconds(day.cast("bigint") * F.lit(SECONDS_A_DAY))


def placed(lines: DataFrame, span: Span) -> DataFrame:
    """Lines that are usable at some moment up to the span's end, with `sold_day`, `first` and `usable` in days."""
    usable = F.greatest(moment_after(F.col("_known_at"), span.every), moment_after(F.col("sold_at"), span.every))
    return lines.withColumns(
        {
            "sold_day": days_since_epoch(F.col("sold_at")),
            "first": moment_after(F.col("sold_at"), span.every),
            "usable": usable,
        }
    ).where(F.col("usable") <= F.lit(span.until_day))


def window_events(
    measured: DataFrame, entity: Sequence[str], windows: Sequence[Window], extremes: Mapping[str, Bound], span: Span
) -> DataFrame:
    """One row per entity and moment in the span at which a line enters or leaves a window: by how much each window changes.

    `measured` has the entity's columns, `first`, `usable` and the measures (integers; any number of rows per entity).
    `extremes` are running minima and maxima (column: "min" or "max"): a line counts from `usable` on, for ever.
    """
    distances = sorted({0, *(days for window in windows for days in window.edges)})
    distance = F.col("distance")
    moves = (
        measured.withColumn("distance", F.explode(F.array(*(F.lit(d) for d in distances))))
        # Distance 0 stands for the moment at which a line becomes usable; what a late line missed before that is no event.
        .withColumn("t", F.when(distance == 0, F.col("usable")).otherwise(F.col("first") + distance))
        .where(((distance == 0) | (F.col("t") > F.col("usable"))) & span.holds(F.col("t")))
    )
    sums = [F.sum(_change(window)).alias(window.name) for window in windows]
    bounds = [BOUNDS[how](F.when(distance == 0, F.col(name))).alias(name) for name, how in extremes.items()]
    return moves.groupBy(*entity, "t").agg(*sums, *bounds)


def running_rows(
    events: DataFrame, before: DataFrame | None, entity: Sequence[str], windows: Sequence[Window], extremes: Mapping[str, Bound]
) -> DataFrame:
    """One row per entity and moment of `events`: the values at that moment. `before` has each entity's last row, in the same columns."""
    names = [*entity, "t", *(w.name for w in windows), *extremes]
    rows = events.select(*names, F.lit(True).alias("is_new"))
    if before is not None:
        rows = rows.unionByName(before.select(*names, F.lit(False).alias("is_new")))
    so_far = Over.partitionBy(*entity).orderBy("t").rowsBetween(Over.unboundedPreceding, Over.currentRow)
    return rows.select(
        *entity,
        "t",
        "is_new",
        *(F.sum(w.name).over(so_far).alias(w.name) for w in windows),
        *(BOUNDS[how](F.col(name)).over(so_far).alias(name) for name, how in extremes.items()),
    )


def differs(entity: Sequence[str], values: Sequence[str]) -> Column:
    """Whether a row differs in a value from the entity's row before; an entity's first row does."""
    order = Over.partitionBy(*entity).orderBy("t")
    changes = (~F.col(name).eqNullSafe(F.lag(name).over(order)) for name in values)
    return reduce(operator.or_, changes, F.lag("t").over(order).isNull())


def sold_ranges(windows: Sequence[Window], span: Span) -> list[tuple[int, int]]:
    """The days of sale [from, to) of the lines that enter or leave a window at a moment of the span for another reason than being new.

    Merged and in order. The span must have an `after`.
    """
    after, until = span.after_day, span.until_day
    if after is None:
        raise ValueError("a span without a beginning reads every line")
    merged: list[tuple[int, int]] = []
    for days in sorted({days for window in windows for days in window.edges}, reverse=True):
        low, high = after - days, until - days
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _change(window: Window) -> Column:
    t, first, value = F.col("t"), F.col("first"), F.col(window.measure)
    enters = F.greatest(F.col("usable"), first + F.lit(window.near))
    zero = F.lit(0).cast("bigint")
    if window.far is None:
        return F.when(t == enters, value).otherwise(zero)
    leaves = first + F.lit(window.far)
    return F.when(enters >= leaves, zero).when(t == enters, value).when(t == leaves, -value).otherwise(zero)
