"""The products worth ranking for one customer, and what the ranker is told of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lakehouse.models.interface import Floats
from lakehouse.models.items import History, Items, own_weight

FROM_LIKENESS, FROM_POPULARITY = 120, 60
INPUTS = (
    "own_weight",
    "own_times",
    "own_age",
    "own_rank",
    "likeness",
    "likeness_best",
    "popularity",
    "popularity_rank",
    "again",
    "history_products",
    "history_age",
    "share_of_repeats",
)


@dataclass(frozen=True)
class Candidates:
    """Places in the items, one row of INPUTS each, and the place of the product in the history that is most like it (-1: none)."""

    places: NDArray[np.int64]
    matrix: Floats
    because: NDArray[np.int64]


def candidates(items: Items, history: History, day: float, ranks: NDArray[np.int64]) -> Candidates:
    """The customer's own products, those most like them, and the most popular. `ranks`: of the items by popularity, 0 for the first."""
    count = len(items.codes)
    known = np.array([code in items.place for code in history.products], dtype=bool)
    own = np.array([items.place[code] for code in history.products if code in items.place], dtype=np.int64)
    weight, times, age = own_weight(history, day)[known], history.times[known], np.maximum(day - history.last[known], 0.0)
    likeness, best, because = _likeness(items, own, weight)
    chosen = np.zeros(count, dtype=bool)
    chosen[own] = True
    chosen[_top(likeness, FROM_LIKENESS)] = True
    chosen[ranks < FROM_POPULARITY] = True
    places = np.flatnonzero(chosen)
    mine_at = np.full(count, -1, dtype=np.int64)
    mine_at[own] = np.arange(len(own))
    order = np.empty(len(own))
    order[np.argsort(-weight, kind="stable")] = np.arange(len(own))
    at = mine_at[places]
    has = at >= 0

    def of_own(values: Floats, otherwise: float) -> Floats:
        found = np.full(len(places), otherwise)
        found[has] = values[at[has]]
        return found

    repeats = float(np.mean(history.times > 1)) if len(history.times) else 0.0
    youngest = float(age.min()) if len(age) else 999.0
    matrix = np.column_stack(
        [
            of_own(weight, 0.0),
            of_own(times, 0.0),
            of_own(age, 999.0),
            of_own(order, 999.0),
            likeness[places],
            best[places],
            np.log1p(items.popularity[places]),
            ranks[places].astype(np.float64),
            items.again[places],
            np.full(len(places), float(len(history.products))),
            np.full(len(places), youngest),
            np.full(len(places), repeats),
        ]
    )
    return Candidates(places, matrix, because[places])


def popularity_ranks(items: Items) -> NDArray[np.int64]:
    """Each product's rank by popularity, 0 for the first; ties by code."""
    ranks = np.empty(len(items.codes), dtype=np.int64)
    ranks[np.argsort(-items.popularity, kind="stable")] = np.arange(len(items.codes))
    return ranks


def _likeness(items: Items, own: NDArray[np.int64], weight: Floats) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """By item: how like the own products it is, in sum and at best, and the first own product that is as like as the best (-1: none is)."""
    count = len(items.codes)
    near, shares = items.near[own].ravel(), (weight[:, None] * items.likeness[own]).ravel()
    there = (near >= 0) & (shares > 0)
    near, shares, mine = near[there], shares[there], np.repeat(own, items.near.shape[1])[there]
    best, because = np.zeros(count), np.full(count, -1, dtype=np.int64)
    np.maximum.at(best, near, shares)
    first = np.flatnonzero(shares == best[near])[::-1]
    because[near[first]] = mine[first]
    return np.bincount(near, shares, count).astype(np.float64), best, because


def _top(values: Floats, count: int) -> NDArray[np.int64]:
    """Places of the greatest values above 0, the greatest first, equals by place."""
    there = np.flatnonzero(values > 0)
    return there[np.argsort(-values[there], kind="stable")[:count]]
