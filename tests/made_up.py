"""Training frames made up by a few rules, so small that a model of them is made in a blink, and with something in them to learn."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from lakehouse.models.demand import DemandModel
from lakehouse.models.demand_matrix import WINDOWS
from lakehouse.models.demand_training import DemandParameters, DemandTrainer
from lakehouse.models.interface import Json
from lakehouse.models.recommendations import RecommendationsModel
from lakehouse.models.recommendations_frame import Purchases
from lakehouse.models.recommendations_training import RecommendationsParameters, RecommendationsTrainer
from lakehouse.models.segments import SegmentsModel
from lakehouse.models.segments_training import SegmentsParameters, SegmentsTrainer

MONDAY = datetime(2024, 6, 3)  # the newest moment of every frame
EPOCH = datetime(1970, 1, 1)

DEMAND = DemandTrainer(DemandParameters(history_weeks=20, horizon_weeks=4, rounds=5, seed=7, threads=1, leaf_rows=10))
SEGMENTS = SegmentsTrainer(SegmentsParameters(max_clusters=4, bootstraps=4, seed=7))
RECOMMENDATIONS = RecommendationsTrainer(RecommendationsParameters(k=5, label_days=28, seed=7, threads=1, rounds=8, leaf_rows=5))


def day_number(day: datetime) -> int:
    return (day - EPOCH).days


def demand_frame(products: int = 6, moments: int = 24, steady: bool = False) -> pd.DataFrame:
    """One row per product and moment, the last of them MONDAY; the windows of the last four have not closed.

    Products sell around a level of their own, or (`steady`) exactly five a week. Product 0 is 30 weeks old, the others older than the frame.
    """
    draws = np.random.default_rng(5)
    weeks = 60 + moments
    level = 3.0 * (1 + np.arange(products))[:, None]
    units = np.full((products, weeks), 5.0) if steady else draws.poisson(np.repeat(level, weeks, axis=1)).astype(float)
    if not steady:
        units[0, : weeks - 30] = 0.0
    rows: list[dict[str, object]] = []
    for back in reversed(range(moments)):
        end = weeks - 4 - back  # weeks before the moment
        moment = MONDAY - timedelta(weeks=back)
        for product in range(products):
            sold, ahead = units[product, :end], units[product, end : end + 4]
            values: dict[str, object] = {f"units_{window}w": sold[-window:].sum() for window in WINDOWS}
            values |= {f"units_year_ago_{week}": sold[end - 53 + week] for week in (1, 2, 3, 4)}
            values["units_year_ago_13w"] = sold[max(0, end - 52 - 13) : end - 52].sum()
            values |= {f"revenue_{window}w": 2.5 * sold[-window:].sum() for window in (4, 13, 52)}
            values |= {f"lines_{window}w": int((sold[-window:] > 0).sum()) for window in (4, 13, 52)}
            first, last = np.flatnonzero(sold)[[0, -1]] if sold.any() else (end - 1, end - 1)
            values["first_sold"] = pd.Timestamp(moment - timedelta(weeks=int(end - first)))
            values["last_sold"] = pd.Timestamp(moment - timedelta(weeks=int(end - last)))
            values |= {f"y_{week}": np.nan if back < 4 else ahead[week - 1] for week in (1, 2, 3, 4)}
            rows.append({"store": "all", "product_code": f"p{product:02d}", "event_timestamp": pd.Timestamp(moment), **values})
    return pd.DataFrame(rows)


def segments_frame(customers: int = 60) -> pd.DataFrame:
    """One row per customer and moment, as `segments_frame.training_frame` says. Three kinds of customers, a third each, far apart.

    Kind 0 comes every week and spends much, kind 1 every other month, kind 2 came twice, half a year ago. One more has lapsed.
    """
    draws = np.random.default_rng(3)
    closing, month = timedelta(weeks=13), timedelta(weeks=4)
    judged = MONDAY - closing
    rows: list[dict[str, object]] = []
    for moment in (MONDAY, judged, judged - month, judged - closing, judged - month - closing):
        for number in range(customers + 1):
            kind, lapsed = number % 3, number == customers
            near = float(draws.uniform(0.9, 1.1))
            days, spend, recency = (50, 2000.0, 3) if kind == 0 else (6, 200.0, 30) if kind == 1 else (2, 40.0, 180)
            after = (500.0, 40.0, 0.0)[kind] * near
            rows.append(
                {
                    "customer_key": f"c{number:03d}",
                    "event_timestamp": pd.Timestamp(moment),
                    "spend_52w": 0.0 if lapsed else round(spend * near, 2),
                    "units_52w": 0.0 if lapsed else float(round(spend * near / 2)),
                    "units_returned_52w": float(kind == 0),
                    "days_52w": 0 if lapsed else max(1, round(days * near)),
                    "products_ever": max(1, round(days * near)),
                    "first_bought": pd.Timestamp(moment - timedelta(days=700 - 100 * kind)),
                    "last_bought": pd.Timestamp(moment - timedelta(days=500 if lapsed else round(recency * near))),
                    "spend": np.nan if moment == MONDAY else 0.0 if lapsed else after,
                }
            )
    return pd.DataFrame(rows)


def purchases(customers: int = 40, products: int = 12, moments: int = 6) -> Purchases:
    """Customers of two tastes who buy from their half of the products, and one who never bought before. Windows of 28 days; the newest is open."""
    draws = np.random.default_rng(9)
    half = products // 2
    rows: list[dict[str, object]] = []
    for back in range(moments):
        moment = MONDAY - timedelta(days=28 * back)
        for number in range(customers):
            taste = (number % 2) * half
            own = sorted(draws.choice(half, size=min(3, half), replace=False) + taste) if number else []
            bought = sorted(draws.choice(half, size=min(2, half), replace=False) + taste)
            rows.append(
                {
                    "customer_key": f"c{number:03d}",
                    "event_timestamp": pd.Timestamp(moment),
                    "recent_products": [f"p{place:02d}" for place in own],
                    "recent_times": [1 + int(place) % 3 for place in own],
                    "recent_last": [day_number(moment) - 2 - 9 * at for at in range(len(own))],
                    "bought": None if back == 0 else [f"p{place:02d}" for place in bought],
                }
            )
    names = {f"p{place:02d}": f"thing {place}" for place in range(products - 1)}  # the last has none
    return Purchases(pd.DataFrame(rows), names)


@dataclass(frozen=True)
class MadeUp:
    """A model and the questions that its trainer would keep with it."""

    model: DemandModel | SegmentsModel | RecommendationsModel
    questions: list[dict[str, Json]]


def made_up(name: str) -> MadeUp:
    """One of the three models, trained on the frames above: twice the same."""
    if name == "demand":
        frame = demand_frame()
        return MadeUp(DEMAND.fit(frame), DEMAND.golden(frame))
    if name == "segments":
        frame = segments_frame()
        return MadeUp(SEGMENTS.fit(frame), SEGMENTS.golden(frame))
    bought = purchases()
    return MadeUp(RECOMMENDATIONS.fit(bought), RECOMMENDATIONS.golden(bought))
