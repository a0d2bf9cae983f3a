"""The stage gold: only the days, receipts, customers and products that the new lines touch are computed again."""

from __future__ import annotations

from collections.abc import Callable, Collection
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
Part = tuple[DataFrame, tuple[DataFrame, ...]]  # what is touched, and the frames that its rows are made from
LINES_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Touched:
    """Store, product, day, month, customer and receipt of each line that this run wrote to silver, and of each that it took out of it; a row
    may be there twice. `is_all`: silver has no other lines, and gold no rows yet. `is_taken_out`: a line may have been taken out."""

    frame: DataFrame
    is_all: bool
    is_taken_out: bool


@dataclass(frozen=True)
class GoldReport:
    """What one run did: rows of each gold table that its new lines touched, and all its rows now."""

    touched: dict[str, int]
    rows: dict[str, int]


def build(lake: StageLake) -> GoldReport:
    """Brings gold up to the silver of this run."""
    if lake.run is None:
        raise StateError("gold is built within a run. Use: lake = lakehouse.stage('gold')")
    lines, touched = lake.read(SALES), _touched(lake)
    months = set(touched.frame.select("month").distinct().toArrow().column("month").to_pylist())
    if not months:
        return GoldReport(dict.fromkeys(TABLES, 0), _rows(lake))
    customers = touched.frame.where("customer_key IS NOT NULL")
    parts = _parts(lake, months)

    def by_day(of: DataFrame) -> list[Part]:
        among = [F.col("month").isin(*part) for part in parts]
        return [(of.where(part), (lines.where(part),)) for part in among]

    def again(name: str, make: Make, parts: list[Part], within: Within | None = None) -> int:
        return _again(lake, name, touched, make, parts, within)

    in_months = Within("month", months)
    counts = {
        DAYS: again(DAYS, aggregates.daily_sales, by_day(touched.frame), in_months),
        CUSTOMER_DAYS: again(CUSTOMER_DAYS, aggregates.customer_days, by_day(customers), in_months),
        BASKETS: again(BASKETS, aggregates.baskets, by_day(touched.frame.where("invoice IS NOT NULL")), in_months),
    }
    counts[PRODUCTS] = again(PRODUCTS, aggregates.products, [(touched.frame, (lake.read(DAYS), lines))])
    counts[CUSTOMERS] = again(CUSTOMERS, aggregates.customers, [(customers, (lake.read(CUSTOMER_DAYS), lines))])
    counts[STORES] = again(STORES, aggregates.stores, [(touched.frame, (lake.read(DAYS),))])
    return GoldReport(counts, _rows(lake))


def _rows(lake: StageLake) -> dict[str, int]:
    return {name: _count(lake, name) for name in TABLES}


def _count(lake: StageLake, name: str) -> int:
    return delta.size(lake.path(name), lake.version(name)).rows


def _touched(lake: StageLake) -> Touched:
    assert lake.run is not None
    silver, names = lake.read(SALES), ("store", "product_code", "day", "month", "customer_key", "invoice")
    written = aggregates.trade(silver.where(F.col("_run") == lake.run.id)).select(*names)
    if not any(_count(lake, name) for name in TABLES) and not silver.where(F.col("_run") != lake.run.id).limit(1).count():
        return Touched(written, is_all=True, is_taken_out=False)
    conflicts = lake.read(QUARANTINE).where((F.col("_run") == lake.run.id) & F.array_contains("reasons", CONFLICT))
    dated = conflicts.withColumns({"day": F.to_date("sold_at"), "month": F.date_format("sold_at", "yyyy-MM")})
    taken_out = lake.staged(dated.select(*names))
    return Touched(lake.staged(written.unionByName(taken_out.frame)).frame, is_all=False, is_taken_out=bool(taken_out.rows))


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


def _again(lake: StageLake, name: str, touched: Touched, make: Make, parts: list[Part], within: Within | None) -> int:
    """Computes the touched rows of a table again, from parts of which no two have to do with the same row. Returns how many there are. `within`:
    where the touched rows are."""
    key, found, gone = list(catalog.table(name).key), list[Staged](), list[Staged]()
    for of, frames in parts:
        if touched.is_all:
            # Keys are joined in memory, and would be as many as there are receipts. There is nothing to pick, and nothing that may be gone.
            found.append(lake.staged(make(*frames)))
            continue
        keys = of.select(*key).distinct()
        found.append(lake.staged(make(*(frame.join(keys, key, "left_semi") for frame in frames))))
        if touched.is_taken_out:
            gone.append(lake.staged(keys.join(found[-1].frame, key, "left_anti")))
    rows, leaving = together(found), together(gone) if gone else None
    lake.writer.merge(name, rows, gone=leaving.frame if leaving is not None and leaving.rows else None, within=within)
    return rows.rows
