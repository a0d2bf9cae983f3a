"""What is answered where no model can: simple, and marked as such by version "baseline" and the reason under `fallback`."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from lakehouse.features.popular import PopularProduct
from lakehouse.models.interface import Json

VERSION = "baseline"
WINDOW = "units_4w"
WEEKS = 4
_TEN_PERCENT = 1.2816  # of a normal distribution lies below the mean less so many deviations

UNSEGMENTED: dict[str, Json] = {
    "name": "unsegmented",
    "description": "No segment: nothing is known of this customer yet, or there is no model of segments.",
}


def forecast(features: Mapping[str, object] | None, first: datetime, weeks: int, group: float) -> dict[str, Json]:
    """The mean of the last four weeks for every week ahead, as `lakehouse.registry.batch` does; `group` where nothing is known.

    The interval is that of a Poisson distribution, taken as normal.
    """
    mean = max(0.0, group if features is None else _number(features.get(WINDOW)) / WEEKS)
    reach = _TEN_PERCENT * math.sqrt(mean)
    figures: dict[str, Json] = {"mean": mean, "median": mean, "low": max(0.0, mean - reach), "high": mean + reach}
    return {"forecast": [{"week": (first + timedelta(days=7 * week)).date().isoformat(), **figures} for week in range(weeks)]}


def segment() -> dict[str, Json]:
    return {"segment": dict(UNSEGMENTED)}


def recommendations(popular: Sequence[PopularProduct], k: int, without: Collection[str]) -> dict[str, Json]:
    """The k most popular products that are not among those `without` which is asked."""
    kept = [one for one in popular if one.product not in without][:k]
    return {"items": [{"product": one.product, "name": one.name, "score": one.score, "reason": "popular now"} for one in kept]}


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0
