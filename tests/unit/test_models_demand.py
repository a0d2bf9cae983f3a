"""The demand model: one answer for one and for many, in order and finite whatever it is asked, and judged on weeks it never saw."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.errors import InputError, NotEnoughData
from lakehouse.models.demand import PARTS, DemandModel, Forecast, window_average
from lakehouse.models.demand_matrix import FLOOR, INPUTS, NEEDS, demand_matrix
from lakehouse.models.demand_training import DemandTrainer, weekly_scale
from lakehouse.models.interface import Json, Rows
from tests.made_up import DEMAND, MONDAY, demand_frame

DAYS = ("first_sold", "last_sold")
amounts = st.none() | st.integers(0, 10**9) | st.floats(allow_infinity=False) | st.decimals(-(10**9), 10**9, places=3)
days = st.none() | st.dates(datetime(1990, 1, 1).date(), datetime(2090, 1, 1).date()).map(str)
features = st.fixed_dictionaries({name: days if name in DAYS else amounts for name in NEEDS})


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return demand_frame()


@pytest.fixture(scope="module")
def model(frame: pd.DataFrame) -> DemandModel:
    return DEMAND.fit(frame)


def question(row: pd.Series) -> dict[str, Json]:
    """The row as serving asks it."""
    values: dict[str, Json] = {name: row[name].isoformat() if name in DAYS else float(row[name]) for name in NEEDS}
    return {"moment": row["event_timestamp"].isoformat(), "features": values}


def as_rows(forecast: Forecast) -> list[list[list[float]]]:
    """By row and week: mean, median, low, high."""
    found: list[list[list[float]]] = np.stack([getattr(forecast, part) for part in PARTS], axis=-1).tolist()
    return found


def test_an_answer_for_one_product_is_what_is_predicted_for_many(model: DemandModel, frame: pd.DataFrame) -> None:
    many = as_rows(model.predict(Rows.of_frame(frame)))
    for (_, row), expected in zip(frame.iterrows(), many, strict=True):
        weeks = model.answer(question(row))["forecast"]
        assert isinstance(weeks, list)
        assert [[week[part] for part in PARTS] for week in weeks if isinstance(week, dict)] == expected


def test_many_products_are_predicted_in_the_order_in_which_they_were_asked(model: DemandModel, frame: pd.DataFrame) -> None:
    backwards = frame.iloc[::-1]
    assert as_rows(model.predict(Rows.of_frame(backwards))) == as_rows(model.predict(Rows.of_frame(frame)))[::-1]


def test_the_weeks_of_an_answer_begin_at_the_moment(model: DemandModel, frame: pd.DataFrame) -> None:
    weeks = model.answer(question(frame.iloc[-1]))["forecast"]
    assert isinstance(weeks, list)
    assert [week["week"] for week in weeks if isinstance(week, dict)] == ["2024-06-03", "2024-06-10", "2024-06-17", "2024-06-24"]


def test_a_loaded_model_predicts_exactly_what_the_saved_one_does(model: DemandModel, frame: pd.DataFrame) -> None:
    again = DemandModel.load(model.save())
    assert as_rows(again.predict(Rows.of_frame(frame))) == as_rows(model.predict(Rows.of_frame(frame)))


def test_a_model_of_other_inputs_is_refused(model: DemandModel) -> None:
    files = model.save()
    with pytest.raises(InputError, match="trained on other inputs than this version computes: train it again"):
        DemandModel.load(files | {"demand.json": files["demand.json"].replace(INPUTS[0].encode(), b"mean_0w")})


@given(features, st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1)))
@settings(max_examples=150, deadline=None)
def test_quantiles_are_always_in_order_finite_and_not_below_zero(model: DemandModel, values: dict[str, object], moment: datetime) -> None:
    forecast = model.predict(Rows.of_one(values, moment))
    assert (forecast.low >= 0).all() and (forecast.low <= forecast.median).all() and (forecast.median <= forecast.high).all()
    assert np.isfinite(forecast.high).all() and np.isfinite(forecast.mean).all() and (forecast.mean >= 0).all()


def test_quantiles_of_boosters_that_cross_are_put_in_order(model: DemandModel, frame: pd.DataFrame) -> None:
    crossed = DemandModel({**model.boosters, "low": model.boosters["high"], "high": model.boosters["low"]}, model.weeks)
    rows = Rows.of_frame(frame)
    assert as_rows(crossed.predict(rows)) == as_rows(model.predict(rows))


def test_a_booster_that_says_less_than_nothing_is_taken_to_say_nothing(model: DemandModel, frame: pd.DataFrame) -> None:
    data = lgb.Dataset(np.zeros((50, len(INPUTS))), np.full(50, -5.0), params={"verbose": -1})
    below = lgb.train({"objective": "l2", "verbose": -1, "num_threads": 1}, data, num_boost_round=1)
    forecast = DemandModel(dict.fromkeys(PARTS, below), model.weeks).predict(Rows.of_frame(frame))
    assert np.unique(as_rows(forecast)).tolist() == [0.0]


def test_a_product_of_which_nothing_is_known_gets_an_answer(model: DemandModel) -> None:
    forecast = model.answer({"moment": MONDAY.isoformat(), "features": dict.fromkeys(NEEDS)})["forecast"]
    assert isinstance(forecast, list) and len(forecast) == 4


@pytest.mark.parametrize("missing", [None, math.nan, pd.NaT, Decimal("NaN")])
def test_every_way_to_say_missing_is_answered_alike(model: DemandModel, frame: pd.DataFrame, missing: object) -> None:
    values = {name: frame.iloc[-1][name] for name in NEEDS} | {"units_13w": None, "first_sold": None}
    other = values | {"first_sold": missing} | ({} if missing is pd.NaT else {"units_13w": missing})
    assert as_rows(model.predict(Rows.of_one(other, MONDAY))) == as_rows(model.predict(Rows.of_one(values, MONDAY)))


def test_a_feature_that_is_not_there_is_named(model: DemandModel) -> None:
    values = dict.fromkeys(name for name in NEEDS if name != "units_13w")
    with pytest.raises(InputError, match="feature units_13w is missing"):
        model.predict(Rows.of_one(values, MONDAY))


def test_a_product_that_sells_ten_times_as_much_gets_inputs_that_differ_by_its_scale_alone(frame: pd.DataFrame) -> None:
    row = {name: frame.iloc[-1][name] for name in NEEDS}
    tenfold = {name: 10 * value if name.startswith(("units", "revenue")) else value for name, value in row.items()}
    one, ten = (demand_matrix(Rows.of_one(values, MONDAY), 4) for values in (row, tenfold))
    others = [place for place, name in enumerate(INPUTS) if name != "log_scale"]
    assert ten.scale == pytest.approx(10 * one.scale)
    assert ten.matrix[:, :, others] == pytest.approx(one.matrix[:, :, others], abs=1e-3, nan_ok=True)


def test_a_product_that_sold_nothing_has_the_least_scale_and_not_zero() -> None:
    assert demand_matrix(Rows.of_one(dict.fromkeys(NEEDS, 0), MONDAY), 4).scale.tolist() == [FLOOR]


def test_the_baseline_is_the_mean_of_the_window_for_every_week() -> None:
    assert window_average(Rows.of_one({"units_4w": 10.0}, MONDAY), 4, 3).tolist() == [[2.5, 2.5, 2.5]]


@pytest.mark.parametrize("units", [None, math.nan, -3.0])
def test_the_baseline_of_a_product_without_sales_is_zero(units: float | None) -> None:
    assert window_average(Rows.of_one({"units_4w": units}, MONDAY), 4, 2).tolist() == [[0.0, 0.0]]


def test_the_order_of_the_training_rows_changes_no_byte(model: DemandModel, frame: pd.DataFrame) -> None:
    assert DEMAND.fit(frame.sample(frac=1, random_state=1)).save() == model.save()


def test_rows_whose_window_has_not_closed_are_not_trained_on(model: DemandModel, frame: pd.DataFrame) -> None:
    assert DEMAND.fit(frame.dropna(subset=["y_4"])).save() == model.save()


def test_more_rows_than_may_be_trained_on_are_drawn_the_same_way_twice(frame: pd.DataFrame) -> None:
    few = DemandTrainer(replace(DEMAND.settings, largest=100))
    assert few.fit(frame).save() == few.fit(frame.sample(frac=1, random_state=1)).save()


def test_without_a_closed_window_there_is_not_enough_data(frame: pd.DataFrame) -> None:
    with pytest.raises(NotEnoughData, match="no row of the training frame has all labels"):
        DEMAND.fit(frame[frame["event_timestamp"] > frame["event_timestamp"].max() - pd.Timedelta(weeks=4)])


@pytest.mark.parametrize(("moments", "enough"), [(11, False), (12, True)])
def test_a_judgement_needs_four_cuts_and_as_many_weeks_between_them_and_training(moments: int, enough: bool) -> None:
    # The newest four moments have no labels, the four before are the cuts, and the three before those reach into the first cut.
    frame = demand_frame(moments=moments)
    if enough:
        assert len(DEMAND.evaluate(frame).cuts) == 4
    else:
        with pytest.raises(NotEnoughData, match="load more history"):
            DEMAND.evaluate(frame)


def test_labels_that_reach_into_the_first_cut_change_nothing_of_the_judgement(frame: pd.DataFrame) -> None:
    other = frame.copy()
    first = pd.Timestamp(DEMAND.evaluate(frame).cuts[0])
    between = (other["event_timestamp"] < first) & (other["event_timestamp"] > first - pd.Timedelta(weeks=4))
    other.loc[between, ["y_1", "y_2", "y_3", "y_4"]] = 9_999.0
    assert between.sum() == 18
    assert DEMAND.evaluate(other) == DEMAND.evaluate(frame)


def test_a_training_frame_that_lacks_a_feature_is_refused_by_its_name(frame: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="the training frame lacks units_26w"):
        DEMAND.fit(frame.drop(columns="units_26w"))


def test_the_weekly_scale_is_the_mean_squared_change_between_weeks_that_follow_each_other() -> None:
    mondays = pd.to_datetime(["2024-05-06", "2024-05-13", "2024-05-20", "2024-06-03"])  # 05-27 is missing
    history = pd.DataFrame({"store": "all", "product_code": "p", "event_timestamp": mondays, "units_1w": [1.0, 3.0, 6.0, 100.0]})
    assert weekly_scale(history) == {("all", "p"): pytest.approx((4 + 9) / 2)}


def test_golden_questions_are_answered_and_name_no_product(model: DemandModel, frame: pd.DataFrame) -> None:
    questions = DEMAND.golden(frame)
    assert {tuple(sorted(one)) for one in questions} == {("features", "moment")}
    assert all(model.answer(one) for one in questions)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what a process has loaded")
def test_threads_are_told_not_to_spin_before_openmp_is_loaded() -> None:
    looks = "import os, pathlib, lakehouse.models as _; print('gomp' in pathlib.Path('/proc/self/maps').read_text(), os.environ['OMP_WAIT_POLICY'])"
    trains = f"{looks}; import lakehouse.models.demand_training as _; print('gomp' in pathlib.Path('/proc/self/maps').read_text())"
    environ = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    said = subprocess.run([sys.executable, "-c", trains], env=environ, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["False", "PASSIVE", "True"]
