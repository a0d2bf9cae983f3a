"""Lines of bronze made into lines of silver, and copies of a line settled."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

# What makes two copies of a line differ. The customer is not among it: a line landed again after an erasure comes without one.
VALUES = (
    "source",
    "kind",
    "store",
    "invoice",
    "product_code",
    "description",
    "quantity",
    "unit_price",
    "amount",
    "sold_at",
    "covers",
    "country",
    "promotion",
    "holiday",
)
# What becomes of a copy of a line: it is written, is there already and stays, says something else than the one that is kept, or the same.
KEPT, STAYS, CONTRADICTS, REPEATS = "kept", "stays", "contradicts", "repeats"
# Spelt out: what the engines take for a space differs.
_UNUSUAL = "\\t\\n\\x0B\\f\\r\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
# A run of spaces other than one plain one, which is most of them and would be replaced by itself.
SPACES = f"[{_UNUSUAL}][ {_UNUSUAL}]*| [ {_UNUSUAL}]+"


@dataclass(frozen=True)
class Settled:
    """One row per line in `kept`; `conflicts` holds copies with other values than the one that was kept. Columns of silver.sales.

    `copies`: one row per copy of a line that occurs more than once, with `is_new` and its `outcome`.
    """

    kept: DataFrame
    conflicts: DataFrame
    copies: DataFrame


def typed(lines: DataFrame, *more: str) -> DataFrame:
    """Accepted lines of bronze as lines of silver (without `_run`, with `more` columns as they are): product codes in upper case, inner spaces
    single, kinds named."""
    kind = F.when(~F.col("is_product"), F.lit("charge")).when(F.col("is_cancellation"), F.lit("return")).otherwise(F.lit("sale"))
    return lines.select(
        "line_id",
        "source",
        kind.alias("kind"),
        "store",
        "invoice",
        F.upper("product_code").alias("product_code"),
        F.regexp_replace("description", SPACES, " ").alias("description"),
        "quantity",
        "unit_price",
        "amount",
        "sold_at",
        F.to_date("sold_at").alias("day"),
        F.date_format("sold_at", "yyyy-MM").alias("month"),
        "covers",
        "customer_key",
        "country",
        "promotion",
        "holiday",
        "_known_at",
        F.col("file_digest").alias("_file"),
        F.col("line_number").alias("_line"),
        *more,
    )


def settle(
    new: DataFrame,
    existing: DataFrame | None,
    beside: Mapping[str, Collection[str]] = MappingProxyType({}),
    once: Callable[[DataFrame], DataFrame] = lambda frame: frame,
) -> Settled:
    """Copies of a line become one row: that with the least (`_known_at`, values), a named customer before none. Copies with other values are
    conflicts; what a source has from a table beside its lines (`beside`) is not compared.

    `new` and `existing` have the columns of silver.sales without `_run`. `kept` holds what is to be written: lines of `new`, none of
    those that are there already and stay. `once` may have a frame computed that is read several times.
    """
    # Sail drops duplicates slowly, so only lines that do occur more than once are ranked. They are looked for by a hash of their id, which takes
    # half the time and memory; of two ids that share one, each is ranked by itself.
    names, hashed = new.columns, F.xxhash64("line_id")
    new = new.withColumn("hash", hashed)
    repeated = new.groupBy("hash").count().where("count > 1").select("hash")
    if existing is not None:
        existing = existing.withColumn("hash", hashed)
        repeated = repeated.unionByName(existing.join(new.select("hash"), "hash", "left_semi").select("hash")).distinct()
    repeated = once(repeated)
    single = new.join(repeated, "hash", "left_anti").select(*names)
    copies = new.withColumn("is_new", F.lit(True)).join(repeated, "hash", "left_semi")
    if existing is not None:
        there = existing.withColumn("is_new", F.lit(False)).join(repeated, "hash", "left_semi")
        copies = copies.unionByName(there.select(*copies.columns))
    # They are found first and ranked then: to do both at once takes twice the memory.
    ranked = once(_ranked(once(copies), beside).select(*names, "is_new", "outcome"))
    winners, conflicts = (ranked.where(F.col("outcome") == one).select(*names) for one in (KEPT, CONTRADICTS))
    return Settled(single.unionByName(winners), conflicts, ranked)


def _ranked(copies: DataFrame, beside: Mapping[str, Collection[str]]) -> DataFrame:
    """Copies of lines, each with its `outcome` among those that share its id."""
    # Of equal copies one that names its customer is kept before one that does not. Which was there first decides only between those that are
    # the same in all of this: then what is kept is the same in whichever runs they land, and when all is made anew from bronze.
    known_first = (F.col("customer_key").isNull(), "customer_key")
    order = Window.partitionBy("line_id").orderBy("_known_at", *_values(beside), *known_first, "is_new", "_file", "_line")
    ranked = (
        copies.withColumn("values", values_hash(beside))
        .withColumn("place", F.row_number().over(order))
        .withColumn("kept_values", F.first("values").over(order))
        .withColumn("kept_customer", F.first("customer_key").over(order))
    )
    other_customer = (
        F.col("customer_key").isNotNull() & F.col("kept_customer").isNotNull() & (F.col("customer_key") != F.col("kept_customer"))
    )
    is_conflict = (F.col("values") != F.col("kept_values")) | other_customer
    first, other = F.when(F.col("is_new"), KEPT).otherwise(STAYS), F.when(is_conflict, CONTRADICTS).otherwise(REPEATS)
    return ranked.withColumn("outcome", F.when(F.col("place") == 1, first).otherwise(other))


def values_hash(beside: Mapping[str, Collection[str]]) -> Column:
    """What two copies of a line have in common where they say the same."""
    return F.xxhash64(*(part for value in _values(beside) for part in (value.isNull(), value)))


def _values(beside: Mapping[str, Collection[str]]) -> list[Column]:
    return [_compared(name, [source for source, columns in beside.items() if name in columns]) for name in VALUES]


def _compared(name: str, not_of: list[str]) -> Column:
    """A value by which copies are told apart; nothing for the sources that it is not compared of."""
    return F.when(~F.col("source").isin(*not_of), F.col(name)) if not_of else F.col(name)


def as_quarantined(refused: DataFrame, reason: str) -> DataFrame:
    """Lines with the columns of quarantine.sales (without `_run`), refused for this one reason."""
    return refused.select(
        F.col("_file").alias("file_digest"),
        F.col("_line").alias("line_number"),
        F.lit("silver").alias("stage"),
        F.array(F.lit(reason)).alias("reasons"),
        "source",
        "line_id",
        "store",
        "invoice",
        "product_code",
        "description",
        "quantity",
        "unit_price",
        "amount",
        "sold_at",
        "customer_key",
        "country",
    )
