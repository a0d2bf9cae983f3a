"""The customer segments: one answer for one and for many, names that stay, and as many groups as hold together."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import silhouette_score

from lakehouse.errors import InputError, NotEnoughData
from lakehouse.models.interface import Json, Rows
from lakehouse.models.segment_names import Profile, kind, named
from lakehouse.models.segments import LAPSED, NEEDS, Segment, SegmentsModel, measured
from lakehouse.models.segments_training import FEWEST, SegmentsTrainer
from tests.made_up import MONDAY, SEGMENTS, segments_frame

DAYS = ("first_bought", "last_bought")
amounts = st.none() | st.integers(-(10**9), 10**9) | st.floats()
days = st.none() | st.dates(datetime(1990, 1, 1).date(), datetime(2090, 1, 1).date()).map(str)
features = st.fixed_dictionaries({name: days if name in DAYS else amounts for name in NEEDS})
MIDDLE = Profile(recency=50, frequency=5, spend=100, tenure=400, breadth=8, return_rate=0.0, share=1.0)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return segments_frame()


@pytest.fixture(scope="module")
def model(frame: pd.DataFrame) -> SegmentsModel:
    return SEGMENTS.fit(frame)


def newest(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["event_timestamp"] == pd.Timestamp(MONDAY)]


def names_by_customer(model: SegmentsModel, frame: pd.DataFrame) -> dict[str, str]:
    rows = newest(frame)
    return dict(zip(rows["customer_key"], (one.name for one in model.predict(Rows.of_frame(rows))), strict=True))


def question(row: pd.Series) -> dict[str, Json]:
    values: dict[str, Json] = {name: row[name].isoformat() if name in DAYS else float(row[name]) for name in NEEDS}
    return {"moment": row["event_timestamp"].isoformat(), "features": values}


def test_an_answer_for_one_customer_is_what_is_predicted_for_many(model: SegmentsModel, frame: pd.DataFrame) -> None:
    many = model.predict(Rows.of_frame(frame))
    answers = [model.answer(question(row))["segment"] for _, row in frame.iterrows()]
    assert answers == [{"name": one.name, "description": f"{one.description} {one.use}"} for one in many]


def test_a_loaded_model_puts_everybody_where_the_saved_one_does(model: SegmentsModel, frame: pd.DataFrame) -> None:
    assert SegmentsModel.load(model.save()).predict(Rows.of_frame(frame)) == model.predict(Rows.of_frame(frame))


def test_a_loaded_model_is_saved_as_the_same_bytes(model: SegmentsModel) -> None:
    assert SegmentsModel.load(model.save()).save() == model.save()


def test_a_model_of_other_measures_is_refused(model: SegmentsModel) -> None:
    files = {"segments.json": model.save()["segments.json"].replace(b'"return_rate"', b'"returns"')}
    with pytest.raises(InputError, match="trained on other measures than this version computes: train it again"):
        SegmentsModel.load(files)


@given(features, st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1)))
@settings(max_examples=150, deadline=None)
def test_every_customer_gets_a_segment_whatever_is_known(model: SegmentsModel, values: dict[str, object], moment: datetime) -> None:
    rows = Rows.of_one(values, moment)
    assert np.isfinite(measured(rows)).all()
    assert model.predict(rows)[0] in (*model.segments, model.lapsed)


@pytest.mark.parametrize("days", [0, None, math.nan])
def test_who_bought_nothing_in_the_year_has_lapsed(model: SegmentsModel, frame: pd.DataFrame, days: float | None) -> None:
    values = {name: frame.iloc[0][name] for name in NEEDS} | {"days_52w": days}
    assert model.predict(Rows.of_one(values, MONDAY))[0].name == LAPSED


def test_customers_of_one_kind_are_never_put_with_those_of_another(model: SegmentsModel, frame: pd.DataFrame) -> None:
    found = {customer: name for customer, name in names_by_customer(model, frame).items() if name != LAPSED}
    kinds = [{name for customer, name in found.items() if int(customer[1:]) % 3 == number} for number in range(3)]
    assert sum(map(len, kinds)) == len(set.union(*kinds))


def test_the_order_of_the_training_rows_changes_no_byte(model: SegmentsModel, frame: pd.DataFrame) -> None:
    assert SEGMENTS.fit(frame.sample(frac=1, random_state=1)).save() == model.save()


def test_training_twice_gives_the_same_bytes(model: SegmentsModel, frame: pd.DataFrame) -> None:
    assert SEGMENTS.fit(frame).save() == model.save()


def renamed(model: SegmentsModel) -> SegmentsModel:
    """The model under names that nobody would make up from numbers."""
    return replace(model, segments=tuple(replace(one, name=f"house name {place}") for place, one in enumerate(model.segments)))


def test_those_who_stay_together_keep_their_name_when_the_model_is_trained_again(model: SegmentsModel, frame: pd.DataFrame) -> None:
    before = renamed(model)
    again = SegmentsTrainer(SEGMENTS.settings, previous=before).fit(frame)
    assert names_by_customer(again, frame) == names_by_customer(before, frame)


def test_names_are_kept_when_a_tenth_of_the_customers_is_gone_and_clusters_lie_elsewhere(model: SegmentsModel, frame: pd.DataFrame) -> None:
    before = renamed(model)
    fewer = frame[frame["customer_key"] >= "c006"]
    again = SegmentsTrainer(SEGMENTS.settings, previous=before).fit(fewer)
    assert {one.name for one in again.segments} <= {one.name for one in before.segments}
    assert not np.array_equal(again.mean, before.mean)


def profile(share: float = 0.5, **figures: float) -> Profile:
    return replace(MIDDLE, share=share, **figures)


OLD = Segment("old name", "as it was", "its use")


def test_a_cluster_bears_the_name_of_the_segment_before_that_shares_its_members() -> None:
    (found,) = named([profile(recency=10)], MIDDLE, [frozenset("abc")], [(OLD, frozenset("bcd"))])
    assert (found.name, found.use) == ("old name", "its use")


def test_a_kept_name_comes_with_the_new_numbers() -> None:
    (found,) = named([profile(recency=10)], MIDDLE, [frozenset("abc")], [(OLD, frozenset("abc"))])
    assert found.description == profile(recency=10).text


def test_a_cluster_of_mostly_other_members_gets_a_name_of_its_own() -> None:
    (found,) = named([profile(recency=10)], MIDDLE, [frozenset("abcde")], [(OLD, frozenset("efgh"))])
    assert found.name == "occasionals"


def test_a_name_is_borne_once_by_the_cluster_that_shares_most() -> None:
    members = [frozenset("abcd"), frozenset("efghijkl")]
    found = named([profile(recency=10), profile(recency=10)], MIDDLE, members, [(OLD, frozenset("cdefghijkl"))])
    assert [one.name for one in found] == ["occasionals", "old name"]


def test_two_clusters_of_one_kind_are_told_apart_the_one_that_spends_more_first() -> None:
    found = named([profile(spend=50), profile(spend=90)], MIDDLE, [frozenset("a"), frozenset("b")])
    assert [one.name for one in found] == ["occasionals II", "occasionals"]


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"tenure": 60}, "newcomers"),
        ({"frequency": 9, "recency": 10}, "regulars"),
        ({"frequency": 9, "recency": 90}, "fading regulars"),
        ({"frequency": 3, "recency": 10}, "occasionals"),
        ({"frequency": 3, "recency": 90}, "quiet customers"),
        ({"frequency": 1, "recency": 90}, "one-timers"),
    ],
)
def test_a_kind_is_read_from_the_numbers(figures: dict[str, float], expected: str) -> None:
    assert kind(profile(**figures), MIDDLE) == expected


def test_fewer_customers_than_thirty_are_not_enough(frame: pd.DataFrame) -> None:
    few = frame[frame["customer_key"] < f"c{FEWEST - 1:03d}"]
    with pytest.raises(NotEnoughData, match="29 customers bought in the past year, segments need 30"):
        SEGMENTS.fit(few)


def test_without_ninety_days_that_closed_before_there_is_not_enough_data(frame: pd.DataFrame) -> None:
    with pytest.raises(NotEnoughData, match="no 90 days have closed before 2024-06-03"):
        SEGMENTS.fit(newest(frame))


def test_without_two_closed_moments_there_is_nothing_to_judge_by(frame: pd.DataFrame) -> None:
    judged = frame["event_timestamp"].unique()[1]
    with pytest.raises(NotEnoughData, match="none a month before"):
        SEGMENTS.evaluate(frame[frame["event_timestamp"] >= judged])


HELD_OUT = {"eta_squared", "groups", "ari"}


def test_what_was_spent_after_the_judged_moment_makes_no_cluster_that_is_judged_by_it(frame: pd.DataFrame) -> None:
    judged = frame["event_timestamp"].unique()[1]
    other = frame.copy()
    other.loc[other["event_timestamp"] == judged, "spend"] = np.arange(61.0)[::-1]
    told, again = SEGMENTS.evaluate(frame).metrics, SEGMENTS.evaluate(other).metrics
    assert {name for name in HELD_OUT if told[name] != again[name]} == {"eta_squared"}


@pytest.fixture(scope="module")
def grown(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame whose newest moment lacks most of the customers of kind 2, who are there at the moments that are held out."""
    gone = (frame["event_timestamp"] == pd.Timestamp(MONDAY)) & (frame["customer_key"].str[1:].astype(int) % 3 == 2)
    return frame[~gone | (frame["customer_key"] < "c020")]


