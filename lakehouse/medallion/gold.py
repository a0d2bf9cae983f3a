"""The stage gold: only the days, receipts, customers and products that the new lines touch are computed again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.errors import StateError
from lakehouse.medallion import aggregates
from lakehouse.medallion.lines import CONFLICT
from lakehouse.tables import StageLake, catalog, delta

SALES, QUARANTINE = "silver.sales", "quarantine.sales"
DAYS, CUSTOMER_DAYS = "gold.daily_sales", "gold.customer_days"


@dataclass(frozen=True)
class GoldReport:
    """What one run did: rows of each gold table that its new lines touched, and all its rows now."""

    touched: dict[str, int]
    rows: dict[str, int]


def build(lake: StageLake) -> GoldReport:
    """Brings gold up to the silver of this run."""
    if lake.run is None:
        raise StateError("gold is built within a run. Use: lake = lakehouse.stage('gold')")
    touched = lake.staged(_touched(lake))
    counts = {
        DAYS: _again(lake, DAYS, touched, aggregates.daily_sales),
        CUSTOMER_DAYS: _again(lake, CUSTOMER_DAYS, touched.where("customer_key IS NOT NULL"), aggregates.customer_days),
        "gold.baskets": _again(lake, "gold.baskets", touched.where("invoice IS NOT NULL"), aggregates.baskets),
    }
    lines = lake.read(SALES)
    products = touched.select("product_code").distinct()
    customers = touched.where("customer_key IS NOT NULL").select("customer_key").distinct()
    stores = touched.select("store").distinct()
    counts["gold.products"] = _dimension(
        lake, "gold.products", products, lambda keep: aggregates.products(keep(lake.read(DAYS)), keep(lines))
    )
    counts["gold.customers"] = _dimension(
        lake, "gold.customers", customers, lambda keep: aggregates.customers(keep(lake.read(CUSTOMER_DAYS)), keep(lines))
    )
    counts["gold.stores"] = _dimension(lake, "gold.stores", stores, lambda keep: aggregates.stores(keep(lake.read(DAYS))))
    rows = {name: delta.size(lake.path(name), lake.version(name)).rows for name in counts}
    return GoldReport(counts, rows)


def _touched(lake: StageLake) -> DataFrame:
    """One row per (store, product, day, month, customer, receipt) of the lines that this run wrote to silver or took out of it."""
    assert lake.run is not None
    names = ("store", "product_code", "day", "month", "customer_key", "invoice")
    written = aggregates.trade(lake.read(SALES).where(F.col("_run") == lake.run.id)).select(*names)
    taken_out = (
        lake.read(QUARANTINE)
        .where((F.col("_run") == lake.run.id) & F.array_contains("reasons", CONFLICT))
        .withColumns({"day": F.to_date("sold_at"), "month": F.date_format("sold_at", "yyyy-MM")})
    )
    return written.unionByName(taken_out.select(*names)).distinct()


def _again(lake: StageLake, name: str, touched: DataFrame, aggregate: Callable[[DataFrame], DataFrame]) -> int:
    """Computes the touched rows of a fact table again from silver. Returns how many there are."""
    key = catalog.table(name).key
    keys = touched.select(*key).distinct()
    months = [row["month"] for row in touched.select("month").distinct().toArrow().to_pylist()]
    if not months:
        return 0
    lines = lake.read(SALES).where(F.col("month").isin(*months)).join(keys, list(key), "left_semi")
    rows = lake.staged(aggregate(lines))
    gone = keys.join(rows, list(key), "left_anti")
    lake.writer.merge(name, rows, gone=None if gone.isEmpty() else gone)
    return rows.count()


def _dimension(lake: StageLake, name: str, keys: DataFrame, aggregate: Callable[[Callable[[DataFrame], DataFrame]], DataFrame]) -> int:
    """Computes the touched rows of a dimension again. Returns how many there are."""
    key = list(catalog.table(name).key)
    rows = lake.staged(aggregate(lambda frame: frame.join(keys, key, "left_semi")))
    gone = keys.join(rows, key, "left_anti")
    lake.writer.merge(name, rows, gone=None if gone.isEmpty() else gone)
    return rows.count()
