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
    they = lake.spark.createDataFrame(sorted(by_number), "file_digest string, line_number bigint")
    files = sorted({file for file, _ in by_number})
    bronze = lake.read(BRONZE, version=lake.run.bronze).where(F.col("file_digest").isin(*files))
    corrected = lines.typed(bronze.join(they, they.columns, "left_semi"))
    values = lines.values_hash(beside).alias("values")
    from_others = candidates.where(~F.col("_file").isin(*let_in)).select("*", values)
    copies = from_others.join(corrected.select("line_id", values), ["line_id", "values"], "left_semi").drop("values")
    # What was let in may say the same as what it corrects, but for the customer; it may have been corrected in turn.
    again = candidates.where(F.col("_file").isin(*let_in)).join(corrected.select(*PLACE), PLACE, "left_semi")
    return lake.staged(copies.unionByName(again))


def as_quarantined(found: DataFrame, silver: DataFrame, beside: Mapping[str, Collection[str]]) -> DataFrame:
    """What was `among` the candidates, with the columns of quarantine.sales (without `_run`). `silver`: the lines that are kept by now.

    A line that contradicts a kept one stays a conflicting copy, as it was when somebody corrected it.
    """
    clashes = lines.settle(found, silver.join(found, "line_id", "left_semi"), beside).conflicts.select(*PLACE)
    return lines.as_quarantined(found.join(clashes, PLACE, "left_semi"), CONFLICT).unionByName(
        lines.as_quarantined(found.join(clashes, PLACE, "left_anti"), CORRECTED)
    )
