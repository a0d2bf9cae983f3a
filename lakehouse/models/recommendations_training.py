"""Making and judging the recommendations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import lightgbm as lgb
import numpy as np

from lakehouse.errors import NotEnoughData
from lakehouse.models import metrics
from lakehouse.models.candidates import INPUTS, candidates, popularity_ranks
from lakehouse.models.evaluation import Evaluation
from lakehouse.models.interface import EPOCH, Json
from lakehouse.models.items import History, Items, own_weight
from lakehouse.models.recommendations import RecommendationsModel
from lakehouse.models.recommendations_frame import Moment, Purchases

if TYPE_CHECKING:
    from lakehouse.settings import Models

Ranking = Callable[[History, float, int, bool], list[str]]
POPULAR = 100


@dataclass(frozen=True)
class RecommendationsParameters:
    k: int
    label_days: int
    seed: int
    threads: int
    rounds: int = 80
    learning_rate: float = 0.08
    leaves: int = 31
    leaf_rows: int = 50
    largest: int = 4000  # customers per label window

    @classmethod
    def of(cls, models: Models) -> RecommendationsParameters:
        chosen = models.recommendations
        return cls(chosen.k, chosen.label_days, models.seed, models.threads)


@dataclass(frozen=True)
class RecommendationsTrainer:
    """Trains on `Purchases`. The ranker's inputs at a moment come from the histories at that moment alone, its target from the window after.

    The order of the rows makes no difference.
    """

    settings: RecommendationsParameters

    @property
    def parameters(self) -> dict[str, Json]:
        return asdict(self.settings)

    def fit(self, frame: Purchases) -> RecommendationsModel:
        """The items of the newest moment, and a ranker trained on every moment whose label window has closed."""
        moments = frame.moments
        if not moments:
            raise NotEnoughData("no customer's purchases are known at any moment: load sales that name their customers")
        _check_choice(moments[0].items)
        return RecommendationsModel(moments[0].items, self._ranker([one for one in moments if one.is_closed]))

    def evaluate(self, frame: Purchases) -> Evaluation:
        """A model whose newest label window ends where the one that it is judged on begins, for the customers who bought in that."""
        closed = [one for one in frame.moments if one.is_closed]
        if len(closed) < 2:
            raise NotEnoughData(
                f"there are {len(closed)} label windows of {self.settings.label_days} days in which somebody bought, too few to train on one and "
                "be judged on the next: load more history"
            )
        held_out, older = closed[0], closed[1:]
        _check_choice(held_out.items)
        model = RecommendationsModel(held_out.items, self._ranker(older))
        found = {name: self._judge(held_out, ranking) for name, ranking in self._rankings(model).items()}
        buyers = sum(1 for history, bought in zip(held_out.histories, held_out.bought, strict=True) if bought and history.products)
        return Evaluation(
            "recommendations", found.pop("recommendations"), found, buyers, (str(EPOCH + np.timedelta64(int(held_out.day), "D")),)
        )

    def golden(self, frame: Purchases) -> list[dict[str, Json]]:
        """Invented customers of popular products, and one of whom nothing is known: nobody's history."""
        newest = frame.moments[0]
        popular = [newest.items.codes[place] for place in np.argsort(popularity_ranks(newest.items))[:12]]
        moment = str(EPOCH.astype("datetime64[s]") + np.timedelta64(int(newest.day * 86_400), "s"))
        shared: dict[str, Json] = {"moment": moment, "k": 10, "exclude": [], "only_new": False}
        questions: list[dict[str, Json]] = [shared | {"features": {}}]
        for count in (1, 4, 12):
            own: dict[str, Json] = {
                "recent_products": list(popular[:count]),
                "recent_times": [1 + place % 3 for place in range(len(popular[:count]))],
                "recent_last": [int(newest.day) - 3 - 7 * place for place in range(len(popular[:count]))],
            }
            questions.append(shared | {"features": own, "only_new": count == 4})
        return questions

    def _ranker(self, moments: Sequence[Moment]) -> lgb.Booster:
        matrices, targets, groups = [], [], []
        for moment in moments:
            ranks = popularity_ranks(moment.items)
            for history, bought in self._drawn(moment):
                found = candidates(moment.items, history, moment.day, ranks)
                target = np.array([moment.items.codes[place] in bought for place in found.places], dtype=np.float64)
                if target.any():
                    matrices.append(found.matrix)
                    targets.append(target)
                    groups.append(len(target))
        if not groups:
            raise NotEnoughData("no customer with a history bought anything in a closed label window: load more history")
        data = lgb.Dataset(np.vstack(matrices), np.concatenate(targets), group=groups, feature_name=list(INPUTS), params={"verbose": -1})
        chosen = self.settings
        parameters: dict[str, str | float | int | bool] = {
            "objective": "lambdarank",
            "lambdarank_truncation_level": 2 * chosen.k,
            "learning_rate": chosen.learning_rate,
            "num_leaves": chosen.leaves,
            "min_data_in_leaf": chosen.leaf_rows,
            "num_threads": chosen.threads,
            "seed": chosen.seed,
            "deterministic": True,
            "force_row_wise": True,
            "verbose": -1,
        }
        return lgb.train(parameters, data, num_boost_round=chosen.rounds)

    def _drawn(self, moment: Moment) -> list[tuple[History, frozenset[str]]]:
        """Customers with a history who bought: all, or where there are too many a draw, in order."""
        buyers = [(history, bought) for history, bought in zip(moment.histories, moment.bought, strict=True) if bought and history.products]
        if len(buyers) <= self.settings.largest:
            return buyers
        places = np.sort(np.random.default_rng(self.settings.seed).choice(len(buyers), self.settings.largest, replace=False))
        return [buyers[place] for place in places]

    def _rankings(self, model: RecommendationsModel) -> Mapping[str, Ranking]:
        codes = model.items.codes
        popular = [codes[place] for place in np.argsort(model.ranks)]

        def ours(history: History, day: float, k: int, only_new: bool) -> list[str]:
            return [codes[one.place] for one in model.rank(history, day, k, (), only_new)]

        def popularity(history: History, day: float, k: int, only_new: bool) -> list[str]:
            own = set(history.products) if only_new else set()
            return [code for code in popular[: k + len(own)] if code not in own][:k]

        def own_purchases(history: History, day: float, k: int, only_new: bool) -> list[str]:
            order = np.argsort(-own_weight(history, day), kind="stable")
            mine = [] if only_new else [history.products[place] for place in order]
            known = set(history.products)
            return [*mine, *(code for code in popular[: k + len(known)] if code not in known)][:k]

        return {"recommendations": ours, "popularity": popularity, "own_purchases": own_purchases}

    def _judge(self, moment: Moment, ranking: Ranking) -> dict[str, float]:
        """Means over the customers with a history who bought; the `..._new` ones over those who bought something for the first time."""
        k = self.settings.k
        figures: dict[str, list[float]] = {name: [] for name in ("ndcg_all", "recall_all", "hit_rate", "ndcg_new", "recall_new")}
        lists: list[list[str]] = []
        for history, bought in self._drawn(moment):
            ranked = ranking(history, moment.day, k, False)
            lists.append(ranked)
            figures["ndcg_all"].append(metrics.ndcg(ranked, bought, k))
            figures["recall_all"].append(metrics.recall(ranked, bought, k))
            figures["hit_rate"].append(metrics.hit(ranked, bought, k))
            new = bought - set(history.products)
            if new:
                unseen = ranking(history, moment.day, k, True)
                figures["ndcg_new"].append(metrics.ndcg(unseen, new, k))
                figures["recall_new"].append(metrics.recall(unseen, new, k))
        popular = [moment.items.codes[place] for place in np.argsort(popularity_ranks(moment.items))[:POPULAR]]
        means = {name: float(np.mean(values)) if values else float("nan") for name, values in figures.items()}
        return means | {
            "coverage": metrics.catalog_coverage(lists, len(moment.items.codes), k),
            "popular_share": metrics.share_of_popular(lists, popular, k),
        }


def _check_choice(items: Items) -> None:
    """Raises `NotEnoughData` where there is nothing to choose from."""
    if len(items.codes) < 2:
        raise NotEnoughData("customers buy one product only, so there is nothing to recommend: load sales that tell products apart")
