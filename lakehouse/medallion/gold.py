"""The stage gold: only the days, receipts, customers and products that the new lines touch are computed again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.errors import StateError
from lakehouse.medallion import aggregates
from lakehouse.quality.quarantine import CONFLICT
from lakehouse.tables import StageLake, catalog, delta
from lakehouse.tables.staging import Staged
from lakehouse.tables.writer import Within

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
    days = touched.frame.select("day", "month").distinct().toArrow().to_pydict()
    lines, customers = lake.read(SALES), touched.frame.where("customer_key IS NOT NULL")
    recent = lines.where(F.col("month").isin(*sorted(set(days["month"]))))

    def again(name: str, of: DataFrame, aggregate: Callable[[Keep], DataFrame], within: Within | None = None) -> int:
        return _again(lake, name, of, aggregate, bool(taken_out.rows), within)

    on_days = Within("day", days["day"])
    counts = {
        DAYS: again(DAYS, touched.frame, lambda keep: aggregates.daily_sales(keep(recent)), Within("month", set(days["month"]))),
        CUSTOMER_DAYS: again(CUSTOMER_DAYS, customers, lambda keep: aggregates.customer_days(keep(recent)), on_days),
        BASKETS: again(BASKETS, touched.frame.where("invoice IS NOT NULL"), lambda keep: aggregates.baskets(keep(recent)), on_days),
    }
    counts[PRODUCTS] = again(PRODUCTS, touched.frame, lambda keep: aggregates.products(keep(lake.read(DAYS)), keep(lines)))
    counts[CUSTOMERS] = again(CUSTOMERS, customers, lambda keep: aggregates.customers(keep(lake.read(CUSTOMER_DAYS)), keep(lines)))
    counts[STORES] = again(STORES, touched.frame, lambda keep: aggregates.stores(keep(lake.read(DAYS))))
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


def _again(
    lake: StageLake, name: str, touched: DataFrame, aggregate: Callable[[Keep], DataFrame], may_be_gone: bool, within: Within | None
) -> int:
    """Computes the touched rows of a table again. Returns how many there are. `may_be_gone`: lines were taken out, so a row may have none left.
    `within`: where the touched rows are."""
    key = list(catalog.table(name).key)
    keys = touched.select(*key).distinct()
    rows = lake.staged(aggregate(lambda frame: frame.join(keys, key, "left_semi")))
    gone = lake.staged(keys.join(rows.frame, key, "left_anti")) if may_be_gone else None
    lake.writer.merge(name, rows, gone=gone.frame if gone is not None and gone.rows else None, within=within)
    return rows.rows
