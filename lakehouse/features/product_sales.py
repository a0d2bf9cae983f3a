"""What a product sold in a store, by moment."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.features.rows import as_integers, as_published, counted
from lakehouse.features.windows import Bound, Span, Window, differs, placed, running_rows, window_events
from lakehouse.tables.catalog import table

TABLE = table("features.product_sales")
ENTITY = ("store", "product_code")
YEAR = 364  # 52 whole weeks: the same weekday a year before
WINDOWS = (
    *(Window(f"units_{weeks}w", "units", 7 * weeks) for weeks in (1, 2, 3, 4, 6, 8, 13, 26, 52)),
    *(Window(f"units_year_ago_{week}", "units", YEAR - 7 * (week - 1), YEAR - 7 * week) for week in (1, 2, 3, 4)),
    Window("units_year_ago_13w", "units", YEAR + 91, YEAR),
    *(Window(f"revenue_{weeks}w", "revenue", 7 * weeks) for weeks in (4, 13, 52)),
    *(Window(f"lines_{weeks}w", "lines", 7 * weeks) for weeks in (4, 13, 52)),
)
EXTREMES: Mapping[str, Bound] = {"first_sold": "min", "last_sold": "max"}


def product_sales(lines: DataFrame, before: DataFrame | None, span: Span) -> DataFrame:
    """One row per store, product and moment of the span at which a value changed, in the columns of features.product_sales.

    `lines`: sale and return lines of silver.sales: at least those that become usable in the span and those that enter or leave
    a window in it (`windows.sold_ranges`); all of them do as well. `before`: rows of features.product_sales, each entity's
    last up to the span's beginning; None where nothing was published.
    """
    measured = _measured(placed(lines, span))
    events = window_events(measured, ENTITY, WINDOWS, EXTREMES, span)
    known = None if before is None else as_integers(before, TABLE).join(events.select(*ENTITY).distinct(), on=list(ENTITY), how="left_semi")
    rows = running_rows(events, known, ENTITY, WINDOWS, EXTREMES)
    changed = rows.withColumn("differs", differs(ENTITY, [*(w.name for w in WINDOWS), *EXTREMES])).where(F.col("is_new") & F.col("differs"))
    return as_published(changed, TABLE)


def _measured(lines: DataFrame) -> DataFrame:
    """One row per store, product and pair of moments (first, usable): a product's lines of one week are one event."""
    sale = F.col("kind") == "sale"
    return lines.groupBy(*ENTITY, "first", "usable").agg(
        F.sum(counted(F.col("quantity"), 3)).alias("units"),
        F.sum(counted(F.col("amount"), 4)).alias("revenue"),
        F.sum(F.when(sale, 1).otherwise(0)).alias("lines"),
        F.min(F.when(sale, F.col("sold_day"))).alias("first_sold"),
        F.max(F.when(sale, F.col("sold_day"))).alias("last_sold"),
    )
