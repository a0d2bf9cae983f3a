"""The stage gold: only the days, receipts, customers and products that the new lines touch are computed again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.errors import StateError
from lakehouse.medallion import aggregates
from lakehouse.quality.quarantine import CONFLICT
from lakehouse.tables import StageLake, catalog, delta
from lakehouse.tables.staging import Staged, together
from lakehouse.tables.writer import Within

SALES, QUARANTINE = "silver.sales", "quarantine.sales"
DAYS, CUSTOMER_DAYS, BASKETS = "gold.daily_sales", "gold.customer_days", "gold.baskets"
PRODUCTS, CUSTOMERS, STORES = "gold.products", "gold.customers", "gold.stores"
TABLES = (DAYS, CUSTOMER_DAYS, BASKETS, PRODUCTS, CUSTOMERS, STORES)
Make = Callable[..., DataFrame]  # of a table's rows, from frames
Parts = Sequence[tuple[DataFrame, ...]]
LINES_AT_ONCE = 1_000_000


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
    touched = lake.staged(written.unionByName(taken_out.frame))
    if not touched.rows:
        return GoldReport(dict.fromkeys(TABLES, 0), _rows(lake))
    days = touched.frame.select("day", "month").distinct().toArrow().to_pydict()
    months, lines, customers = set(days["month"]), lake.read(SALES), touched.frame.where("customer_key IS NOT NULL")
    by_day = [(lines.where(F.col("month").isin(*part)),) for part in _parts(lake, months)]

    def again(name: str, of: DataFrame, make: Make, parts: Parts, within: Within | None = None) -> int:
        return _again(lake, name, of, make, parts, bool(taken_out.rows), within)

    on_days = Within("day", days["day"])
    counts = {
        DAYS: again(DAYS, touched.frame, aggregates.daily_sales, by_day, Within("month", months)),
        CUSTOMER_DAYS: again(CUSTOMER_DAYS, customers, aggregates.customer_days, by_day, on_days),
        BASKETS: again(BASKETS, touched.frame.where("invoice IS NOT NULL"), aggregates.baskets, by_day, on_days),
    }
    counts[PRODUCTS] = again(PRODUCTS, touched.frame, aggregates.products, [(lake.read(DAYS), lines)])
    counts[CUSTOMERS] = again(CUSTOMERS, customers, aggregates.customers, [(lake.read(CUSTOMER_DAYS), lines)])
    counts[STORES] = again(STORES, touched.frame, aggregates.stores, [(lake.read(DAYS),)])
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


def _parts(lake: StageLake, months: Collection[str]) -> list[list[str]]:
    """The months in order, those together that have not too many lines to be grouped in memory."""
    rows, found, held = delta.partition_rows(lake.path(SALES), "month", lake.version(SALES)), list[list[str]](), 0
    for month in sorted(months):
        held += rows.get(month, 0)
        if not found or held > LINES_AT_ONCE:
            found.append([])
            held = rows.get(month, 0)
        found[-1].append(month)
    return found


def _again(lake: StageLake, name: str, touched: DataFrame, make: Make, parts: Parts, may_be_gone: bool, within: Within | None) -> int:
    """Computes the touched rows of a table again, all of them where it has none; `make` does it from each of the parts, which share no row of the
    table. Returns how many there are. `may_be_gone`: lines were taken out, so a row may have none left. `within`: where the touched rows are."""
    key, is_first = list(catalog.table(name).key), delta.size(lake.path(name), lake.version(name)).files == 0
    keys = touched.select(*key).distinct()

    def keep(frame: DataFrame) -> DataFrame:
        # A join is made in memory, whatever the keys: of a first load, which touches everything, they would be as many as it has receipts.
        return frame if is_first else frame.join(keys, key, "left_semi")

    rows = together([lake.staged(make(*map(keep, frames))) for frames in parts])
    gone = lake.staged(keys.join(rows.frame, key, "left_anti")) if may_be_gone else None
    lake.writer.merge(name, rows, gone=gone.frame if gone is not None and gone.rows else None, within=within)
    return rows.rows
