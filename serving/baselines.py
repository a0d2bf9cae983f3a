"""What answers while nobody is champion: the average of the last four weeks, no segment, no recommendations. Always marked."""

from __future__ import annotations

from datetime import timedelta

from lakehouse.features.values import FeatureValues
from lakehouse.models.interface import Json
from serving.publication import Publication
from serving.schemas import ModelUsed

VERSION = "baseline"
WEEKS = 4
MODEL = {name: ModelUsed(name=name, version=VERSION, digest=None) for name in ("demand", "segments", "recommendations")}


def forecast(values: FeatureValues | None, publication: Publication) -> dict[str, Json]:
    """The same units for each of four weeks: a product's mean over the last four, 0 where nothing is known."""
    sold = None if values is None else values.values.get("units_4w")
    mean = max(float(sold), 0.0) / WEEKS if isinstance(sold, int | float) else 0.0
    first = publication.moment if values is None else values.as_of
    weeks: list[Json] = []
    for week in range(WEEKS):
        figures: dict[str, Json] = dict.fromkeys(("mean", "median", "low", "high"), mean)
        weeks.append({"week": (first + timedelta(weeks=week)).date().isoformat(), **figures})
    return {"forecast": weeks}


def segment() -> dict[str, Json]:
    return {"segment": {"name": "unsegmented", "description": "Nothing is known that would tell this customer from others."}}
