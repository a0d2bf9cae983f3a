"""What is answered where no model can: simple, and marked as such by version "baseline" and the reason under `fallback`."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import numpy as np

from lakehouse.features.popular import PopularProduct
from lakehouse.models.demand import BASELINE_WEEKS, around, baseline
from lakehouse.models.interface import Json, Rows

VERSION = "baseline"
WEEKS = BASELINE_WEEKS
WINDOW = f"units_{WEEKS}w"

UNSEGMENTED: dict[str, Json] = {
    "name": "unsegmented",
    "description": "No segment: nothing is known of this customer yet, or there is no model of segments.",
}


def forecast(features: Mapping[str, object] | None, first: datetime, weeks: int, group: float) -> dict[str, Json]:
    """The baseline of the batch predictions for every week ahead; of a product that nothing is known of, `group` units a week."""
    known = None if features is None else Rows.of_one({WINDOW: _number(features.get(WINDOW))}, first)
    found = around(np.full((1, weeks), max(0.0, group))) if known is None else baseline(known, weeks)
    return {"forecast": found.weekly(0, first.date())}


def segment() -> dict[str, Json]:
    return {"segment": dict(UNSEGMENTED)}


def recommendations(popular: Sequence[PopularProduct], k: int, without: Collection[str]) -> dict[str, Json]:
    """The k most popular products that are not among those `without` which is asked."""
    kept = [one for one in popular if one.product not in without][:k]
    return {"items": [{"product": one.product, "name": one.name, "score": one.score, "reason": "popular now"} for one in kept]}


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0