def test_shares_clusters_and_silhouette_are_those_of_the_model_that_is_registered(grown: pd.DataFrame) -> None:
    model, found = SEGMENTS.trained(grown)
    rows = Rows.of_frame(newest(grown))
    places = model.places(rows)
    shares = np.bincount(places[places >= 0]) / (places >= 0).sum()
    apart = silhouette_score(model.scaled(measured(rows)[places >= 0]), places[places >= 0])
    assert (found.metrics["largest_share"], found.metrics["smallest_share"]) == (shares.max(), shares.min())
    assert found.metrics["clusters"] == len(model.segments)
    assert found.metrics["silhouette"] == pytest.approx(apart)
    assert model.save() == SEGMENTS.fit(grown).save()


def test_how_stable_clusters_are_is_asked_of_those_that_are_registered(frame: pd.DataFrame) -> None:
    other = frame.copy()
    at_random = np.random.default_rng(1).uniform(1.0, 3000.0, (other["event_timestamp"] == pd.Timestamp(MONDAY)).sum())
    other.loc[other["event_timestamp"] == pd.Timestamp(MONDAY), "spend_52w"] = at_random
    assert SEGMENTS.evaluate(other).metrics["jaccard_mean"] < SEGMENTS.evaluate(frame).metrics["jaccard_mean"]


def test_who_the_customers_are_now_changes_nothing_that_is_judged_by_what_was_held_out(frame: pd.DataFrame, grown: pd.DataFrame) -> None:
    told, again = SEGMENTS.evaluate(frame), SEGMENTS.evaluate(grown)
    assert {name: told.metrics[name] for name in HELD_OUT} == {name: again.metrics[name] for name in HELD_OUT}
    assert (told.baselines, told.rows, told.cuts) == (again.baselines, again.rows, again.cuts)


def test_golden_questions_are_about_nobody(model: SegmentsModel, frame: pd.DataFrame) -> None:
    questions = SEGMENTS.golden(frame)
    assert {tuple(sorted(one)) for one in questions} == {("features", "moment")}
    assert all(model.answer(one) for one in questions)
