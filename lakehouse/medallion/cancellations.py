"""Cancelled lines linked to the sales that they cancel."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

GROUP = ("customer_key", "product_code", "unit_price")
READ = ("line_id", "kind", *GROUP, "sold_at", "quantity")  # of lines of silver, to link them


def link(lines: DataFrame) -> DataFrame:
    """One row per cancelled line that has an earlier sale (columns of silver.cancellations without `_run`).

    The sale has the same customer, product and price and is not later. Among several the best rule wins (same quantity; then a larger
    quantity; then any), then the latest sale, then the least line id. `lines` are lines of silver, with the columns READ at least.
    """
    returns = lines.where("kind = 'return' AND customer_key IS NOT NULL").select(
        F.col("line_id").alias("cancellation_line_id"),
        *GROUP,
        F.col("sold_at").alias("cancelled_at"),
        (-F.col("quantity")).cast("decimal(18,3)").alias("cancelled_quantity"),
    )
    sales = lines.where("kind = 'sale' AND customer_key IS NOT NULL").select(
        F.col("line_id").alias("sale_line_id"),
        *GROUP,
        F.col("sold_at").alias("bought_at"),
        F.col("quantity").alias("sold_quantity"),
    )
    pairs = returns.join(sales, list(GROUP)).where("bought_at <= cancelled_at")
    rank = F.when(F.col("sold_quantity") == F.col("cancelled_quantity"), 1).when(F.col("sold_quantity") > F.col("cancelled_quantity"), 2)
    best = Window.partitionBy("cancellation_line_id").orderBy("rule", F.col("bought_at").desc(), "sale_line_id")
    match = F.when(F.col("rule") == 1, "same quantity").when(F.col("rule") == 2, "larger quantity").otherwise("earlier sale")
    return (
        pairs.withColumn("rule", rank.otherwise(3))
        .withColumn("place", F.row_number().over(best))
        .where("place = 1")
        .select("cancellation_line_id", "sale_line_id", *GROUP, "cancelled_quantity", "sold_quantity", match.alias("match"))
    )
