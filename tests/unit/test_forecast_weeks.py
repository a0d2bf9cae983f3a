"""The weeks of a forecast are those that were asked for, or the answer is none."""

from __future__ import annotations

from datetime import date

import pytest

from lakehouse.models.interface import Json
from serving.answers import weeks_of

WEEK: dict[str, Json] = {"week": "2024-05-06", "mean": 2.0, "median": 2.0, "low": 1.0, "high": 3.0}


def test_the_first_weeks_of_a_longer_answer_are_told() -> None:
    answer: dict[str, Json] = {"forecast": [WEEK, {**WEEK, "week": "2024-05-13"}]}
    assert [week.week for week in weeks_of(answer, 1)] == [date(2024, 5, 6)]


def test_an_answer_of_fewer_weeks_than_were_asked_for_is_refused() -> None:
    with pytest.raises(ValueError, match="3 weeks were asked for, the answer has 2"):
        weeks_of({"forecast": [WEEK, WEEK]}, 3)
