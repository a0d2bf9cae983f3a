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
from lakehouse.tables.staging import Staged

SALES, QUARANTINE = "silver.sales", "quarantine.sales"
DAYS, CUSTOMER_DAYS, BASKETS = "gold.daily_sales", "gold.customer_days", "gold.baskets"
PRODUCTS, CUSTOMERS, STORES = "gold.products", "gold.customers", "gold.stores"
TABLES = (DAYS, CUSTOMER_DAYS, BASKETS, PRODUCTS, CUSTOMERS, STORES)
Keep = Callable[[DataFrame], DataFrame]


@dataclass(frozen=True)
class GoldReport:
    """What one run did: rows of each gold table that its new lines touched, and all its rows now."""

    touched: dict[str, int]
    rows: dict[str, int]


def build(lake: StageLake) -> GoldReport:
    """Brings gold up to the silver of this run."""
    if lake.run is None:
        raise StateError("gold is built within a run. Use: lake = lakehouse.stage('gold')")
    written, taken_out = _touched(lake)
    touched = lake.staged(written.unionByName(taken_out.frame).distinct())
    if not touched.rows:
        return GoldReport(dict.fromkeys(TABLES, 0), _rows(lake))
    again = _Again(lake, touched.frame, may_be_gone=bool(taken_out.rows))
    lines, customers = lake.read(SALES), touched.frame.where("customer_key IS NOT NULL")
    counts = {
        DAYS: again.fact(DAYS, touched.frame, aggregates.daily_sales),
        CUSTOMER_DAYS: again.fact(CUSTOMER_DAYS, customers, aggregates.customer_days),
        BASKETS: again.fact(BASKETS, touched.frame.where("invoice IS NOT NULL"), aggregates.baskets),
    }
    counts[PRODUCTS] = again.dimension(PRODUCTS, touched.frame, lambda keep: aggregates.products(keep(lake.read(DAYS)), keep(lines)))
    counts[CUSTOMERS] = again.dimension(
        CUSTOMERS, customers, lambda keep: aggregates.customers(keep(lake.read(CUSTOMER_DAYS)), keep(lines))
    )
    counts[STORES] = again.dimension(STORES, touched.frame, lambda keep: aggregates.stores(keep(lake.read(DAYS))))
    return GoldReport(counts, _rows(lake))


def _rows(lake: StageLake) -> dict[str, int]:
    return {name: delta.size(lake.path(name), lake.version(name)).rows for name in TABLES}


def _touched(lake: StageLake) -> tuple[DataFrame, Staged]:
    """(store, product, day, month, customer, receipt) of the lines that this run wrote to silver, and of those that it took out of it."""
    assert lake.run is not None
    names = ("store", "product_code", "day", "month", "customer_key", "invoice")
    written = aggregates.trade(lake.read(SALES).where(F.col("_run") == lake.run.id)).select(*names)
    taken_out = (
        lake.read(QUARANTINE)
        .where((F.col("_run") == lake.run.id) & F.array_contains("reasons", CONFLICT))
        .withColumns({"day": F.to_date("sold_at"), "month": F.date_format("sold_at", "yyyy-MM")})
    )
    return written, lake.staged(taken_out.select(*names))


class _Again:
    """Computes the touched rows of tables again. `may_be_gone`: lines were taken out, so a row may have none left."""

    def __init__(self, lake: StageLake, touched: DataFrame, may_be_gone: bool) -> None:
        self._lake, self._may_be_gone = lake, may_be_gone
        months = [row["month"] for row in touched.select("month").distinct().toArrow().to_pylist()]
        self._lines = lake.read(SALES).where(F.col("month").isin(*sorted(months)))

    def fact(self, name: str, touched: DataFrame, aggregate: Callable[[DataFrame], DataFrame]) -> int:
        """The touched rows of a fact table, from silver. Returns how many there are."""
        return self._write(name, touched, lambda keep: aggregate(keep(self._lines)))

    def dimension(self, name: str, touched: DataFrame, aggregate: Callable[[Keep], DataFrame]) -> int:
        """The touched rows of a dimension. Returns how many there are."""
        return self._write(name, touched, aggregate)

    def _write(self, name: str, touched: DataFrame, aggregate: Callable[[Keep], DataFrame]) -> int:
        key = list(catalog.table(name).key)
        keys = touched.select(*key).distinct()
        rows = self._lake.staged(aggregate(lambda frame: frame.join(keys, key, "left_semi")))
        gone = self._lake.staged(keys.join(rows.frame, key, "left_anti")) if self._may_be_gone else None
        self._lake.writer.merge(name, rows, gone=gone.frame if gone is not None and gone.rows else None)
        return rows.rows
