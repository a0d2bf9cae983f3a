"""What a customer bought and brought back, by moment."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import Window as Over
from pyspark.sql import functions as F

from lakehouse.features.recent_products import ARRAYS, bought_days, bought_moments, recent_products
from lakehouse.features.rows import Staged, as_integers, as_it_is, as_published, counted
from lakehouse.features.windows import Bound, Span, Window, differs, placed, running_rows, window_events
from lakehouse.tables.catalog import table

TABLE = table("features.customer_history")
ENTITY = ("customer_key",)
WINDOWS = (
    *(Window(f"spend_{weeks}w", "spend", 7 * weeks) for weeks in (4, 13, 52)),
    Window("units_52w", "units", 364),
    Window("units_returned_52w", "units_returned", 364),
    Window("lines_52w", "lines", 364),
    *(Window(f"days_{weeks}w", "days", 7 * weeks) for weeks in (13, 52)),
    Window("products_ever", "products", None),
)
EXTREMES: Mapping[str, Bound] = {"first_bought": "min", "last_bought": "max"}
MEASURES = ("spend", "units", "units_returned", "lines", "days", "products", *EXTREMES)


def customer_history(lines: DataFrame, before: DataFrame | None, span: Span, staged: Staged = as_it_is) -> DataFrame:
    """One row per customer and moment of the span at which a value changed, in the columns of features.customer_history.

    `lines`: sale and return lines of silver.sales: at least those that become usable in the span, those that leave a window in it, and of
    a customer with new lines all of the same products, and of the days that new lines are late for; all lines do as well. `before`: rows of
    features.customer_history, each customer's last up to the span's beginning; None where nothing was published.
    """
    known = placed(lines.where(F.col("customer_key").isNotNull()), span)
    events = staged(window_events(_measured(known), ENTITY, WINDOWS, EXTREMES, span))
    last = None if before is None else as_integers(before, TABLE).join(events.select(*ENTITY).distinct(), on=list(ENTITY), how="left_semi")
    rows = running_rows(events, last, ENTITY, WINDOWS, EXTREMES)
    days = staged(bought_days(known.where(F.col("kind") == "sale"), span))
    arrays, moments = recent_products(days, last, span, staged), bought_moments(days, span)
    if last is not None:
        arrays = arrays.unionByName(last.select(*ENTITY, "t", *ARRAYS, F.lit(True).alias("same")))
        moments = moments.unionByName(last.select(*ENTITY, "t"))
    dated = _with_arrays_at(rows, moments).withColumn("differs", differs(ENTITY, [*(w.name for w in WINDOWS), *EXTREMES]))
    kept = dated.where(F.col("is_new") & (F.col("differs") | (F.col("arrays_at") == F.col("t"))))
    joined = kept.join(arrays.withColumnRenamed("t", "arrays_at"), on=[*ENTITY, "arrays_at"], how="left")
    joined = joined.where(F.col("differs") | ~F.col("same"))
    # A customer who only brought things back has bought nothing: empty arrays, as opposed to missing ones.
    filled = joined.withColumns({name: F.coalesce(F.col(name), F.array().cast(TABLE.type_of(name))) for name in ARRAYS})
    return as_published(filled, TABLE)


def _with_arrays_at(rows: DataFrame, moments: DataFrame) -> DataFrame:
    """Rows with the moment of the arrays that hold then: the last one up to the row's own."""
    marks = moments.withColumn("mark", F.col("t"))
    so_far = Over.partitionBy(*ENTITY).orderBy("t").rowsBetween(Over.unboundedPreceding, Over.currentRow)
    return rows.join(marks, on=[*ENTITY, "t"], how="left").withColumn("arrays_at", F.max("mark").over(so_far)).drop("mark")


def _measured(lines: DataFrame) -> DataFrame:
    """Rows with every measure, 0 where a row says nothing about it: sums over lines, first days, first products."""
    sale, gone = F.col("kind") == "sale", F.col("kind") == "return"
    quantity = counted(F.col("quantity"), 3)
    nothing = F.lit(0)
    sums = lines.groupBy(*ENTITY, "first", "usable").agg(
        F.sum(counted(F.col("amount"), 4)).alias("spend"),
        F.sum(F.when(sale, quantity).otherwise(nothing)).alias("units"),
        F.sum(F.when(gone, -quantity).otherwise(nothing)).alias("units_returned"),
        F.sum(F.when(sale, 1).otherwise(0)).alias("lines"),
        F.min(F.when(sale, F.col("sold_day"))).alias("first_bought"),
        F.max(F.when(sale, F.col("sold_day"))).alias("last_bought"),
    )
    sales = lines.where(sale)
    # A day or a product counts once, from the first of its lines that may be used.
    days = sales.groupBy(*ENTITY, "first", "sold_day").agg(F.min("usable").alias("usable"))
    days = days.groupBy(*ENTITY, "first", "usable").agg(F.count(F.lit(1)).alias("days"))
    products = sales.groupBy(*ENTITY, "product_code").agg(F.min("usable").alias("usable"))
    products = products.groupBy(*ENTITY, "usable").agg(F.count(F.lit(1)).alias("products")).withColumn("first", F.col("usable"))
    return _padded(sums).unionByName(_padded(days)).unionByName(_padded(products))


def _padded(part: DataFrame) -> DataFrame:
    def measure(name: str) -> Column:
        if name in part.columns:
            return F.col(name).alias(name)
        return F.lit(None).cast("int").alias(name) if name in EXTREMES else F.lit(0).cast("bigint").alias(name)

    return part.select(*ENTITY, "first", "usable", *(measure(name) for name in MEASURES))
