"""What the recommendations are trained on and asked about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from lakehouse.features import labels, store
from lakehouse.tables import Lake
from lakehouse.tables.moments import floor_moment

if TYPE_CHECKING:
    import pandas as pd

SERVICE = "recommendations_v1"
PRODUCTS = "demand_v1"  # the service of the products' own sales
ACTIVE_WEEKS = 52  # a product sold within so many weeks may be recommended: what comes back every year must be among them
WINDOWS = 5  # closed label windows, one after another: all of them train, and for judging all but the newest


@dataclass(frozen=True)
class Purchases:
    """`rows`: one per customer and moment, its features, and `bought`, the list of products in the label window that begins then; None where
    that has not closed, empty where nothing was bought. `sales`: one row per store, product sold in the 52 weeks before it and moment, with
    the features of the product. `names`: of products, by code."""

    rows: pd.DataFrame
    sales: pd.DataFrame
    names: dict[str, str]


def training_frame(lake: Lake) -> Purchases:
    """Customers and products at the lake's moment and at the moments one, two, … label windows before it."""
    until, days = labels.known_until(lake), lake.settings.models.recommendations.label_days
    first = floor_moment(until, "week")
    moments = [first - timedelta(days=days * back) for back in range(WINDOWS + 1)]
    rows = store.historical(lake, SERVICE, store.customers_at(lake, *moments))
    bought = labels.purchases(lake, moments[1:], days)
    joined = rows.merge(bought.rename(columns={"products": "bought"}), on=["customer_key", "event_timestamp"], how="left")
    closed = joined["event_timestamp"] < moments[0]
    joined["bought"] = [
        None if not is_closed else [] if isinstance(products, float) else list(products)
        for is_closed, products in zip(closed, joined["bought"], strict=True)
    ]
    sales = store.historical(lake, PRODUCTS, store.product_moments(lake, moments, ACTIVE_WEEKS))
    names = lake.read("gold.products").select("product_code", "name").toArrow().to_pylist()
    return Purchases(joined, sales, {row["product_code"]: row["name"] for row in names if row["name"] is not None})


def asking_frame(lake: Lake, moment: datetime) -> pd.DataFrame:
    """One row per customer known by the moment, with the features."""
    return store.historical(lake, SERVICE, store.customers_at(lake, moment))
