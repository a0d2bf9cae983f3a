"""The products that a customer bought last, by moment."""

from __future__ import annotations

import operator
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import Window as Over
from pyspark.sql import functions as F

from lakehouse.features.rows import Staged, as_it_is
from lakehouse.features.windows import Span

CUSTOMER = "customer_key"
ARRAYS = ("recent_products", "recent_times", "recent_last")
KEPT = 100


def bought_days(sales: DataFrame, span: Span) -> DataFrame:
    """One row per customer, product and day on which it was bought, with the moment from which that is `usable`.

    Products of which a customer has no such day in the span are left out: `sales` (placed sale lines) need not hold all their days. What was
    usable by the span's beginning counts from there.
    """
    days = sales.groupBy(CUSTOMER, "product_code", "sold_day").agg(F.min("usable").alias("usable"))
    if span.after_day is None:
        return days
    touched = days.where(span.holds(F.col("usable"))).select(CUSTOMER, "product_code").distinct()
    held = days.join(touched, on=[CUSTOMER, "product_code"], how="left_semi")
    return held.withColumn("usable", F.greatest(F.col("usable"), F.lit(span.after_day)))


def bought_moments(days: DataFrame, span: Span) -> DataFrame:
    """One row per customer and moment `t` of the span that `recent_products` has arrays for."""
    return days.where(span.holds(F.col("usable"))).select(CUSTOMER, F.col("usable").alias("t")).distinct()


def recent_products(days: DataFrame, last: DataFrame | None, span: Span, staged: Staged = as_it_is) -> DataFrame:
    """One row per customer and moment `t` of `bought_moments`: the 100 products by last day, times and code.

    `last`: customers' rows at the span's beginning, whose arrays say what there is to say of products that are not in `days`: one that is
    no longer among the 100 comes back by being bought alone. `same`: whether the arrays are those of the moment before, as when a day long
    past becomes known.
    """
    versions = staged(_versions(days) if last is None else _versions(days).unionByName(_others(days, last, span)))
    moments = _numbered(versions)
    held = _held(versions, moments)
    order = Over.partitionBy(CUSTOMER, "number").orderBy(F.desc("last"), F.desc("times"), "product_code")
    ranked = held.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= F.lit(KEPT))
    entry = F.struct("rank", "product_code", "times", "last")
    lists = ranked.groupBy(CUSTOMER, "number").agg(F.array_sort(F.collect_list(entry)).alias("entries"))
    arrays = lists.join(moments, on=[CUSTOMER, "number"]).select(
        CUSTOMER,
        "t",
        F.transform("entries", lambda e: e["product_code"]).alias("recent_products"),
        F.transform("entries", lambda e: e["times"].cast("bigint")).alias("recent_times"),
        F.transform("entries", lambda e: e["last"].cast("bigint")).alias("recent_last"),
    )
    # Those at the span's beginning only serve to compare.
    return arrays.withColumn("same", _same_as_before()).where(span.holds(F.col("t")))


def _others(days: DataFrame, last: DataFrame, span: Span) -> DataFrame:
    """The versions of the products that their customers do not buy in the span: as the rows at its beginning say, for all of it. Customers who
    buy nothing are left out."""
    buyers = days.select(CUSTOMER).distinct()
    entries = last.join(buyers, on=CUSTOMER, how="left_semi").select(CUSTOMER, F.explode(F.arrays_zip(*ARRAYS)).alias("entry"))
    known = entries.select(
        CUSTOMER,
        F.col("entry.recent_products").alias("product_code"),
        F.lit(span.after_day).alias("t"),
        F.lit(None).cast("int").alias("until"),
        F.col("entry.recent_times").cast("bigint").alias("times"),
        F.col("entry.recent_last").cast("int").alias("last"),
    )
    return known.join(days.select(CUSTOMER, "product_code").distinct(), on=[CUSTOMER, "product_code"], how="left_anti")


def _versions(days: DataFrame) -> DataFrame:
    """One row per customer, product and moment at which it was bought once more: times and last day from then on, `until` the next."""
    steps = days.groupBy(CUSTOMER, "product_code", "usable").agg(F.count(F.lit(1)).alias("more"), F.max("sold_day").alias("day"))
    order = Over.partitionBy(CUSTOMER, "product_code").orderBy("usable")
    so_far = order.rowsBetween(Over.unboundedPreceding, Over.currentRow)
    return steps.select(
        CUSTOMER,
        "product_code",
        F.col("usable").alias("t"),
        F.lead("usable").over(order).alias("until"),
        F.sum("more").over(so_far).alias("times"),
        F.max("day").over(so_far).alias("last"),
    )


def _numbered(versions: DataFrame) -> DataFrame:
    """Each customer's moments, numbered from 1, with how many there are."""
    moments = versions.groupBy(CUSTOMER, "t").agg(F.count(F.lit(1)).alias("products"))
    order = Over.partitionBy(CUSTOMER).orderBy("t")
    return moments.select(CUSTOMER, "t", F.row_number().over(order).alias("number"))


def _held(versions: DataFrame, moments: DataFrame) -> DataFrame:
    """One row per customer, moment and product known by then."""
    begins = moments.withColumnRenamed("number", "begins")
    ends = moments.select(CUSTOMER, F.col("t").alias("until"), (F.col("number") - 1).alias("ends"))
    counts = moments.groupBy(CUSTOMER).agg(F.max("number").alias("moments"))
    placed = versions.join(begins, on=[CUSTOMER, "t"]).join(counts, on=CUSTOMER).join(ends, on=[CUSTOMER, "until"], how="left")
    numbers = F.explode(F.sequence(F.col("begins"), F.coalesce(F.col("ends"), F.col("moments"))))
    return placed.select(CUSTOMER, "product_code", "times", "last", numbers.alias("number"))


def _same_as_before() -> Column:
    order = Over.partitionBy(CUSTOMER).orderBy("t")
    return reduce(operator.and_, (F.lag(name).over(order).eqNullSafe(F.col(name)) for name in ARRAYS))
