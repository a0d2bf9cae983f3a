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
    corrected = _corrected(lake, candidates, by_number)
    values, customer = lines.values_hash(beside).alias("values"), F.coalesce("customer_key", F.lit("")).alias("customer")
    marked = candidates.where(~F.col("_file").isin(*let_in)).select("*", values, customer)
    same = ["line_id", "values", "customer"]
    # Of a line that the door refused hardly anything is kept but its id.
    at_door = corrected.where("at_door AND line_id IS NOT NULL").select("line_id")
    copies = [marked.join(at_door, "line_id", "left_semi")]
    copies.append(marked.join(at_door, "line_id", "left_anti").join(corrected.select("line_id", values, customer), same, "left_semi"))
    # What was let in may have the id of what it corrects, and may have been corrected in turn.
    again = candidates.where(F.col("_file").isin(*let_in)).join(corrected.select(*PLACE), PLACE, "left_semi")
    return lake.staged(copies[0].unionByName(copies[1]).drop("values", "customer").unionByName(again))


def _corrected(lake: StageLake, candidates: DataFrame, by_number: Collection[tuple[str, int]]) -> DataFrame:
    """The lines of bronze that were corrected, as far as they can have to do with the candidates: copies of one line are of one time."""
    assert lake.run is not None
    (told,) = candidates.agg(F.min("sold_at").alias("first"), F.max("sold_at").alias("last")).toArrow().to_pylist()
    they = lake.spark.createDataFrame(sorted(by_number), "file_digest string, line_number bigint")
    files = sorted({file for file, _ in by_number})
    bronze = lake.read(BRONZE, version=lake.run.bronze).where(F.col("file_digest").isin(*files))
    if told["first"] is not None:
        first, last = (f"TIMESTAMP'{told[name]:%Y-%m-%d %H:%M:%S.%f}'" for name in ("first", "last"))
        bronze = bronze.where(f"sold_at BETWEEN {first} AND {last}")
    found = bronze.join(they, they.columns, "left_semi").withColumn("at_door", F.size("reasons") > 0)
    return lines.typed(found, "at_door")


def as_quarantined(found: DataFrame, silver: DataFrame, beside: Mapping[str, Collection[str]]) -> DataFrame:
    """What was `among` the candidates, with the columns of quarantine.sales (without `_run`). `silver`: the lines that are kept by now.

    A line that contradicts a kept one stays a conflicting copy, as it was when somebody corrected it.
    """
    clashes = lines.settle(found, silver.join(found, "line_id", "left_semi"), beside).conflicts.select(*PLACE)
    return lines.as_quarantined(found.join(clashes, PLACE, "left_semi"), CONFLICT).unionByName(
        lines.as_quarantined(found.join(clashes, PLACE, "left_anti"), CORRECTED)
    )
