"""Making and judging the segments. How many there are is decided by stability: the most whose members stay together in every redraw."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lakehouse.errors import NotEnoughData
from lakehouse.models import metrics
from lakehouse.models.evaluation import Evaluation
from lakehouse.models.interface import Floats, Json, Rows
from lakehouse.models.segment_names import Profile, named
from lakehouse.models.segments import LAPSED, MEASURES, NEEDS, Segment, SegmentsModel, is_active, measured, outlook_inputs, scaled
from lakehouse.models.segments_frame import LABEL_DAYS

if TYPE_CHECKING:
    import pandas as pd

    from lakehouse.settings import Models

STABLE = 0.80
FEWEST = 30
QUINTILES = 5
LAPSED_SEGMENT = Segment(LAPSED, "Bought nothing in the past year.", "Ask whether they still want to hear from the shop.")


@dataclass(frozen=True)
class SegmentsParameters:
    max_clusters: int
    bootstraps: int
    seed: int
    outlook_weight: float = 3.0
    ridge: float = 3.0

    @classmethod
    def of(cls, models: Models) -> SegmentsParameters:
        return cls(models.segments.max_clusters, models.segments.bootstraps, models.seed)


@dataclass(frozen=True)
class Clustering:
    """Centres of k clusters, and how stable each is: its mean Jaccard with the most alike cluster of each redraw."""

    centres: Floats
    labels: NDArray[np.int64]
    jaccard: Floats


@dataclass(frozen=True)
class SegmentsTrainer:
    """Trains on one row per customer and `event_timestamp` with the features, and `spend` after it where known.

    `previous`: the model before, whose names are kept for those who stay together. The order of the rows makes no difference.
    """

    settings: SegmentsParameters
    previous: SegmentsModel | None = None

    @property
    def parameters(self) -> dict[str, Json]:
        return asdict(self.settings)

    def fit(self, frame: pd.DataFrame) -> SegmentsModel:
        """A model of the newest moment's active customers."""
        return self._newest(frame)[0]

    def evaluate(self, frame: pd.DataFrame) -> Evaluation:
        """How the model that `fit` makes holds together (`jaccard_…`, `silhouette`, `…_share`, its number of `clusters`): that needs no labels.

        What needs later spend is of a model held out, made at the newest moment whose label window has closed: `eta_squared` with that model's
        number of `groups`, beside the baselines' own, and `ari` against a model of a month before.
        """
        return self.trained(frame)[1]

    def trained(self, frame: pd.DataFrame) -> tuple[SegmentsModel, Evaluation]:
        """What `fit` makes, and `evaluate` finds of it."""
        model, clustering = self._newest(frame)
        held_out = self._held_out(frame)
        return model, replace(held_out, metrics={**held_out.metrics, **self._cohesion(frame, model, clustering)})

    def _newest(self, frame: pd.DataFrame) -> tuple[SegmentsModel, Clustering]:
        moments = self._moments(frame)
        if not len(moments):
            raise NotEnoughData("no customer is known at any moment: load sales that name their customers")
        return self._fit(frame, moments[-1])

    def _cohesion(self, frame: pd.DataFrame, model: SegmentsModel, clustering: Clustering) -> dict[str, float]:
        """Of a model of the newest moment: how stable its clusters are, how far apart, and how many customers each has."""
        held = Rows.of_frame(self._at(frame, self._moments(frame)[-1]))
        active = is_active(held)
        places = model.places(held)[active]
        shares = np.bincount(places, minlength=len(model.segments)) / len(places)
        return {
            "jaccard_min": float(clustering.jaccard.min()),
            "jaccard_mean": float(clustering.jaccard.mean()),
            "silhouette": self._silhouette(model.scaled(measured(held)[active]), places),
            "largest_share": float(shares.max()),
            "smallest_share": float(shares.min()),
            "clusters": float(len(model.segments)),
        }

    def _held_out(self, frame: pd.DataFrame) -> Evaluation:
        """A model of the newest moment whose label window has closed, judged by what its customers spent then, beside the same a month earlier."""
        moments = self._moments(frame.dropna(subset=["spend"]))
        if len(moments) < 2:
            raise NotEnoughData("no 90 days after a moment have closed, or none a month before: load more history")
        rows = self._at(frame, moments[-1])
        model = self._fit(frame, moments[-1])[0]
        held = Rows.of_frame(rows)
        active = is_active(held)
        values = np.log1p(rows["spend"].to_numpy(dtype=np.float64)[active])
        places = model.places(held)[active]
        earlier = self._fit(frame, moments[-2])[0].places(held)[active]
        groups = {"segments": places, **self._peers(measured(held)[active], len(model.segments))}
        figures = {
            name: {
                "eta_squared": 0.0 if name == "unsegmented" else metrics.eta_squared(found, values),
                "groups": float(len(model.segments) if name == "segments" else len(np.unique(found))),
            }
            for name, found in groups.items()
        }
        found = {**figures.pop("segments"), "ari": metrics.adjusted_rand(earlier, places)}
        return Evaluation("segments", found, figures, len(values), (str(moments[-1])[:10],))

    def golden(self, frame: pd.DataFrame) -> list[dict[str, Json]]:
        """Invented customers: the medians of all, and of halves by spend. They are nobody's."""
        rows = self._at(frame, self._moments(frame)[-1])
        held = rows[is_active(Rows.of_frame(rows))].sort_values(["spend_52w", "customer_key"], ignore_index=True)
        questions: list[dict[str, Json]] = []
        for part in (held, held[: len(held) // 2], held[len(held) // 2 :]):
            some = Rows.of_frame(part)
            features: dict[str, Json] = {}
            for name in NEEDS:
                day = name in ("first_bought", "last_bought")
                middle = float(np.nanmedian(some.days(name) if day else some.numbers(name)))
                features[name] = str(np.datetime64(int(middle), "D")) if day else round(middle, 2)
            questions.append({"moment": str(some.moments[0]), "features": features})
        return [*questions, {"moment": questions[0]["moment"], "features": dict.fromkeys(NEEDS)}]

    def _fit(self, frame: pd.DataFrame, moment: np.datetime64) -> tuple[SegmentsModel, Clustering]:
        rows = self._at(frame, moment)
        held = Rows.of_frame(rows)
        active = is_active(held)
        if active.sum() < FEWEST:
            raise NotEnoughData(f"{active.sum()} customers bought in the past year, segments need {FEWEST}: load more history")
        values = measured(held)[active]
        mean, spread = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-9)
        weight, outlook = self._learned(frame, moment, scaled(values, mean, spread))
        empty = SegmentsModel(mean, spread, weight, outlook, np.zeros((0, 0)), (), LAPSED_SEGMENT)
        chosen = self._stable(empty.scaled(values))
        keys = rows["customer_key"].to_numpy()[active]
        members = [frozenset(keys[chosen.labels == place]) for place in range(len(chosen.centres))]
        profiles = [_profile(values[chosen.labels == place], len(values)) for place in range(len(chosen.centres))]
        segments = named(profiles, _profile(values, len(values)), members, self._before(rows, keys))
        return replace(empty, centres=chosen.centres, segments=segments), chosen

    def _learned(self, frame: pd.DataFrame, moment: np.datetime64, plain: Floats) -> tuple[Floats, Floats]:
        """What each measure tells of the spend in the 90 days after, from the newest moment whose 90 days closed by this one: a weight per
        measure (its squared correlation, 1 on average), and factors of the outlook, a ridge regression scaled on `plain`."""
        closed = [one for one in self._moments(frame.dropna(subset=["spend"])) if one + np.timedelta64(LABEL_DAYS, "D") <= moment]
        if not closed:
            raise NotEnoughData(
                f"no {LABEL_DAYS} days have closed before {str(moment)[:10]}, so nothing tells what counts: load more history"
            )
        rows = self._at(frame, closed[-1])
        held = Rows.of_frame(rows)
        active = is_active(held)
        if active.sum() < FEWEST:
            raise NotEnoughData(f"{active.sum()} customers bought in the year before {str(closed[-1])[:10]}, segments need {FEWEST}")
        values, after = measured(held)[active], np.log1p(rows["spend"].to_numpy(dtype=np.float64)[active])
        then = scaled(values, values.mean(axis=0), np.maximum(values.std(axis=0), 1e-9))
        told = ((then - then.mean(axis=0)) * (after - after.mean())[:, None]).mean(axis=0) ** 2
        told /= np.maximum(then.var(axis=0) * after.var(), 1e-12)
        inputs = outlook_inputs(then)
        factors = np.linalg.solve(inputs.T @ inputs + self.settings.ridge * np.eye(inputs.shape[1]), inputs.T @ after)
        expected = outlook_inputs(plain) @ factors
        factors[-1] -= expected.mean()
        weight: Floats = np.asarray(told / max(float(told.mean()), 1e-12), dtype=np.float64)
        outlook: Floats = np.asarray(factors * self.settings.outlook_weight / max(float(expected.std()), 1e-9), dtype=np.float64)
        return weight, outlook

    def _before(self, rows: pd.DataFrame, keys: NDArray[np.generic]) -> list[tuple[Segment, frozenset[str]]]:
        if self.previous is None:
            return []
        held = Rows.of_frame(rows)
        places = self.previous.places(held)[is_active(held)]
        return [(segment, frozenset(keys[places == place])) for place, segment in enumerate(self.previous.segments)]

    def _stable(self, space: Floats) -> Clustering:
        """The most clusters of which each is stable; where no number is, the one whose least stable cluster is the stablest."""
        found = [self._clustering(space, k) for k in range(2, self.settings.max_clusters + 1)]
        stable = [one for one in found if one.jaccard.min() >= STABLE]
        return stable[-1] if stable else max(found, key=lambda one: float(one.jaccard.min()))

    def _clustering(self, space: Floats, k: int) -> Clustering:
        """k-means, and its clusters found again in redraws of the customers with replacement (Hennig 2007)."""
        centres = self._centres(space, k, 5)
        labels = _nearest(space, centres)
        draws = np.random.default_rng(self.settings.seed)
        found = np.zeros((self.settings.bootstraps, k))
        for draw in range(self.settings.bootstraps):
            drawn = np.sort(draws.integers(0, len(space), len(space)))
            again = _nearest(space, self._centres(space[drawn], k, 2))
            seen = np.unique(drawn)
            counts = np.zeros((k, k))
            np.add.at(counts, (labels[seen], again[seen]), 1)
            either = counts.sum(axis=1, keepdims=True) + counts.sum(axis=0, keepdims=True) - counts
            found[draw] = (counts / np.maximum(either, 1)).max(axis=1)
        return Clustering(centres, labels, found.mean(axis=0))

    def _centres(self, space: Floats, k: int, starts: int) -> Floats:
        """Centres by k-means, sorted; one thread, so that sums are made in one order."""
        from sklearn.cluster import KMeans
        from threadpoolctl import threadpool_limits

        with threadpool_limits(limits=1):
            found = KMeans(k, n_init=starts, random_state=self.settings.seed).fit(space).cluster_centers_
        order = np.lexsort(found.T[::-1])
        return np.asarray(found[order], dtype=np.float64)

    def _silhouette(self, space: Floats, places: NDArray[np.int64]) -> float:
        from sklearn.metrics import silhouette_score

        if len(np.unique(places)) < 2:
            return float("nan")
        return float(silhouette_score(space, places, sample_size=min(2000, len(space)), random_state=self.settings.seed))

    def _peers(self, values: Floats, k: int) -> dict[str, NDArray[np.int64]]:
        """Groups of the baselines: nobody apart, fifths by recency, fifths by recency, frequency and spend, k-means on those three."""
        fifths = [_fifths(values[:, MEASURES.index(name)]) for name in ("recency", "frequency", "spend")]
        rfm = values[:, :3]
        space = (rfm - rfm.mean(axis=0)) / np.maximum(rfm.std(axis=0), 1e-9)
        return {
            "unsegmented": np.zeros(len(values), dtype=np.int64),
            "recency_groups": fifths[0],
            "rfm_quintiles": fifths[0] * QUINTILES**2 + fifths[1] * QUINTILES + fifths[2],
            "kmeans_log_rfm": _nearest(space, self._centres(space, k, 5)),
        }

    @staticmethod
    def _moments(frame: pd.DataFrame) -> list[np.datetime64]:
        return sorted(frame["event_timestamp"].unique())

    @staticmethod
    def _at(frame: pd.DataFrame, moment: np.datetime64) -> pd.DataFrame:
        return frame[frame["event_timestamp"] == moment].sort_values("customer_key", ignore_index=True)


def _nearest(space: Floats, centres: Floats) -> NDArray[np.int64]:
    return np.asarray(np.argmin(((space[:, None, :] - centres[None, :, :]) ** 2).sum(axis=2), axis=1), dtype=np.int64)


def _fifths(values: Floats) -> NDArray[np.int64]:
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return np.asarray(ranks * QUINTILES // len(values), dtype=np.int64)


def _profile(values: Floats, everybody: int) -> Profile:
    """Medians in plain units of rows of `measured`."""
    middle = np.median(values, axis=0)
    recency, frequency, spend, tenure, breadth = (float(value) for value in np.expm1(middle[:5]))
    return Profile(recency, frequency, spend, tenure, breadth, float(values[:, 5].mean()), len(values) / everybody)
