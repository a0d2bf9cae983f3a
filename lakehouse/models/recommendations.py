"""The recommendations: a customer's own products, those like them and the popular ones, ranked by LightGBM. Arrays in memory, nothing else."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from lakehouse.errors import InputError
from lakehouse.models.candidates import INPUTS, candidates, popularity_ranks
from lakehouse.models.interface import Json, Rows
from lakehouse.models.items import History, Items

if TYPE_CHECKING:
    from lightgbm import Booster

NEEDS = ("recent_products", "recent_times", "recent_last")
ARRAYS = ("popularity", "again", "near", "likeness")
POPULAR_NOW = "popular now"
NEW_EVERY = 4  # of a popular list, so many products lie between two that are bought by the same people


@dataclass(frozen=True)
class Ranked:
    """One recommended product: its place among the items, its score and why."""

    place: int
    score: float
    reason: str


@dataclass(frozen=True)
class RecommendationsModel:
    """Items as they were at the training's moment, and the ranker."""

    name: ClassVar[str] = "recommendations"
    format: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = NEEDS

    items: Items
    ranker: Booster

    @cached_property
    def ranks(self) -> NDArray[np.int64]:
        return popularity_ranks(self.items)

    def rank(self, history: History, day: float, k: int, exclude: Collection[str] = (), only_new: bool = False) -> list[Ranked]:
        """The k best, the best first: each product once, none of `exclude`, with `only_new` none of the history."""
        if not history.products:
            return self.popular(k, exclude)
        found = candidates(self.items, history, day, self.ranks)
        scores = np.asarray(self.ranker.predict(found.matrix, num_threads=1), dtype=np.float64)
        bought, out = set(history.products), set(exclude)
        best: list[Ranked] = []
        for at in np.argsort(-scores, kind="stable"):
            code = self.items.codes[found.places[at]]
            if code in out or (only_new and code in bought):
                continue
            best.append(Ranked(int(found.places[at]), float(scores[at]), self._reason(code, int(found.because[at]), bought)))
            if len(best) == k:
                break
        return best

    def popular(self, k: int, exclude: Collection[str] = ()) -> list[Ranked]:
        """The popular products for somebody of whom nothing is known: of products that the same people buy only the first few."""
        best: list[Ranked] = []
        late: list[Ranked] = []
        alike: dict[int, int] = {}
        for place in np.argsort(self.ranks):
            if self.items.codes[place] in set(exclude):
                continue
            one = Ranked(int(place), float(self.items.popularity[place]), POPULAR_NOW)
            if alike.get(int(place), 0) >= NEW_EVERY:
                late.append(one)
            else:
                best.append(one)
                for near in self.items.near[place][:10]:
                    alike[int(near)] = alike.get(int(near), 0) + 1
            if len(best) == k:
                break
        return (best + late)[:k]

    def answer(self, question: Mapping[str, Json]) -> dict[str, Json]:
        """`{"items": [{"product", "name", "score", "reason"}]}` for a question with `k`, `exclude` and `only_new` beside the features."""
        k, exclude, only_new = question.get("k", 20), question.get("exclude", []), question.get("only_new", False)
        if not isinstance(k, int) or not isinstance(exclude, list):
            raise InputError('a question for recommendations needs "k" (a number) and "exclude" (a list of products)')
        features = question.get("features")
        out = [str(code) for code in exclude]
        if not features:
            best = self.popular(k, out)
        else:
            rows = Rows.of_question(question)
            best = self.rank(histories(rows)[0], float(rows.moment_days()[0]), k, out, bool(only_new))
        listed: list[Json] = [
            {"product": self.items.codes[one.place], "name": self.items.names[one.place], "score": one.score, "reason": one.reason}
            for one in best
        ]
        return {"items": listed}

    def save(self) -> dict[str, bytes]:
        files = {"ranker.txt": self.ranker.model_to_string().encode()}
        for name in ARRAYS:
            place = io.BytesIO()
            np.save(place, getattr(self.items, name), allow_pickle=False)
            files[f"{name}.npy"] = place.getvalue()
        facts = {"codes": list(self.items.codes), "names": list(self.items.names), "inputs": list(INPUTS)}
        return files | {"recommendations.json": json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()}

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> Self:
        """Raises `InputError` for a model that was made for other inputs than this code computes."""
        from lightgbm import Booster  # as late as in the demand model

        facts = json.loads(files["recommendations.json"])
        if tuple(facts["inputs"]) != INPUTS:
            raise InputError("this model of recommendations was trained on other inputs than this version computes: train it again")
        arrays = {name: np.load(io.BytesIO(files[f"{name}.npy"]), allow_pickle=False) for name in ARRAYS}
        codes = tuple(facts["codes"])
        items = Items(codes, tuple(facts["names"]), place={code: number for number, code in enumerate(codes)}, **arrays)
        return cls(items, Booster(model_str=files["ranker.txt"].decode()))

    def _reason(self, code: str, because: int, bought: Collection[str]) -> str:
        if code in bought:
            return "bought before"
        if because < 0:
            return POPULAR_NOW
        return f"often bought with {self.items.names[because] or self.items.codes[because]}"


def histories(rows: Rows) -> list[History]:
    """Each row's history. Days may be counts since 1970-01-01 or ISO text."""
    found = []
    for products, times, last in zip(rows.lists("recent_products"), rows.lists("recent_times"), rows.lists("recent_last"), strict=True):
        days = [np.datetime64(day, "D").astype(np.int64) if isinstance(day, str) else day for day in last]
        codes = tuple(str(product) for product in products)
        found.append(History(codes, np.array(times, dtype=np.float64), np.array(days, dtype=np.float64)))
    return found
