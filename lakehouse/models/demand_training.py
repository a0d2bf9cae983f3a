"""Making and judging the demand model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from lakehouse.errors import InputError, NotEnoughData
from lakehouse.models import metrics
from lakehouse.models.demand import PARTS, DemandModel, Forecast, window_average
from lakehouse.models.demand_matrix import INPUTS, NEEDS, demand_matrix
from lakehouse.models.evaluation import Evaluation
from lakehouse.models.interface import Floats, Json, Rows

if TYPE_CHECKING:
    import pandas as pd

    from lakehouse.settings import Models

OBJECTIVES: Mapping[str, Mapping[str, str | float]] = {
    # Weighted by the scale, the loss of the scaled target is the loss in units: what WAPE, the weekly total and the pinball loss are made of.
    "mean": {"objective": "tweedie", "tweedie_variance_power": 1.3},
    "median": {"objective": "l1"},
    "low": {"objective": "quantile", "alpha": 0.1},
    "high": {"objective": "quantile", "alpha": 0.9},
}
BASELINES = {"naive": 1, "window_4w": 4, "window_13w": 13}
HELD_OUT_CUTS = 4
GOLDEN_ROWS = 8


@dataclass(frozen=True)
class DemandParameters:
    history_weeks: int
    horizon_weeks: int
    rounds: int
    seed: int
    threads: int
    learning_rate: float = 0.07
    leaves: int = 31
    leaf_rows: int = 200
    row_share: float = 0.4
    redraw_every: int = 5
    input_share: float = 0.4
    largest: int = 200_000
    bins: int = 127

    @classmethod
    def of(cls, models: Models) -> DemandParameters:
        demand = models.demand
        return cls(demand.history_weeks, demand.horizon_weeks, demand.rounds, models.seed, models.threads)


@dataclass(frozen=True)
class DemandTrainer:
    """Trains on one row per store, product and `event_timestamp` with the features and `y_1` … `y_n`, the units of the weeks ahead.

    Rows without all labels (their window has not closed) are not trained on. The order of the rows makes no difference.
    """

    settings: DemandParameters

    @property
    def parameters(self) -> dict[str, Json]:
        return asdict(self.settings)

    def fit(self, frame: pd.DataFrame) -> DemandModel:
        """A model of the newest `history_weeks` of labelled moments."""
        labelled = self._labelled(frame)
        moments = labelled["event_timestamp"]
        newest = labelled[moments > moments.max() - np.timedelta64(7 * self.settings.history_weeks, "D")]
        inputs = demand_matrix(Rows.of_frame(newest[self._columns(frame)]), self.settings.horizon_weeks)
        targets = self._labels(newest) / inputs.scale[:, None]
        drawn = self._drawn(targets.size)
        data = lgb.Dataset(
            inputs.matrix.reshape(-1, len(INPUTS))[drawn],
            targets.reshape(-1)[drawn],
            weight=np.repeat(inputs.scale, self.settings.horizon_weeks)[drawn],
            feature_name=list(INPUTS),
            params={"max_bin": self.settings.bins, "verbose": -1},
        )
        return DemandModel({part: self._boost(part, data) for part in PARTS}, self.settings.horizon_weeks)

    def evaluate(self, frame: pd.DataFrame) -> Evaluation:
        """A model made without the newest weeks, judged on the cuts in them.

        Its training labels end before the first cut. It is judged at that cut and at the following moments, as a model in use answers until
        the next training.
        """
        labelled = self._labelled(frame)
        moments = np.sort(labelled["event_timestamp"].unique())
        cuts = moments[-HELD_OUT_CUTS:]
        older = labelled["event_timestamp"] + np.timedelta64(7 * self.settings.horizon_weeks, "D") <= cuts[0]
        if not older.any():
            raise NotEnoughData(
                f"there are labelled rows at {len(moments)} moments, too few to hold {HELD_OUT_CUTS} cuts and the {self.settings.horizon_weeks} "
                "weeks before them back from training: load more history"
            )
        return self.judge(self.fit(labelled[older]), labelled[labelled["event_timestamp"].isin(cuts)], labelled[older])

    def judge(self, model: DemandModel, held_out: pd.DataFrame, history: pd.DataFrame) -> Evaluation:
        """Figures of a model and the baselines on held-out rows; `history` gives the scale of RMSSE. Each cut counts alike."""
        scale = weekly_scale(history)
        cuts = sorted(held_out["event_timestamp"].unique())
        names = ("demand", *BASELINES)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for cut in cuts:
            rows = held_out[held_out["event_timestamp"] == cut]
            features = Rows.of_frame(rows[self._columns(held_out)])
            actual = self._labels(rows)
            keys = list(zip(rows["store"], rows["product_code"], strict=True))
            scales = np.array([scale.get(key, np.nan) for key in keys])
            found["demand"].append(figures(actual, model.predict(features), scales))
            for name, window in BASELINES.items():
                flat = window_average(features, window, self.settings.horizon_weeks)
                found[name].append(figures(actual, Forecast(flat, flat, flat, flat), scales))
        means = {name: {metric: float(np.mean([one[metric] for one in found[name]])) for metric in found[name][0]} for name in names}
        return Evaluation(
            model="demand",
            metrics=means.pop("demand"),
            baselines=means,
            rows=len(held_out),
            cuts=tuple(str(np.datetime64(cut, "D")) for cut in cuts),
        )

    def golden(self, frame: pd.DataFrame) -> list[dict[str, Json]]:
        """Some products of the newest moment, evenly from all: a product's figures are nobody's."""
        newest = self._sorted(frame[frame["event_timestamp"] == frame["event_timestamp"].max()])
        places = np.unique(np.linspace(0, len(newest) - 1, GOLDEN_ROWS).astype(int))
        rows = Rows.of_frame(newest.iloc[places])
        columns = {name: (rows.days(name) if name in ("first_sold", "last_sold") else rows.numbers(name)) for name in NEEDS}
        questions: list[dict[str, Json]] = []
        for place, moment in enumerate(rows.moments):
            features: dict[str, Json] = {}
            for name, values in columns.items():
                value = float(values[place])
                day = name in ("first_sold", "last_sold")
                features[name] = None if np.isnan(value) else str(np.datetime64(int(value), "D")) if day else value
            questions.append({"moment": str(moment), "features": features})
        return questions

    def _drawn(self, rows: int) -> NDArray[np.int64]:
        """Places of the rows to train on, in order: all, or where there are too many a draw. A product's weeks are much alike."""
        if rows <= self.settings.largest:
            return np.arange(rows)
        return np.sort(np.random.default_rng(self.settings.seed).choice(rows, self.settings.largest, replace=False))

    def _boost(self, part: str, data: lgb.Dataset) -> lgb.Booster:
        chosen = self.settings
        parameters: dict[str, str | float | int | bool] = {
            **OBJECTIVES[part],
            "learning_rate": chosen.learning_rate,
            "num_leaves": chosen.leaves,
            "min_data_in_leaf": chosen.leaf_rows,
            "bagging_fraction": chosen.row_share,
            "bagging_freq": chosen.redraw_every,
            "feature_fraction": chosen.input_share,
            "max_bin": chosen.bins,
            "num_threads": chosen.threads,
            "seed": chosen.seed,
            "deterministic": True,
            "force_row_wise": True,
            "verbose": -1,
        }
        return lgb.train(parameters, data, num_boost_round=chosen.rounds)

    def _labelled(self, frame: pd.DataFrame) -> pd.DataFrame:
        labels = self._label_names()
        missing = [name for name in (*labels, "store", "product_code", "event_timestamp", *NEEDS) if name not in frame.columns]
        if missing:
            raise InputError(f"the training frame lacks {', '.join(missing)}")
        labelled = self._sorted(frame.dropna(subset=labels))
        if labelled.empty:
            raise NotEnoughData("no row of the training frame has all labels: load more history, or train at a later moment")
        return labelled

    def _sorted(self, frame: pd.DataFrame) -> pd.DataFrame:
        return frame.sort_values(["event_timestamp", "store", "product_code"], ignore_index=True)

    def _labels(self, frame: pd.DataFrame) -> Floats:
        return np.maximum(frame[self._label_names()].to_numpy(dtype=object).astype(np.float64), 0.0)

    def _label_names(self) -> list[str]:
        return [f"y_{week}" for week in range(1, self.settings.horizon_weeks + 1)]

    def _columns(self, frame: pd.DataFrame) -> list[str]:
        return ["event_timestamp", *NEEDS]


