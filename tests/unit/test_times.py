"""Times as files write them become shop wall time, and nothing else becomes a time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.ingest.times import Parsed, TimeFormat, from_counted, from_moments, from_texts

ALWAYS = settings(max_examples=60, deadline=None)  # how long an example takes says nothing here
EPOCH = datetime(1970, 1, 1)
DAY_FIRST = ("%d.%m.%Y %H:%M", "%d.%m.%y")
OFFSET = ("%Y-%m-%dT%H:%M:%S%z",)


def read(
    *texts: str | None, formats: tuple[str, ...] = ("%Y-%m-%d %H:%M:%S",), zone: str | None = None, given_in: str | None = None
) -> Parsed:
    return from_texts(pa.array(texts, pa.string()), formats, zone, given_in)


def times(parsed: Parsed) -> list[str | None]:
    """ISO text per line, "bad" or None."""
    told: list[str | None] = []
    for micros, missing, bad in zip(parsed.micros.tolist(), parsed.missing, parsed.bad, strict=True):
        told.append(None if missing else "bad" if bad else (EPOCH + timedelta(microseconds=micros)).isoformat())
    return told


@ALWAYS
@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)).map(lambda when: when.replace(microsecond=0)))
def test_every_time_is_read_as_it_was_written(when: datetime) -> None:
    assert times(read(when.isoformat(sep=" "))) == [when.isoformat()]


def test_each_line_is_read_by_the_first_format_that_fits_it() -> None:
    found = read("03.01.2011 08:05", "3.1.11", "2011-01-03", None, formats=DAY_FIRST)
    assert times(found) == ["2011-01-03T08:05:00", "2011-01-03T00:00:00", "bad", None]


@pytest.mark.parametrize(
    "text",
    [
        "2011-02-29 10:00:00",
        "2011-02-30 10:00:00",
        "2011-13-01 10:00:00",
        "2011-00-10 10:00:00",
        "2011-01-00 10:00:00",
        "0000-01-01 10:00:00",
        "2011-01-03 24:00:00",
        "2011-01-03 10:60:00",
        "2011-01-03 10:00:60",
        "2011-01-03",
        " 2011-01-03 10:00:00",
        "2011-01-03 10:00:00Z",
        "0",
        "-",
    ],
)
def test_what_is_on_no_calendar_or_clock_is_no_time(text: str) -> None:
    assert times(read(text)) == ["bad"]


def test_parts_that_touch_each_other_are_two_digits_each() -> None:
    """1012024 is the first of January that lost its zero in a column of numbers, and 2024113 is nobody's to say."""
    told = times(read("1012024", "01012024", "0112024", formats=("%d%m%Y",)))
    assert told == ["bad", "2024-01-01T00:00:00", "bad"]
    assert times(read("2024113", "20241103", "20241103 9:05", formats=("%Y%m%d", "%Y%m%d %H:%M"))) == [
        "bad",
        "2024-11-03T00:00:00",
        "2024-11-03T09:05:00",
    ]
    assert times(read("1Jan2024", "20240101905", "202401010905", formats=("%d%b%Y", "%Y%m%d%H%M"))) == [
        "2024-01-01T00:00:00",
        "bad",
        "2024-01-01T09:05:00",
    ]


def test_a_leap_day_is_a_day() -> None:
    assert times(read("2012-02-29 00:00:00", "2000-02-29 00:00:00", "1900-02-29 00:00:00"))[:] == [
        "2012-02-29T00:00:00",
        "2000-02-29T00:00:00",
        "bad",
    ]


def test_times_with_an_offset_become_the_shop_s_wall_time() -> None:
    found = read("2011-01-03T09:00:00Z", "2011-07-03T09:00:00+00:00", "2011-01-03T00:30:00-0500", formats=OFFSET, zone="Europe/Berlin")
    assert times(found) == ["2011-01-03T10:00:00", "2011-07-03T11:00:00", "2011-01-03T06:30:00"]


def test_times_given_in_another_zone_become_the_shop_s_wall_time() -> None:
    found = read("2011-01-03 09:00:00", "2011-07-03 23:30:00", zone="America/New_York", given_in="UTC")
    assert times(found) == ["2011-01-03T04:00:00", "2011-07-03T19:30:00"]


def test_of_a_wall_time_that_a_clock_showed_twice_the_first_is_meant() -> None:
    found = read("2011-10-30 02:30:00", zone="UTC", given_in="Europe/Berlin")
    assert times(found) == ["2011-10-30T00:30:00"]


