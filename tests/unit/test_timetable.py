"""The timetable: what may stand in it, and when its times come, also where a clock skips an hour or shows one twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs import timetable
from jobs.timetable import Timetable
from lakehouse import settings as settings_module
from lakehouse.errors import SettingsError, UnknownName

JOB = {"at": "30 1 * * *", "do": ["load"]}


def table(zone: str = "Europe/London", **job: object) -> Timetable:
    tree = {"zone": zone, "inbox": None, "settle_s": 0, "keep_landed": False, "jobs": {"nightly": JOB | job}}
    return Timetable.model_validate(tree)


def test_what_ships_is_whole() -> None:
    found = timetable.load(settings_module.load(profile="local", environ={}))
    assert found.jobs["nightly"].do == ("load", "run")


def test_the_next_time_is_after_the_moment_and_on_the_zones_clock() -> None:
    assert table().next("nightly", datetime(2026, 1, 10, 1, 30)) == datetime(2026, 1, 11, 1, 30)
    assert table().next("nightly", datetime(2026, 7, 10, 0, 29)) == datetime(2026, 7, 10, 0, 30)  # summer time: an hour ahead
    assert table().told(datetime(2026, 7, 10, 0, 30)) == "2026-07-10 01:30 Europe/London"


def test_an_hour_that_the_clock_shows_twice_has_its_time_once() -> None:
    """On 2026-10-25 London's clock goes from 01:59 back to 01:00."""
    found = [datetime(2026, 10, 24, 12)]
    for _ in range(3):
        found.append(table().next("nightly", found[-1]))
    assert [moment.day for moment in found[1:]] == [25, 26, 27]


def test_an_hour_that_the_clock_skips_does_not_lose_the_day() -> None:
    """On 2026-03-29 London's clock goes from 00:59 to 02:00."""
    found = [datetime(2026, 3, 28, 12)]
    for _ in range(2):
        found.append(table().next("nightly", found[-1]))
    assert found[1] < datetime(2026, 3, 30) and found[2].day == 30


ZONES = [
    "UTC",
    "Europe/London",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "America/Havana",
    "Africa/Cairo",
]


@given(st.datetimes(datetime(2025, 1, 1), datetime(2028, 1, 1)), st.sampled_from(ZONES), st.integers(0, 23), st.sampled_from([0, 30]))
@hypothesis_settings(max_examples=300, deadline=None)
def test_a_daily_job_always_comes_once_a_day(after: datetime, zone: str, hour: int, minute: int) -> None:
    found = table(zone, at=f"{minute} {hour} * * *")
    first = found.next("nightly", after)
    second = found.next("nightly", first)
    assert timedelta(0) < first - after <= timedelta(hours=26)
    assert timedelta(hours=22) <= second - first <= timedelta(hours=26)


@pytest.mark.parametrize(
    ("zone", "at", "month", "day"),
    [("Europe/Berlin", "30 2 * * *", 3, 29), ("America/Havana", "0 0 * * *", 3, 8), ("Africa/Cairo", "0 0 * * *", 4, 24)],
)
def test_no_day_is_lost_where_the_clock_skips_the_hour(zone: str, at: str, month: int, day: int) -> None:
    found, days = datetime(2026, month, day - 2, 12), []
    for _ in range(4):
        found = table(zone, at=at).next("nightly", found)
        days.append(found.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).day)
    assert days == [day - 1, day, day + 1, day + 2]


@pytest.mark.parametrize(
    ("at", "weekdays"),
    [
        ("0 3 * * 0", {6}),
        ("0 3 * * 7", {6}),
        ("0 3 * * 1-5", {0, 1, 2, 3, 4}),
        ("0 3 * * mon,4", {0, 3}),
        ("0 3 * * Fri-Sun", {4, 5, 6}),
        ("0 3 * * sun-sun", {6}),
    ],
)
def test_weekdays_are_a_crontabs(at: str, weekdays: set[int]) -> None:
    found, seen = datetime(2026, 1, 1), set()
    for _ in range(14):
        found = table("UTC", at=at).next("nightly", found)
        seen.add(found.weekday())
    assert seen == weekdays


NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
PARTS = st.one_of(  # a part of the weekday field, and the days that crontab(5) says it means, Sunday being 0 and 7
    st.tuples(st.just("*"), st.just(range(7))),
    st.integers(1, 7).map(lambda step: (f"*/{step}", range(0, 8, step))),
    st.integers(0, 7).map(lambda day: (str(day), range(day, day + 1))),
    st.sampled_from(NAMES).map(lambda name: (name.upper(), range(NAMES.index(name), NAMES.index(name) + 1))),
    st.tuples(st.integers(0, 7), st.integers(0, 7), st.integers(1, 7))
    .filter(lambda part: part[0] <= part[1])
    .map(lambda part: (f"{part[0]}-{part[1]}" + (f"/{part[2]}" if part[2] > 1 else ""), range(part[0], part[1] + 1, part[2]))),
)


@given(st.lists(PARTS, min_size=1, max_size=3))
@hypothesis_settings(max_examples=150, deadline=None)
def test_every_form_of_a_crontabs_weekdays_means_its_days(parts: list[tuple[str, range]]) -> None:
    job = table("UTC", at=f"0 3 * * {','.join(text for text, _ in parts)}")
    found, seen = datetime(2026, 1, 4), set()  # a Sunday
    while (found := job.next("nightly", found)) < datetime(2026, 1, 11):
        seen.add(found.isoweekday() % 7)
    assert seen == {day % 7 for _, days in parts for day in days}


@pytest.mark.parametrize("field", ["5-1", "8", "1#1", "5L", "1/2", "*/0", "mon-", "?", "1-5/x", "funday"])
def test_what_is_no_weekday_of_a_crontab_is_refused(field: str) -> None:
    with pytest.raises(ValidationError, match=f'weekday "{field}" is none of a crontab'.replace("?", "[?]").replace("*", "[*]")):
        table(at=f"0 3 * * {field}")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"at": "daily"}, "is no time"),
        ({"at": "61 3 * * *"}, "is no time"),
        ({"at": "0 3 1 * mon"}, "mean either in a crontab"),
        ({"at": "0 3 31 2 *"}, "never comes: no month that it names has that day"),
        ({"at": "0 3 31 4,6 *"}, "never comes"),
        ({"do": []}, "at least 1"),
        ({"do": ["lod"]}, "is no step. Steps: load, run, maintain, verify"),
        ({"do": ["run silvr"]}, 'Did you mean "silver"'),
        ({"do": ["load silver"]}, "run may name stages"),
        ({"tries": 0}, "greater than or equal to 1"),
        ({"zone": "Mars/Base"}, "is not a time zone"),
    ],
)
def test_a_wrong_timetable_says_what_is_wrong(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        table(**wrong)  # type: ignore[arg-type]


def test_a_wrong_file_is_named_with_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings_module.load(profile="local", environ={})
    base = {"zone": "UTC", "inbox": None, "settle_s": 0, "keep_landed": False}
    monkeypatch.setattr(timetable, "conf_file", lambda *_: base | {"jobs": {"nightly": JOB | {"tris": 3}}})
    with pytest.raises(UnknownName, match='key "tris" is unknown in schedule.yml, jobs, nightly.*Did you mean "tries"'):
        timetable.load(chosen)
    monkeypatch.setattr(timetable, "conf_file", lambda *_: base | {"jobs": {"nightly": JOB | {"at": "x"}}})
    with pytest.raises(SettingsError, match="schedule.yml, jobs, nightly, at: .x. is no time"):
        timetable.load(chosen)