def figures(actual: Floats, forecast: Forecast, scale: Floats) -> dict[str, float]:
    """All measures of one cut. `wape` judges the median, `bias` and the `..._mean` and `..._total` figures the mean."""
    total, total_mean = actual.sum(axis=0), forecast.mean.sum(axis=0)
    return {
        "wape": metrics.wape(actual, forecast.median),
        "bias": metrics.bias(actual, forecast.mean),
        "bias_median": metrics.bias(actual, forecast.median),
        "wape_mean": metrics.wape(actual, forecast.mean),
        "wape_total": metrics.wape(total, total_mean),
        "rmsse": metrics.rmsse(actual, forecast.mean, scale),
        "mape": metrics.mape(actual, forecast.median),
        "share_with_sales": metrics.share_with_sales(actual),
        "coverage": metrics.coverage(actual, forecast.low, forecast.high),
        "width": metrics.width(forecast.low, forecast.high),
        "pinball_10": metrics.pinball(actual, forecast.low, 0.1),
        "pinball_50": metrics.pinball(actual, forecast.median, 0.5),
        "pinball_90": metrics.pinball(actual, forecast.high, 0.9),
    }


def weekly_scale(history: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Mean squared change of units from one week to the next per (store, product), from rows that lie a week apart."""
    days = history["event_timestamp"].to_numpy().astype("datetime64[D]").astype(np.int64)
    weekly = history[(days.max(initial=0) - days) % 7 == 0]
    ordered = weekly[["store", "product_code", "event_timestamp", "units_1w"]].sort_values(["store", "product_code", "event_timestamp"])
    units = ordered["units_1w"].to_numpy(dtype=object).astype(np.float64)
    days = ordered["event_timestamp"].to_numpy().astype("datetime64[D]").astype(np.int64)
    keys = list(zip(ordered["store"], ordered["product_code"], strict=True))
    squares: dict[tuple[str, str], list[float]] = {}
    for place in range(1, len(keys)):
        if keys[place] == keys[place - 1] and days[place] - days[place - 1] == 7:
            squares.setdefault(keys[place], []).append(float(units[place] - units[place - 1]) ** 2)
    return {key: float(np.mean(values)) for key, values in squares.items()}
