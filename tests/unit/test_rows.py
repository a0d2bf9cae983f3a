"""Feature values as Feast, a frame or a logged question gives them: converted in one place, so that all three mean the same."""

from __future__ import annotations

import json
import math
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.errors import InputError
from lakehouse.models.interface import Rows

MONDAY = datetime(2024, 6, 3)


def one(value: object) -> Rows:
    return Rows.of_one({"x": value}, MONDAY)


@pytest.mark.parametrize("value", [3, 3.0, Decimal("3.000"), np.float32(3), np.int64(3), True * 3])
def test_a_number_is_the_same_in_every_form(value: object) -> None:
    assert one(value).numbers("x").tolist() == [3.0]


@pytest.mark.parametrize("value", [None, math.nan, Decimal("NaN")])
def test_a_missing_number_is_not_a_number(value: object) -> None:
    assert math.isnan(one(value).numbers("x")[0])


@pytest.mark.parametrize("value", [date(2024, 6, 3), MONDAY, pd.Timestamp(MONDAY), "2024-06-03", "2024-06-03T11:30:00", 19877, 19877.0])
def test_a_day_is_the_same_in_every_form(value: object) -> None:
    assert one(value).days("x").tolist() == [19877.0]


@pytest.mark.parametrize("value", [None, math.nan, pd.NaT])
def test_a_missing_day_is_not_a_number(value: object) -> None:
    assert math.isnan(one(value).days("x")[0])


@pytest.mark.parametrize("value", [["a", "b"], ("a", "b"), np.array(["a", "b"])])
def test_a_list_is_the_same_in_every_form(value: object) -> None:
    assert one(value).lists("x") == [["a", "b"]]


@pytest.mark.parametrize("value", [None, math.nan])
def test_a_missing_list_is_empty(value: object) -> None:
    assert one(value).lists("x") == [[]]


def test_an_age_is_counted_to_the_moment_with_its_part_of_a_day() -> None:
    assert Rows.of_one({"x": date(2024, 6, 1)}, datetime(2024, 6, 3, 12)).ages("x").tolist() == [2.5]


def test_a_day_after_the_moment_counts_as_today() -> None:
    assert one(date(2024, 6, 9)).ages("x").tolist() == [0.0]


def test_the_age_of_a_missing_day_is_not_a_number() -> None:
    assert math.isnan(one(None).ages("x")[0])


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)).map(lambda when: when.replace(microsecond=0)))
def test_a_moment_is_always_the_days_since_1970_with_its_part_of_a_day(moment: datetime) -> None:
    expected = (moment - datetime(1970, 1, 1)).total_seconds() / 86_400
    assert Rows.of_one({}, moment).moment_days().tolist() == [pytest.approx(expected)]


@given(st.floats(allow_nan=False, allow_infinity=False), st.dates(date(1990, 1, 1), date(2090, 1, 1)))
def test_a_row_of_a_frame_and_its_question_in_json_always_mean_the_same(number: float, day: date) -> None:
    frame = pd.DataFrame({"event_timestamp": [pd.Timestamp(MONDAY)], "n": [number], "d": [pd.Timestamp(day)]})
    question = json.loads(json.dumps({"moment": MONDAY.isoformat(), "features": {"n": number, "d": day.isoformat()}}))
    framed, asked = Rows.of_frame(frame), Rows.of_question(question)
    assert framed.moments.tolist() == asked.moments.tolist()
    assert (framed.numbers("n").tolist(), framed.days("d").tolist()) == (asked.numbers("n").tolist(), asked.days("d").tolist())


def test_a_moment_with_an_offset_and_one_without_are_the_same_in_a_frame() -> None:
    naive, aware = (pd.DataFrame({"event_timestamp": pd.to_datetime(["2024-06-03"], utc=utc)}) for utc in (False, True))
    assert Rows.of_frame(naive).moments.tolist() == Rows.of_frame(aware).moments.tolist()


def test_a_column_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(InputError, match="feature y is missing; there are x"):
        one(1).numbers("y")


def test_text_where_a_number_should_be_is_named() -> None:
    with pytest.raises(InputError, match="feature x holds something that is not a number"):
        one("many").numbers("x")


def test_text_where_a_day_should_be_is_named() -> None:
    with pytest.raises(InputError, match="feature x holds something that is not a day"):
        one("yesterday").days("x")


def test_a_single_value_where_a_list_should_be_is_named() -> None:
    with pytest.raises(InputError, match="feature x holds a str, expected a list"):
        one("a").lists("x")


@pytest.mark.parametrize(
    "question", [{}, {"moment": "2024-06-03"}, {"moment": 5, "features": {}}, {"moment": "2024-06-03", "features": [1]}]
)
def test_a_question_without_a_moment_and_features_is_refused(question: dict[str, object]) -> None:
    with pytest.raises(InputError, match='a question needs "moment"'):
        Rows.of_question(question)  # type: ignore[arg-type]
