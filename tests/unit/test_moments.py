"""The grid of moments, and which day a run is told."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.errors import InputError
from lakehouse.tables.moments import Every, floor_moment, grid, next_moment, parse_day, step, until, written_by
from lakehouse.tables.opening import day_told, looked_back_to, newest_day

times = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2090, 1, 1))
grids = st.sampled_from(["week", "day"])


@given(times, grids)
def test_a_moment_is_a_midnight_at_or_before_the_time_and_the_next_is_after_it(when: datetime, every: Every) -> None:
    moment = floor_moment(when, every)
    assert moment <= when < next_moment(when, every) == moment + step(every)
    assert (moment.hour, moment.minute, moment.microsecond) == (0, 0, 0)
    assert floor_moment(moment, every) == moment


@given(times)
def test_weekly_moments_are_mondays(when: datetime) -> None:
    assert floor_moment(when, "week").weekday() == 0


@given(times, st.integers(min_value=0, max_value=30), grids)
def test_a_grid_excludes_its_beginning_and_includes_its_end(when: datetime, steps: int, every: Every) -> None:
    after = floor_moment(when, every)
    found = grid(after, after + steps * step(every), every)
    assert found == [after + number * step(every) for number in range(1, steps + 1)]


def test_a_lonely_day_far_ahead_is_not_the_newest() -> None:
    days = [date(2011, 12, 5), date(2011, 12, 6), date(2031, 1, 1)]
    assert newest_day(days) == date(2011, 12, 6)


def test_a_lakes_only_day_is_its_newest_though_it_is_alone() -> None:
    assert newest_day([date(2011, 12, 5)]) is None
    assert day_told([date(2011, 12, 5)], None) == datetime(2011, 12, 6)
    assert day_told([date(2031, 12, 5)], datetime(2011, 12, 6)) == datetime(2011, 12, 6)
    assert day_told([], None) is None


some_days = st.lists(st.dates(min_value=date(2010, 1, 1), max_value=date(2012, 1, 1)), min_size=2)


@given(some_days)
def test_the_newest_day_has_company_in_the_35_days_before_it(days: list[date]) -> None:
    accompanied = [day for day in days if any(timedelta(0) < day - other <= timedelta(days=35) for other in days)]
    assert newest_day(days) == max(accompanied, default=None)


@given(some_days, some_days)
def test_looking_back_from_the_published_day_tells_the_same_as_looking_at_everything(earlier: list[date], later: list[date]) -> None:
    published = day_told(earlier, None)
    assert published is not None
    every = [*earlier, *later]
    since = looked_back_to(published)
    assert day_told([day for day in every if day >= since], published) == day_told(every, published)


@pytest.mark.parametrize("text", ["yesterday", "2011-13-01", "2011-12-01T00:00:00+01:00"])
def test_what_is_not_a_day_of_the_shop_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match=r"Expected YYYY-MM-DD|own: write it without"):
        parse_day(text)


@pytest.mark.parametrize("day", ["2011-12-05", "20111205", date(2011, 12, 5)])
def test_what_is_asked_for_as_of_a_day_reaches_to_its_end(day: str | date) -> None:
    assert until(day) == datetime(2011, 12, 5, 23, 59, 59, 999999)


@pytest.mark.parametrize("time", ["2011-12-05T08:00", "2011-12-05 08:00:00", datetime(2011, 12, 5, 8)])
def test_a_time_of_a_day_is_meant_as_it_is(time: str | datetime) -> None:
    assert until(time) == datetime(2011, 12, 5, 8)


@pytest.mark.parametrize("day", [None, 3, 20111205, datetime(2011, 12, 5, tzinfo=UTC)])
def test_what_is_neither_a_day_nor_text_is_refused(day: object) -> None:
    with pytest.raises(InputError, match="is not a day|has an offset"):
        until(day)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("when", "meant"),
    [
        ("2011-12-05", datetime(2011, 12, 5)),
        (date(2011, 12, 5), datetime(2011, 12, 5)),
        ("2011-12-05 08:30", datetime(2011, 12, 5, 8, 30)),
        ("2011-12-05 08:30:10", datetime(2011, 12, 5, 8, 30, 10, 999999)),  # as listings show what was written at 08:30:10.723
        ("2011-12-05T08:30:10Z", datetime(2011, 12, 5, 8, 30, 10, 999999)),
        ("2011-12-05 08:30:10.723", datetime(2011, 12, 5, 8, 30, 10, 723000)),
        ("2011-12-05T09:30:00.5+01:00", datetime(2011, 12, 5, 8, 30, 0, 500000)),
        (datetime(2011, 12, 5, 8, 30, 10), datetime(2011, 12, 5, 8, 30, 10)),
        (datetime(2011, 12, 5, 9, 30, tzinfo=timezone(timedelta(hours=1))), datetime(2011, 12, 5, 8, 30)),
    ],
)
def test_a_time_of_writing_is_of_utc_unless_it_says_its_offset(when: str | date, meant: datetime) -> None:
    assert written_by(when) == meant.replace(tzinfo=UTC)


@pytest.mark.parametrize("when", ["", "now", None, 1])
def test_what_is_no_time_of_writing_is_refused(when: object) -> None:
    with pytest.raises(InputError, match="is not a time. Expected"):
        written_by(when)  # type: ignore[arg-type]
