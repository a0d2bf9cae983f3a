"""The customer segments: centres in a space of six scaled measures, each with a stable name and a profile in plain words. JSON, nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from lakehouse.errors import InputError
from lakehouse.models.interface import Floats, Json, Rows

NEEDS = ("spend_52w", "units_52w", "units_returned_52w", "days_52w", "products_ever", "first_bought", "last_bought")
MEASURES = ("recency", "frequency", "spend", "tenure", "breadth", "return_rate")
WIDEST = 3.0  # a measure further than three deviations from the mean says no more than three
LAPSED = "lapsed"
ARRAYS = ("mean", "spread", "weight", "outlook", "centres")


@dataclass(frozen=True)
class Segment:
    """A segment's name, its profile in plain words, and what it suggests to do."""

    name: str
    description: str
    use: str


@dataclass(frozen=True)
class SegmentsModel:
    """k segments. `mean`, `spread`, `weight`: one per measure. `outlook`: one factor per column of `outlook_inputs`. `centres`: one row per
    segment, one column per measure and one for the outlook. Whoever bought nothing in the year is `lapsed`."""

    name: ClassVar[str] = "segments"
    format: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = NEEDS

    mean: Floats
    spread: Floats
    weight: Floats
    outlook: Floats
    centres: Floats
    segments: tuple[Segment, ...]
    lapsed: Segment

    def predict(self, rows: Rows) -> list[Segment]:
        """The segment of each row."""
        return [self.lapsed if place < 0 else self.segments[place] for place in self.places(rows)]

    def places(self, rows: Rows) -> NDArray[np.int64]:
        """The place of each row's segment; -1 where nothing was bought in the year before."""
        active = is_active(rows)
        found = np.full(len(rows), -1, dtype=np.int64)
        if active.any():
            space = self.scaled(measured(rows)[active])
            found[active] = np.argmin(((space[:, None, :] - self.centres[None, :, :]) ** 2).sum(axis=2), axis=1)
        return found

    def scaled(self, values: Floats) -> Floats:
        """The space in which centres lie: measures by their weight, and what such customers spent next."""
        plain = scaled(values, self.mean, self.spread)
        return np.column_stack([plain * self.weight, outlook_inputs(plain) @ self.outlook])

    def answer(self, question: Mapping[str, Json]) -> dict[str, Json]:
        """`{"segment": {"name", "description"}}`."""
        found = self.predict(Rows.of_question(question))[0]
        return {"segment": {"name": found.name, "description": f"{found.description} {found.use}"}}

    def save(self) -> dict[str, bytes]:
        facts: dict[str, object] = {name: getattr(self, name).tolist() for name in ARRAYS}
        facts |= {"measures": list(MEASURES), "segments": [asdict(one) for one in self.segments], "lapsed": asdict(self.lapsed)}
        return {"segments.json": json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()}

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> Self:
        """Raises `InputError` for a model that was made for other measures than this code computes."""
        facts = json.loads(files["segments.json"])
        if tuple(facts["measures"]) != MEASURES:
            raise InputError("this model of segments was trained on other measures than this version computes: train it again")
        arrays: dict[str, Floats] = {name: np.array(facts[name], dtype=np.float64) for name in ARRAYS}
        return cls(segments=tuple(Segment(**one) for one in facts["segments"]), lapsed=Segment(**facts["lapsed"]), **arrays)


def scaled(values: Floats, mean: Floats, spread: Floats) -> Floats:
    """Measures less their mean, in deviations, no further than three."""
    found: Floats = np.clip((values - mean) / spread, -WIDEST, WIDEST)
    return found


def outlook_inputs(plain: Floats) -> Floats:
    """What the outlook is linear in: the scaled measures, recency, frequency and spend above their means once more, and 1."""
    return np.column_stack([plain, np.maximum(plain[:, :3], 0.0), np.ones(len(plain))])


def is_active(rows: Rows) -> NDArray[np.bool_]:
    """Who bought in the 52 weeks before the moment."""
    active: NDArray[np.bool_] = np.nan_to_num(rows.numbers("days_52w"), nan=0.0) > 0
    return active


def measured(rows: Rows) -> Floats:
    """One row of MEASURES per row, finite for any input: days since the last purchase, days bought on, spend, days since the first purchase
    and products, each as log(1 + x), and units returned as a share of units bought."""

    def least(values: Floats) -> Floats:
        return np.clip(np.nan_to_num(values, nan=0.0, posinf=1e12, neginf=0.0), 0.0, 1e12)

    units, returned = least(rows.numbers("units_52w")), least(rows.numbers("units_returned_52w"))
    return np.column_stack(
        [
            np.log1p(least(rows.ages("last_bought"))),
            np.log1p(least(rows.numbers("days_52w"))),
            np.log1p(least(rows.numbers("spend_52w"))),
            np.log1p(least(rows.ages("first_bought"))),
            np.log1p(least(rows.numbers("products_ever"))),
            np.minimum(returned / np.maximum(units, 1.0), 1.0),
        ]
    )
