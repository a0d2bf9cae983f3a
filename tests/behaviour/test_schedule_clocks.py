"""The timetable kept by a clock that is set, and over hours that are shown twice or never."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from jobs import scheduling
from jobs.scheduling import DONE
from lakehouse.settings import Settings
from lakehouse.tables import Lake, ops
from tests.timetabled import keeper, table


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake(settings)


class Enough(Exception):
    """What is said ends the keeper."""


@pytest.mark.timeout(15)
def test_a_turn_comes_though_the_clock_was_set_ahead_while_it_was_waited_for(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is after a sleep of the host, in which the clock by which a process waits stands still."""
    now, said = [datetime(2126, 3, 2, 12)], []
    monkeypatch.setattr(ops, "now", lambda: now[0])
    monkeypatch.setattr(scheduling, "LOOK_S", 0.05)

    def say(text: str) -> None:
        said.append(text)
        if text == "nightly: next 2126-03-03 03:00 UTC":
            now[0] += timedelta(hours=20)
        elif "done" in text:
            raise Enough

    schedule, _ = keeper(settings, table())
    schedule._say = say
    with pytest.raises(Enough):
        schedule.forever()
    assert said[1:] == ["nightly: due 2126-03-03 03:00 UTC", "nightly: done. 0 files landed (0 lines)"]


@pytest.mark.timeout(15)
def test_a_clock_that_is_set_back_brings_no_turn_twice_and_what_comes_next_is_told(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, said = [datetime(2126, 3, 2, 3, 30)], []
    scheduling._claim(lake, "nightly", datetime(2126, 3, 1, 3), DONE)
    monkeypatch.setattr(ops, "now", lambda: now[0])
    monkeypatch.setattr(scheduling, "LOOK_S", 0.05)
    clock = iter([datetime(2126, 3, 1, 2, 30), datetime(2126, 3, 1, 3, 30), datetime(2126, 3, 2, 3, 30), datetime(2126, 3, 3, 3, 30)])

    def say(text: str) -> None:
        said.append(text)
        if "next" in text:
            now[0] = next(clock)
        elif "due 2126-03-03" in text:
            raise Enough

    schedule, _ = keeper(settings, table())
    schedule._say = say
    with pytest.raises(Enough):
        schedule.forever()
    assert [text.removeprefix("nightly: ") for text in said] == [
        "due 2126-03-02 03:00 UTC",
        "done. 0 files landed (0 lines)",
        "next 2126-03-03 03:00 UTC",
        "next 2126-03-01 03:00 UTC",
        "next 2126-03-02 03:00 UTC",
        "next 2126-03-03 03:00 UTC",
        "due 2126-03-03 03:00 UTC",
    ]


def test_over_an_hour_that_is_shown_twice_what_was_missed_is_caught_up_once(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On 2026-10-25 London's clock goes from 01:59 back to 01:00, at 01:00 UTC."""
    found = table(zone="Europe/London", jobs={"nightly": {"at": "30 1 * * *", "do": ("load",), "tries": 1, "wait_s": 0}})
    schedule, said = keeper(settings, found)
    scheduling._claim(lake, "nightly", datetime(2026, 10, 23, 0, 30), DONE)
    looks = [(25, 0, 20), (25, 0, 35), (25, 0, 55), (25, 1, 20), (25, 1, 35), (25, 2, 5), (26, 1, 25), (26, 1, 35)]
    for day, hour, minute in looks:
        monkeypatch.setattr(ops, "now", lambda when=datetime(2026, 10, day, hour, minute): when)
        assert schedule.once()
    assert [text for text in said if ": due " in text] == [f"nightly: due 2026-10-{day} 01:30 Europe/London" for day in (24, 25, 26)]


@pytest.mark.parametrize("hours", [1, 25])
def test_a_keeper_that_slept_through_an_hour_that_is_shown_twice_catches_it_up_once(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    found = table(zone="Europe/London", jobs={"nightly": {"at": "30 1 * * *", "do": ("load",), "tries": 1, "wait_s": 0}})
    schedule, said = keeper(settings, found)
    scheduling._claim(lake, "nightly", datetime(2026, 10, 24, 0, 30), DONE)
    slept = datetime(2026, 10, 25, 0, 20) + timedelta(hours=hours)
    for look in (slept, slept + timedelta(minutes=5)):
        monkeypatch.setattr(ops, "now", lambda when=look: when)
        assert schedule.once()
    assert [text for text in said if ": due " in text] == ["nightly: due 2026-10-25 01:30 Europe/London"]
