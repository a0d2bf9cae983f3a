"""What is known of the products that customers buy: how popular each is now, which are bought by the same people, how often one comes again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lakehouse.models.interface import Floats

Integers = NDArray[np.int32]
POPULAR_HALF_LIFE = 14.0  # days
OWN_HALF_LIFE = 90.0
NEIGHBOURS = 60
FEWEST_BUYERS = 3


@dataclass(frozen=True)
class History:
    """What one customer bought: product codes with the number of days on which each was, and the last of them (days since 1970-01-01)."""

    products: tuple[str, ...]
    times: Floats
    last: Floats


@dataclass(frozen=True)
class Items:
    """n products at one moment. Arrays by place in `codes`, which are sorted.

    `popularity`: customers who bought it, each counted by age with a half-life of 14 days. `again`: the share of its buyers who bought it on
    more than one day. `near`, `likeness`: the 60 products most alike, and the cosine of their buyers; -1 and 0 where there are fewer.
    """

    codes: tuple[str, ...]
    names: tuple[str | None, ...]
    popularity: Floats
    again: Floats
    near: Integers
    likeness: Floats
    place: Mapping[str, int]


def popularity_of(histories: Sequence[History], day: float) -> dict[str, float]:
    """Customers who bought each product before `day` (days since 1970-01-01), each counted by age with a half-life of 14 days."""
    found: dict[str, float] = {}
    for history in histories:
        for code, weight in zip(history.products, 0.5 ** ((day - history.last) / POPULAR_HALF_LIFE), strict=True):
            found[code] = found.get(code, 0.0) + float(weight)
    return found


def items_of(histories: Sequence[History], day: float, names: Mapping[str, str]) -> Items:
    """The products that these customers bought before `day` (days since 1970-01-01)."""
    from scipy.sparse import csr_matrix

    codes = tuple(sorted({code for history in histories for code in history.products}))
    place = {code: number for number, code in enumerate(codes)}
    columns = np.array([place[code] for history in histories for code in history.products], dtype=np.int64)
    rows = np.repeat(np.arange(len(histories)), [len(history.products) for history in histories])
    times = np.concatenate([history.times for history in histories]) if histories else np.zeros(0)
    buyers = np.bincount(columns, minlength=len(codes)).astype(np.float64)
    counted = popularity_of(histories, day)
    popularity: Floats = np.array([counted[code] for code in codes], dtype=np.float64)
    again = (np.bincount(columns, times > 1, len(codes)) + 0.1) / (buyers + 1.0)
    ages = day - np.concatenate([history.last for history in histories]) if histories else np.zeros(0)
    weights = np.log1p(times) * 0.5 ** (ages / (2 * OWN_HALF_LIFE))
    near, likeness = _neighbours(csr_matrix((weights, (rows, columns)), shape=(len(histories), len(codes))), buyers)
    return Items(codes, tuple(names.get(code) for code in codes), popularity, again, near, likeness, place)


def own_weight(history: History, day: float) -> Floats:
    """How strongly each product of a history counts at a day: days bought, decayed with a half-life of 90 days since the last."""
    weight: Floats = np.log1p(history.times) * 0.5 ** (np.maximum(day - history.last, 0.0) / OWN_HALF_LIFE)
    return weight


def _neighbours(bought: object, buyers: Floats) -> tuple[Integers, Floats]:
    """The most alike of each product by the cosine of their columns; products with fewer than three buyers have none. Block by block."""
    from scipy.sparse import csr_matrix, diags

    assert isinstance(bought, csr_matrix)
    count = bought.shape[1]
    norms = np.sqrt(np.asarray(bought.multiply(bought).sum(axis=0)).ravel())
    usable = (buyers >= FEWEST_BUYERS) & (norms > 0)
    scaled = (bought @ diags(np.where(usable, 1.0 / np.maximum(norms, 1e-12), 0.0))).tocsc()
    kept = min(NEIGHBOURS, count)
    near: Integers = np.full((count, NEIGHBOURS), -1, dtype=np.int32)
    likeness = np.zeros((count, NEIGHBOURS))
    turned = scaled.T.tocsr()
    for begin in range(0, count, 500):
        block = np.asarray((turned[begin : begin + 500] @ scaled).todense())
        block[np.arange(len(block)), begin + np.arange(len(block))] = 0.0
        order = np.argsort(-block, axis=1, kind="stable")[:, :kept]
        found = np.take_along_axis(block, order, axis=1)
        near[begin : begin + len(block), :kept] = np.where(found > 0, order, -1)
        likeness[begin : begin + len(block), :kept] = found
    return near, likeness