@ALWAYS
@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9998, 12, 31)))
def test_weeks_and_their_days_are_those_of_iso_8601(when: datetime) -> None:
    midnight = when.replace(hour=0, minute=0, second=0, microsecond=0)
    year, week, day = when.isocalendar()
    monday = midnight - timedelta(days=day - 1)
    if monday < datetime(1, 1, 1):
        return
    texts = (f"{year:04}-W{week:02}", f"{year:04}-W{week:02}-{day}", f"{week}/{year:04}")
    told = times(read(*texts, formats=("%G-W%V", "%G-W%V-%u", "%V/%G")))
    assert told == [monday.isoformat(), midnight.isoformat(), monday.isoformat()]


def test_a_week_that_its_year_has_not_is_no_time() -> None:
    found = read("2020-W53", "2021-W53", "2021-W00", "2021-W54", "2021-W1", "2021-W01-8", formats=("%G-W%V", "%G-W%V-%u"))
    assert times(found) == ["2020-12-28T00:00:00", "bad", "bad", "bad", "2021-01-04T00:00:00", "bad"]


@ALWAYS
@given(
    st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2036, 1, 1)).map(lambda when: when.replace(microsecond=0)),
    st.sampled_from(["Europe/London", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"]),
)
def test_conversions_agree_with_python_s(when: datetime, zone: str) -> None:
    expected = when.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    assert times(read(f"{when.isoformat()}Z", formats=OFFSET, zone=zone)) == [expected.isoformat()]


def test_without_a_zone_nothing_is_converted() -> None:
    assert times(read("2011-07-03 09:00:00", zone="Europe/London")) == ["2011-07-03T09:00:00"]


def test_twelve_hour_clocks_months_by_name_and_fractions_are_read() -> None:
    formats = ("%d-%b-%Y %I:%M %p", "%Y-%m-%dT%H:%M:%S.%f")
    found = read("3-Jan-2011 12:05 AM", "03-DEC-2011 12:05 pm", "3-Jan-2011 13:05 PM", "2011-01-03T10:00:00.25", formats=formats)
    assert times(found) == ["2011-01-03T00:05:00", "2011-12-03T12:05:00", "bad", "2011-01-03T10:00:00.250000"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("%Y-%m", "must have a year"),
        ("%Y-%m-%d %Q", "Known: %Y"),
        ("%d-%d-%m-%Y", "each part once"),
        ("%G-%V-%d", "each part once"),
        ("%Y-W%V", "%G and %V"),
    ],
)
def test_a_format_that_can_not_be_meant_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TimeFormat.of(text)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_of_any_unit_are_the_same_time(unit: str) -> None:
    found = from_moments(pa.array([datetime(2011, 1, 3, 10), None]).cast(pa.timestamp(unit)), None, None)
    assert times(found) == ["2011-01-03T10:00:00", None]


def test_timestamps_with_a_zone_are_moments_and_dates_are_the_shop_s() -> None:
    moments = pa.array([datetime(2011, 7, 3, 9)]).cast(pa.timestamp("us", tz="UTC"))
    assert times(from_moments(moments, "Europe/London", None)) == ["2011-07-03T10:00:00"]
    assert times(from_moments(pa.array([date(2011, 7, 3)]), "Europe/London", "UTC")) == ["2011-07-03T00:00:00"]


def test_a_timestamp_beyond_the_calendar_is_no_time() -> None:
    far = pa.array(np.array([2**62, -(2**62)]), pa.int64()).cast(pa.timestamp("s"))
    assert times(from_moments(far, None, None)) == ["bad", "bad"]


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.date32()])
def test_a_real_date_is_no_number_of_a_day(kind: pa.DataType) -> None:
    read = from_counted(pa.array([date(2024, 1, 8), None], pa.date32()).cast(kind), days=1, number=1, day=date(1989, 9, 14))
    assert (read.bad.tolist(), read.missing.tolist()) == ([True, False], [False, True])


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/London", "Asia/Tokyo"])
@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+0000", "9999-12-31T23:59:59+0000", "0001-01-01T00:00:00+1400"])
def test_a_day_that_stands_for_no_day_fails_no_other_line(zone: str, text: str) -> None:
    found = read("2011-01-03T12:00:00+0000", text, formats=("%Y-%m-%dT%H:%M:%S%z",), zone=zone)
    moments = pa.array([datetime(2011, 1, 3, 12), datetime(1, 1, 1), datetime(9999, 12, 31, 23)], pa.timestamp("us", tz="UTC"))
    for parsed in (found, from_moments(moments, zone, None), read("0001-01-01 00:00:00", zone=zone, given_in="Europe/Berlin")):
        assert not parsed.bad.any()
        assert {str(told)[:4] for told in times(parsed)[-1:]} <= {"0001", "9999"}
    assert times(found)[0] == (datetime(2011, 1, 3, 12, tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)).isoformat()
