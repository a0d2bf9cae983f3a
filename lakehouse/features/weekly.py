"""Weekly totals within features: they count on the last day of their week, and nobody knows them earlier."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.ingest.told import told
from lakehouse.tables import Lake
from lakehouse.tables.moments import SOLD_BY

SALES = "silver.sales"


def sales(lake: Lake) -> DataFrame:
    """silver.sales as features and labels count it: of a weekly total `sold_at` and `month` are those of the last day that it covers, and `_known_at` is no
    earlier. A week that begins on a Sunday would else be known six days before it ends, at the Monday within it."""
    lines = lake.read(SALES)
    if not any(one.is_weekly for one in told(lake)):
        return lines  # as they are: their files and partitions are then left out by what is asked of these columns
    last = F.expr(SOLD_BY)
    return lines.withColumns({"sold_at": last, "month": F.date_format(last, "yyyy-MM"), "_known_at": F.greatest(F.col("_known_at"), last)})
