"""Lines that somebody corrected: the correction is what counts, also where the rules of now would let in what it corrects."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.medallion import lines
from lakehouse.quality import correction_history
from lakehouse.quality.quarantine import CONFLICT, CORRECTED
from lakehouse.tables import StageLake
from lakehouse.tables.catalog import BRONZE
from lakehouse.tables.staging import Staged

PLACE = ["_file", "_line"]


def among(lake: StageLake, candidates: DataFrame, beside: Mapping[str, Collection[str]]) -> Staged | None:
    """Those of `candidates` (columns of silver.sales without `_run`) whose correction is in the bronze that the run reads, and their copies in other
    files. None where nothing is corrected there."""
    assert lake.run is not None
    by_number, let_in = correction_history.in_bronze(lake, lake.run.bronze)
    if not by_number:
        return None
    landed = lake.read(BRONZE, version=lake.run.bronze)
    corrected = _corrected(lake, landed, by_number)
    values, customer = lines.values_hash(beside).alias("values"), F.coalesce("customer_key", F.lit("")).alias("customer")
    marked = candidates.where(~F.col("_file").isin(*let_in)).select("*", values, customer)
    # Of a line that the door refused hardly anything is kept but its id. Else a copy says the same, of the same customer or of none.
    known = corrected.select(F.col("line_id").alias("id"), "at_door", values.alias("said"), customer.alias("of"))
    of_one = F.expr("customer = of OR customer = '' OR of = ''")
    copies = marked.join(
        known, (F.col("line_id") == F.col("id")) & (F.col("at_door") | ((F.col("values") == F.col("said")) & of_one)), "left_semi"
    )
    # What was let in may have the id of what it corrects, and may have been corrected in turn. What says the same as it is its repeat.
    right = lines.typed(landed.where(F.col("file_digest").isin(*let_in))).select("line_id", values, customer)
    copies = copies.join(right, right.columns, "left_anti").drop("values", "customer")
    again = candidates.where(F.col("_file").isin(*let_in)).join(corrected.select(*PLACE), PLACE, "left_semi")
    return lake.staged(copies.unionByName(again))


def _corrected(lake: StageLake, landed: DataFrame, by_number: Collection[tuple[str, int]]) -> DataFrame:
    """The lines of bronze that were corrected, as lines of silver, and whether the door had refused them."""
    files = landed.where(F.col("file_digest").isin(*sorted({file for file, _ in by_number})))
    found = correction_history.rows_of(lake, files, by_number)
    return lines.typed(found.withColumn("at_door", F.size("reasons") > 0), "at_door")


def as_quarantined(found: DataFrame, silver: DataFrame, beside: Mapping[str, Collection[str]]) -> DataFrame:
    """What was `among` the candidates, with the columns of quarantine.sales (without `_run`). `silver`: the lines that are kept by now.

    A line that contradicts a kept one stays a conflicting copy, as it was when somebody corrected it.
    """
    clashes = lines.settle(found, silver.join(found, "line_id", "left_semi"), beside).conflicts.select(*PLACE)
    return lines.as_quarantined(found.join(clashes, PLACE, "left_semi"), CONFLICT).unionByName(
        lines.as_quarantined(found.join(clashes, PLACE, "left_anti"), CORRECTED)
    )
