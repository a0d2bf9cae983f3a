"""The stage features: the rows of every moment since the newest snapshot's, from silver.

Only lines that became usable since then, lines that enter or leave a window since, and earlier lines of what customers buy again count; all
else is taken from the rows before.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from datetime import datetime
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lakehouse.errors import StateError
from lakehouse.features import customer_history, product_sales, weekly
from lakehouse.features.rows import Staged, as_it_is, latest
from lakehouse.features.windows import Span, Window, day_number, moment_of, sold_ranges, timestamp_of
from lakehouse.tables import Lake, delta

# What a customer's features are computed from. Lines are staged, so that no more of them is written.
OF_A_LINE = ("customer_key", "product_code", "kind", "quantity", "amount", "sold_at", "month", "_known_at")
TABLES = (product_sales.TABLE.name, customer_history.TABLE.name)


@dataclass(frozen=True)
class FeatureReport:
    """What one run did: from after which moment (none: from the oldest line on) up to which, rows written, and rows now by table."""

    after: str | None
    moment: str
    written: dict[str, int]
    rows: dict[str, int]


def build(lake: Lake) -> FeatureReport:
    """Brings the feature tables up to the run's moment. A back-test, or a run at the newest snapshot's moment, writes nothing.

    Raises `StateError` outside a run.
    """
    if lake.run is None:
        raise StateError("features are built within a run. Use: lake = lakehouse.stage('features')")
    before = {name: _rows(lake, name) for name in TABLES}
    base = lake.run.base
    # A lake whose snapshots hold no features yet gets them from the oldest line on, as at first.
    span = Span(base.moment if base is not None and any(before.values()) else None, lake.run.moment, lake.run.every)
    if not (lake.run.back_test or span.is_empty):
        trade = weekly.sales(lake)
        frames = (
            product_rows(trade, lake.read(product_sales.TABLE.name), span),
            customer_rows(trade, lake.read(customer_history.TABLE.name), span, lambda frame: lake.staged(frame).frame),
        )
        for name, frame in zip(TABLES, frames, strict=True):
            lake.writer.replace(name, frame, where=_covers(span))
    rows = {name: _rows(lake, name) for name in TABLES}
    after = None if span.after is None else span.after.isoformat()
    return FeatureReport(after, span.until.isoformat(), {name: rows[name] - before[name] for name in TABLES}, rows)


def product_rows(sales: DataFrame, published: DataFrame, span: Span) -> DataFrame:
    """The rows of features.product_sales at the span's moments. `sales`: silver.sales; `published`: the rows up to the span's beginning."""
    trade = _trade(sales)
    if span.after is None:
        return product_sales.product_sales(trade, None, span)
    lines = _new(trade, span).unionByName(_moving(trade, span, product_sales.WINDOWS))
    return product_sales.product_sales(lines, latest(published, product_sales.ENTITY, lines), span)


def customer_rows(sales: DataFrame, published: DataFrame, span: Span, staged: Staged = as_it_is) -> DataFrame:
    """The rows of features.customer_history at the span's moments. `sales`: silver.sales; `published`: the rows up to its beginning."""
    known = _trade(sales).where(F.col("customer_key").isNotNull()).select(*OF_A_LINE)
    if span.after is None:
        return customer_history.customer_history(known, None, span, staged)
    new = staged(_new(known, span))
    lines = staged(new.unionByName(_earlier(known, new, span)))
    # The arrays of these rows are what a run reads most of, so which rows it needs is found first.
    return customer_history.customer_history(lines, staged(latest(published, customer_history.ENTITY, lines, staged)), span, staged)


def _trade(sales: DataFrame) -> DataFrame:
    """Lines that features count: sales and returns, no charges."""
    return sales.where(F.col("kind").isin("sale", "return"))


def _new(lines: DataFrame, span: Span) -> DataFrame:
    """Lines that become usable at a moment of the span."""
    assert span.after is not None
    return lines.where(~_known_before(span.after) & _known_before(span.until))


def _earlier(lines: DataFrame, new: DataFrame, span: Span) -> DataFrame:
    """Lines of customers, usable before the span, that count in it: those that enter or leave a window, those of a customer's products that
    are among the new lines too, and of the days that new lines are late for."""
    assert span.after is not None
    customer = customer_history.ENTITY[0]
    day = F.to_date("sold_at")
    again = new.select(customer, "product_code").distinct().withColumn("again", F.lit(True))
    late = new.where(F.col("sold_at") < timestamp_of(F.lit(day_number(span.after)))).select(customer, day.alias("sold_on")).distinct()
    marked = (
        lines.where(_known_before(span.after))
        .withColumn("sold_on", day)
        .join(again, on=[customer, "product_code"], how="left")
        .join(late.withColumn("late", F.lit(True)), on=[customer, "sold_on"], how="left")
    )
    counts = F.col("again").isNotNull() | F.col("late").isNotNull() | _moves(span, customer_history.WINDOWS)
    return marked.where(counts).select(*new.columns)


def _moving(lines: DataFrame, span: Span, windows: tuple[Window, ...]) -> DataFrame:
    """Lines usable before the span that enter or leave a window in it."""
    assert span.after is not None
    return lines.where(_moves(span, windows) & _known_before(span.after))


def _moves(span: Span, windows: tuple[Window, ...]) -> Column:
    """Whether a line enters or leaves a window in the span for another reason than being new."""
    ranges = sold_ranges(windows, span)
    months = sorted({month for low, high in ranges for month in _months(low, high)})
    sold = [(F.col("sold_at") >= timestamp_of(F.lit(low))) & (F.col("sold_at") < timestamp_of(F.lit(high))) for low, high in ranges]
    return F.col("month").isin(*months) & reduce(operator.or_, sold)


def _known_before(moment: datetime) -> Column:
    return F.col("_known_at") < timestamp_of(F.lit(day_number(moment)))


def _months(low: int, high: int) -> set[str]:
    """The months of the days from `low` up to but not `high`."""
    return {f"{moment_of(day):%Y-%m}" for day in (*range(low, high, 28), high - 1)}


def _covers(span: Span) -> str:
    """The rows of the span's moments, as SQL: replacing them is writing them once, however often it is done."""
    until = f"moment <= TIMESTAMP '{span.until:%Y-%m-%d %H:%M:%S}'"
    return until if span.after is None else f"moment > TIMESTAMP '{span.after:%Y-%m-%d %H:%M:%S}' AND {until}"


def _rows(lake: Lake, name: str) -> int:
    return delta.size(lake.path(name), lake.version(name)).rows
