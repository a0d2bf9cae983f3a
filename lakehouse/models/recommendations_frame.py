"""What the recommendations are trained on and asked about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lakehouse.features import labels, store
from lakehouse.models.interface import EPOCH, Rows
from lakehouse.models.items import History, Items, items_of
from lakehouse.models.recommendations import histories
from lakehouse.tables import Lake
from lakehouse.tables.moments import floor_moment

if TYPE_CHECKING:
    import pandas as pd

SERVICE = "recommendations_v1"
WINDOWS = 5  # closed label windows, one after another: all of them train, and for judging all but the newest


@dataclass(frozen=True)
class Moment:
    """All customers at one moment, sorted by key: histories, and the products bought in the label window; None where it has not closed."""

    day: float
    histories: list[History]
    bought: list[frozenset[str] | None]
    items: Items

    @property
    def is_closed(self) -> bool:
        """Whether somebody bought in its label window, and there is something to buy."""
        return any(self.bought) and bool(self.items.codes)


@dataclass(frozen=True)
class Purchases:
    """`rows`: one per customer and moment, its features, and `bought`, the list of products in the label window that begins then; None where
    that has not closed, empty where nothing was bought. `names`: of products, by code."""

    rows: pd.DataFrame
    names: dict[str, str]

    @cached_property
    def moments(self) -> list[Moment]:
        """The newest first. What is trained on, judged on and asked about are the same ones."""
        made = []
        for moment in sorted(self.rows["event_timestamp"].unique(), reverse=True):
            rows = self.rows[self.rows["event_timestamp"] == moment].sort_values("customer_key", ignore_index=True)
            day = float((np.datetime64(moment, "s") - EPOCH.astype("datetime64[s]")).astype(np.int64) / 86_400)
            held = histories(Rows.of_frame(rows))
            bought = [None if products is None else frozenset(products) for products in rows["bought"]]
            made.append(Moment(day, held, bought, items_of(held, day, self.names)))
        return made


def training_frame(lake: Lake) -> Purchases:
    """Customers at the lake's moment and at the moments one, two, … label windows before it."""
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
    names = lake.read("gold.products").select("product_code", "name").toArrow().to_pylist()
    return Purchases(joined, {row["product_code"]: row["name"] for row in names if row["name"] is not None})


def asking_frame(lake: Lake, moment: datetime) -> pd.DataFrame:
    """One row per customer known by the moment, with the features."""
    return store.historical(lake, SERVICE, store.customers_at(lake, moment))
