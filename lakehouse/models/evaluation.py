"""What an evaluation found, and the plain decision whether it is better than naive."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lakehouse.errors import UnknownName


@dataclass(frozen=True)
class Evaluation:
    """Figures of a model and of its baselines on the same rows, at cuts (days, ISO) that were held out. What needs no labels may be of the model
    itself: its trainer says."""

    model: str
    metrics: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]
    rows: int
    cuts: tuple[str, ...]


@dataclass(frozen=True)
class Criterion:
    """How a model is judged: the main metric, whether less of it is better, which metrics and which baselines must be there.

    `naive` are the baselines that must be beaten; `peers` are reported beside them.
    """

    main: str
    less_is_better: bool
    metrics: tuple[str, ...]
    naive: tuple[str, ...]
    peers: tuple[str, ...] = ()


CRITERIA: Mapping[str, Criterion] = {
    "demand": Criterion(
        main="wape",
        less_is_better=True,
        metrics=("wape", "bias", "wape_mean", "wape_total", "mape", "coverage", "width", "pinball_10", "pinball_50", "pinball_90"),
        naive=("naive", "window_4w", "window_13w"),
    ),
    "segments": Criterion(
        main="eta_squared",
        less_is_better=False,
        # The first three are of a model held out, the others of the one that is registered and answers.
        metrics=(
            "eta_squared",
            "groups",
            "ari",
            "jaccard_min",
            "jaccard_mean",
            "silhouette",
            "largest_share",
            "smallest_share",
            "clusters",
        ),
        naive=("unsegmented", "recency_groups"),
        peers=("rfm_quintiles", "kmeans_log_rfm"),
    ),
    "recommendations": Criterion(
        main="ndcg_all",
        less_is_better=False,
        metrics=("ndcg_all", "ndcg_new", "recall_all", "recall_new", "hit_rate", "coverage", "popular_share"),
        naive=("popularity", "own_purchases"),
    ),
}


def beats_naive(evaluation: Evaluation) -> list[str]:
    """Reasons why the model may not become champion; none means that it may. What is missing or not finite is a reason too."""
    if evaluation.model not in CRITERIA:
        raise UnknownName("model", evaluation.model, CRITERIA)
    criterion = CRITERIA[evaluation.model]
    reasons = [f"metric {name} is missing" for name in criterion.metrics if not _is_there(evaluation.metrics, name)]
    if evaluation.rows < 1:
        reasons.append("nothing was evaluated: 0 rows")
    found = evaluation.metrics.get(criterion.main, math.nan)
    for name in (*criterion.naive, *criterion.peers):
        figures = evaluation.baselines.get(name)
        if figures is None:
            reasons.append(f"baseline {name} is missing")
        elif not _is_there(figures, criterion.main):
            reasons.append(f"metric {criterion.main} of baseline {name} is missing")
        elif name in criterion.naive and math.isfinite(found):
            naive = figures[criterion.main]
            if not (found < naive if criterion.less_is_better else found > naive):
                better = "below" if criterion.less_is_better else "above"
                reasons.append(f"{criterion.main} {found:.4f} is not {better} the {naive:.4f} of {name}")
    return reasons


def _is_there(figures: Mapping[str, float], name: str) -> bool:
    return math.isfinite(figures.get(name, math.nan))
