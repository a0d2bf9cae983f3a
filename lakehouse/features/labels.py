"""What happened after a moment: the truth that models are trained on and judged by.

A label is made from the lines known at the run's moment, and only for moments whose label window has closed by then: no line that could
still be sold may change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lakehouse.errors import NothingPublished
from lakehouse.features import weekly
from lakehouse.features.rows import counted
from lakehouse.features.windows import day_number, days_since_epoch, timestamp_of
from lakehouse.tables import Lake

if TYPE_CHECKING:
    import pandas as pd

WHEN = "event_timestamp"


def closed(moments: Sequence[datetime], until: datetime, days: int) -> list[datetime]:
    """The moments whose window of `days` from the moment on has closed by `until`, sorted."""
    return sorted({moment for moment in moments if moment + timedelta(days=days) <= until})


def demand(lake: Lake, entities: pd.DataFrame, horizon_weeks: int) -> pd.DataFrame:
    """The entities (store, product_code, event_timestamp) with closed windows, in their order, with `y_1` … `y_n` beside them.

    `y_h`: units sold less units returned in week h from the moment on, float64, never below 0; 0 where nothing was sold.
    """
    import pandas as pd

    until, days = known_until(lake), 7 * horizon_weeks
    moments = closed([one.to_pydatetime() for one in entities[WHEN].unique()], until, days)
    kept = entities[entities[WHEN].isin(moments)].reset_index(drop=True)
    names = [f"y_{week}" for week in range(1, horizon_weeks + 1)]
    sold = net_units(_window(lake, moments, days), moments, until, horizon_weeks).toArrow().to_pandas()
    sold[WHEN] = pd.to_datetime(sold[WHEN], utc=True).dt.tz_localize(None).astype(kept[WHEN].dtype)
    joined = kept.merge(sold, on=["store", "product_code", WHEN], how="left")
    joined[names] = joined[names].astype("float64").fillna(0.0)
    return joined


def purchases(lake: Lake, moments: Sequence[datetime], days: int) -> pd.DataFrame:
    """One row per moment with a closed window and customer who bought in it: customer_key, event_timestamp, products (sorted); sorted so."""
    import pandas as pd

    until = known_until(lake)
    kept = closed(moments, until, days)
    found = products_bought(_window(lake, kept, days), kept, until, days).orderBy(WHEN, "customer_key")
    bought: pd.DataFrame = found.toArrow().to_pandas()
    bought[WHEN] = pd.to_datetime(bought[WHEN], utc=True).dt.tz_localize(None)
    bought["products"] = [list(products) for products in bought["products"]]
    return bought


def spend(lake: Lake, entities: pd.DataFrame, days: int) -> pd.DataFrame:
    """The entities (customer_key, event_timestamp) with closed windows, in their order, with `spend` beside them.

    `spend`: money taken less money given back in the `days` from the moment on, float64, never below 0; 0 where nothing was bought.
    """
    import pandas as pd

    until = known_until(lake)
    moments = closed([one.to_pydatetime() for one in entities[WHEN].unique()], until, days)
    kept = entities[entities[WHEN].isin(moments)].reset_index(drop=True)
    spent = net_spend(_window(lake, moments, days), moments, until, days).toArrow().to_pandas()
    spent[WHEN] = pd.to_datetime(spent[WHEN], utc=True).dt.tz_localize(None).astype(kept[WHEN].dtype)
    joined = kept.merge(spent, on=["customer_key", WHEN], how="left")
    joined["spend"] = joined["spend"].astype("float64").fillna(0.0)
    return joined


def net_units(lines: DataFrame, moments: Sequence[datetime], until: datetime, horizon_weeks: int) -> DataFrame:
    """One row per store, product and moment with a line in its window: `y_1` … `y_n`, net units per week from the moment on, as doubles."""
    daily = _known(lines, until).groupBy("store", "product_code", "sold_day").agg(F.sum(counted(F.col("quantity"), 3)).alias("units"))
    asked = _asked(daily, moments, 7 * horizon_weeks)
    week = F.floor((F.col("sold_day") - F.col("asked")) / F.lit(7)) + F.lit(1)
    sums = [F.sum(F.when(F.col("week") == h, F.col("units")).otherwise(0)).alias(f"y_{h}") for h in range(1, horizon_weeks + 1)]
    found = asked.withColumn("week", week).groupBy("store", "product_code", "asked").agg(*sums)
    values = [(F.greatest(F.col(f"y_{h}"), F.lit(0)) / F.lit(1000.0)).alias(f"y_{h}") for h in range(1, horizon_weeks + 1)]
    return found.select("store", "product_code", timestamp_of(F.col("asked")).alias(WHEN), *values)


def products_bought(lines: DataFrame, moments: Sequence[datetime], until: datetime, days: int) -> DataFrame:
    """One row per customer and moment: `products`, the distinct ones that the customer bought in the `days` from the moment on, sorted."""
    sales = _known(lines, until).where((F.col("kind") == "sale") & F.col("customer_key").isNotNull())
    daily = sales.select("customer_key", "product_code", "sold_day").distinct()
    bought = (
        _asked(daily, moments, days).groupBy("customer_key", "asked").agg(F.sort_array(F.collect_set("product_code")).alias("products"))
    )
    return bought.select("customer_key", timestamp_of(F.col("asked")).alias(WHEN), "products")


def net_spend(lines: DataFrame, moments: Sequence[datetime], until: datetime, days: int) -> DataFrame:
    """One row per customer and moment with a line in the `days` from the moment on: `spend`, net of returns, never below 0, a double."""
    known = _known(lines, until).where(F.col("customer_key").isNotNull())
    daily = known.groupBy("customer_key", "sold_day").agg(F.sum(counted(F.col("amount"), 4)).alias("amount"))
    spent = _asked(daily, moments, days).groupBy("customer_key", "asked").agg(F.sum("amount").alias("amount"))
    value = (F.greatest(F.col("amount"), F.lit(0)) / F.lit(10_000.0)).alias("spend")
    return spent.select("customer_key", timestamp_of(F.col("asked")).alias(WHEN), value)


def known_until(lake: Lake) -> datetime:
    """The moment that the lake looks from: its run's, or the newest snapshot's."""
    if lake.run is not None:
        return lake.run.moment
    published = lake.snapshot()
    if published is None:
        raise NothingPublished("nothing published yet, so no label window has closed. Load files, then run: zeromargin run")
    return published.moment


def _known(lines: DataFrame, until: datetime) -> DataFrame:
    """Sale and return lines sold and known before `until`, with `sold_day`."""
    before = timestamp_of(F.lit(day_number(until)))
    used = lines.where(F.col("kind").isin("sale", "return") & (F.col("sold_at") < before) & (F.col("_known_at") < before))
    return used.withColumn("sold_day", days_since_epoch(F.col("sold_at")))


def _asked(lines: DataFrame, moments: Sequence[datetime], days: int) -> DataFrame:
    """A line once for each moment in whose window of `days` it lies; the moment in days as `asked`."""
    if not moments:
        return lines.where(F.lit(False)).withColumn("asked", F.lit(0))
    chosen = F.array(*(F.lit(day_number(moment)) for moment in sorted(set(moments))))

    def covers(moment: Column) -> Column:
        return (moment <= F.col("sold_day")) & (F.col("sold_day") < moment + F.lit(days))

    return lines.withColumn("asked", F.explode(F.filter(chosen, covers)))


def _window(lake: Lake, moments: Sequence[datetime], days: int) -> DataFrame:
    """silver.sales, its months that the windows do not reach left out."""
    lines = weekly.sales(lake)
    if not moments:
        return lines.where(F.lit(False))
    first, last = min(moments), max(moments) + timedelta(days=days)
    return lines.where(F.col("month").between(f"{first:%Y-%m}", f"{last:%Y-%m}"))
