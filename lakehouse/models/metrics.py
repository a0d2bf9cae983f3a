"""The measures that models are judged by, in numpy alone. Each says where its formula comes from.

All return NaN where they are undefined (nothing was sold, nobody bought): a gate takes NaN for a missing metric.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lakehouse.models.interface import Floats

NAN = float("nan")


def wape(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Weighted absolute percentage error, sum |y - f| / sum |y| (Kolassa and Schuetz, Foresight 2007, there MAD/mean)."""
    y, f = _pair(actual, forecast)
    return _ratio(np.abs(y - f).sum(), np.abs(y).sum())


def bias(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Sum of errors over sum of actuals, sum (f - y) / sum y: above 0 means that too much was forecast."""
    y, f = _pair(actual, forecast)
    return _ratio((f - y).sum(), y.sum())


def mape(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Mean of |y - f| / |y| over the rows with y other than 0, where alone it is defined. `share_with_sales` says how many those are."""
    y, f = _pair(actual, forecast)
    sold = y != 0
    return float(np.mean(np.abs(y[sold] - f[sold]) / np.abs(y[sold]))) if sold.any() else NAN


def share_with_sales(actual: ArrayLike) -> float:
    """Share of the rows with y other than 0."""
    y = np.asarray(actual, dtype=np.float64)
    return float(np.mean(y != 0)) if y.size else NAN


def rmsse(actual: ArrayLike, forecast: ArrayLike, scale: ArrayLike) -> float:
    """Root mean squared scaled error, sqrt(mean over weeks of (y - f)^2 / scale), averaged over series (Hyndman and Koehler 2006; M5).

    `actual`, `forecast`: one row per series, one column per week. `scale`: per series, the mean squared change from one week to the next
    before the forecast. Series whose scale is 0 or missing are left out: there the measure is undefined.
    """
    y, f = _pair(actual, forecast)
    s = np.asarray(scale, dtype=np.float64)
    known = np.isfinite(s) & (s > 0)
    if not known.any():
        return NAN
    return float(np.mean(np.sqrt(np.mean((y[known] - f[known]) ** 2, axis=1) / s[known])))


def pinball(actual: ArrayLike, forecast: ArrayLike, quantile: float) -> float:
    """Mean pinball loss, max(q (y - f), (q - 1) (y - f)) (Koenker and Bassett 1978), over mean |y|, so that shops can be compared."""
    y, f = _pair(actual, forecast)
    e = y - f
    return _ratio(np.maximum(quantile * e, (quantile - 1) * e).sum(), np.abs(y).sum())


def coverage(actual: ArrayLike, low: ArrayLike, high: ArrayLike) -> float:
    """Share of actuals within [low, high]."""
    y, a = _pair(actual, low)
    _, b = _pair(actual, high)
    return float(np.mean((a <= y) & (y <= b))) if y.size else NAN


def width(low: ArrayLike, high: ArrayLike) -> float:
    """Mean of high - low."""
    a, b = _pair(low, high)
    return float(np.mean(b - a)) if a.size else NAN


def ndcg(ranked: Sequence[object], bought: Collection[object], k: int) -> float:
    """Normalised discounted cumulative gain of the first k with gain 1 for what was bought (Jaervelin and Kekaelaeinen 2002)."""
    wanted = set(bought)
    if not wanted:
        return NAN
    gains = sum(1 / np.log2(rank + 2) for rank, item in enumerate(ranked[:k]) if item in wanted)
    ideal = sum(1 / np.log2(rank + 2) for rank in range(min(k, len(wanted))))
    return float(gains / ideal)


def recall(ranked: Sequence[object], bought: Collection[object], k: int) -> float:
    """Share of what was bought that is among the first k."""
    wanted = set(bought)
    return len(wanted.intersection(ranked[:k])) / len(wanted) if wanted else NAN


def hit(ranked: Sequence[object], bought: Collection[object], k: int) -> float:
    """1 where any of the first k was bought, else 0; its mean over customers is the hit rate."""
    return float(not set(bought).isdisjoint(ranked[:k])) if bought else NAN


def catalog_coverage(lists: Sequence[Sequence[object]], products: int, k: int) -> float:
    """Share of all products that are among anybody's first k (Herlocker et al. 2004)."""
    shown = {item for ranked in lists for item in ranked[:k]}
    return _ratio(float(len(shown)), float(products))


def share_of_popular(lists: Sequence[Sequence[object]], popular: Collection[object], k: int) -> float:
    """Share of everything shown that belongs to `popular`."""
    shown = [item for ranked in lists for item in ranked[:k]]
    top = set(popular)
    return sum(item in top for item in shown) / len(shown) if shown else NAN


def jaccard(one: Collection[object], other: Collection[object]) -> float:
    """|A and B| / |A or B| (Jaccard 1901); NaN for two empty sets."""
    a, b = set(one), set(other)
    return _ratio(float(len(a & b)), float(len(a | b)))


def adjusted_rand(one: ArrayLike, other: ArrayLike) -> float:
    """Adjusted Rand index of two partitions of the same rows (Hubert and Arabie 1985): 1 equal, about 0 by chance."""
    table = crosstab(one, other).astype(np.float64)
    n = table.sum()
    if n == 0:
        return NAN
    together = _pairs(table).sum()
    rows, columns, all_pairs = _pairs(table.sum(axis=1)).sum(), _pairs(table.sum(axis=0)).sum(), n * (n - 1) / 2
    expected = rows * columns / all_pairs if all_pairs else 0.0
    most = (rows + columns) / 2
    return 1.0 if most == expected else float((together - expected) / (most - expected))


def crosstab(one: ArrayLike, other: ArrayLike) -> NDArray[np.int64]:
    """How many rows have each pair of labels: one row per label of `one`, one column per label of `other`, both in order."""
    _, a = np.unique(np.asarray(one), return_inverse=True)
    _, b = np.unique(np.asarray(other), return_inverse=True)
    if a.shape != b.shape:
        raise ValueError(f"{a.size} labels beside {b.size}")
    table = np.zeros((a.max(initial=-1) + 1, b.max(initial=-1) + 1), dtype=np.int64)
    np.add.at(table, (a, b), 1)
    return table


def eta_squared(groups: ArrayLike, values: ArrayLike) -> float:
    """Share of the variance of `values` that lies between groups, SS between / SS total (Fisher 1925)."""
    y = np.asarray(values, dtype=np.float64)
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    if y.size == 0:
        return NAN
    counts = np.bincount(group)
    means = np.bincount(group, weights=y) / counts
    return _ratio(float((counts * (means - y.mean()) ** 2).sum()), float(((y - y.mean()) ** 2).sum()))


def _pair(one: ArrayLike, other: ArrayLike) -> tuple[Floats, Floats]:
    a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"shapes {a.shape} and {b.shape} differ")
    return a, b


def _ratio(above: float, below: float) -> float:
    return float(above / below) if below else NAN


def _pairs(counts: Floats) -> Floats:
    return counts * (counts - 1) / 2
