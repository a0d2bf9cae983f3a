"""The demand model: weekly units per product, some weeks ahead. LightGBM boosters as text, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from lakehouse.errors import InputError
from lakehouse.models.demand_matrix import INPUTS, NEEDS, demand_matrix
from lakehouse.models.interface import Floats, Json, Rows

if TYPE_CHECKING:
    from lightgbm import Booster

PARTS = ("mean", "median", "low", "high")
BASELINE_WEEKS = 4
_TEN_PERCENT = 1.2816  # of a normal distribution lies below the mean less so many deviations


@dataclass(frozen=True)
class Forecast:
    """Units per week: one row per entity, one column per week ahead. low and high are the 10 % and 90 % quantiles.

    0 <= low <= median <= high. `mean` is what orders add up to; where demand is lumpy it may lie above `high`.
    """

    mean: Floats
    median: Floats
    low: Floats
    high: Floats

    def weekly(self, row: int, first: date) -> list[Json]:
        """One entity's weeks as they are answered: `{"week": first day, "mean", "median", "low", "high"}`; week 1 begins on `first`."""
        weeks: list[Json] = []
        for week in range(self.mean.shape[1]):
            figures: dict[str, Json] = {part: float(getattr(self, part)[row, week]) for part in PARTS}
            weeks.append({"week": (first + timedelta(weeks=week)).isoformat(), **figures})
        return weeks


@dataclass(frozen=True)
class DemandModel:
    """One booster per part of a forecast, each of the product's recent mean; `weeks` is how far it looks ahead."""

    name: ClassVar[str] = "demand"
    format: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = NEEDS

    boosters: Mapping[str, Booster]
    weeks: int

    def predict(self, rows: Rows) -> Forecast:
        """Mean, median and 80 % interval for each row and week from its moment on: finite and not negative for any finite input."""
        inputs = demand_matrix(rows, self.weeks)
        flat = inputs.matrix.reshape(-1, len(INPUTS))
        threads = 1 if len(flat) < 1_000 else 0  # handing a few rows to other threads takes longer than answering
        found = {
            part: np.maximum(
                np.asarray(self.boosters[part].predict(flat, num_threads=threads), dtype=np.float64).reshape(len(rows), self.weeks), 0.0
            )
            * inputs.scale[:, None]
            for part in PARTS
        }
        low, median, high = np.sort(np.stack([found["low"], found["median"], found["high"]]), axis=0)
        return Forecast(found["mean"], median, low, high)

    def answer(self, question: Mapping[str, Json]) -> dict[str, Json]:
        """`{"forecast": [{"week": first day, "mean", "median", "low", "high"}]}`; week 1 begins at the moment."""
        rows = Rows.of_question(question)
        return {"forecast": self.predict(rows).weekly(0, rows.moments[0].astype("datetime64[D]").item())}

    def save(self) -> dict[str, bytes]:
        facts = {"weeks": self.weeks, "inputs": list(INPUTS)}
        files = {f"{part}.txt": self.boosters[part].model_to_string().encode() for part in PARTS}
        return files | {"demand.json": json.dumps(facts, sort_keys=True).encode()}

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> Self:
        """Raises `InputError` for a model that was made for other inputs than this code computes."""
        from lightgbm import Booster  # brings scikit-learn and SciPy: a second for a command that only tells what there is

        facts = json.loads(files["demand.json"])
        if tuple(facts["inputs"]) != INPUTS:
            raise InputError("this demand model was trained on other inputs than this version computes: train it again")
        boosters = {part: Booster(model_str=files[f"{part}.txt"].decode()) for part in PARTS}
        return cls(boosters, int(facts["weeks"]))


def window_average(rows: Rows, window: int, weeks: int) -> Floats:
    """The mean of the last `window` weeks for every week ahead, never negative. One row per entity, one column per week."""
    units = np.nan_to_num(rows.numbers(f"units_{window}w"), nan=0.0)
    return np.repeat(np.maximum(units / window, 0.0)[:, None], weeks, axis=1)


def baseline(rows: Rows, weeks: int) -> Forecast:
    """What is forecast where no model may: the mean of the last four weeks, for every week ahead. Needs the feature units_4w alone."""
    return around(window_average(rows, BASELINE_WEEKS, weeks))


def around(mean: Floats) -> Forecast:
    """These means, none below zero, each with the 80 % interval of a Poisson distribution, taken as normal."""
    reach = _TEN_PERCENT * np.sqrt(mean)
    return Forecast(mean, mean, np.maximum(mean - reach, 0.0), mean + reach)
