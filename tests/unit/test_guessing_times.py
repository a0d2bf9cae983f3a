"""Drafts: how a file writes its times, guessed rightly or left open with a word."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.ingest.guessing import draft
from tests.drafted import NAMES, entry_of, lines, table, used, workbook, written


@pytest.mark.parametrize(
    "format_",
    [
        *("%d-%m-%Y", "%d-%m-%Y %H:%M", "%Y/%m/%d", "%m-%d-%Y", "%d.%m.%y", "%d/%m/%Y %I:%M %p", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M"),
        *("%b %d, %Y", "%Y-%m-%d %I:%M:%S %p", "%Y%m%d%H%M", "%m/%d/%Y %I:%M:%S %p", "%d-%b-%y", "%Y%m%d", "%d.%m.%Y, %H:%M", "%m/%d/%y"),
    ],
)
def test_times_are_guessed_as_they_are_written(format_: str, tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", table(when=f'"{format_}"'))
    text = draft(file)
    assert entry_of(text)["times"] == {"formats": [format_]}
    assert "AMBIGUOUS" not in text
    assert (used(file).accepted, used(file).first) == (19, datetime.strptime(datetime(2024, 3, 1, 10, 30, 5).strftime(format_), format_))


@pytest.mark.parametrize(
    "written_as", ["%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%d %H:%M:%S+00:00", "%Y-%m-%dT%H:%M:%S+0000", "%Y-%m-%dT%H:%M:%S -05:00"]
)
def test_times_with_offsets_are_guessed_too(written_as: str, tmp_path: Path) -> None:
    found = used(written(tmp_path / "a.csv", table(when=written_as)))
    assert (found.accepted, found.written["zone"]) == (19, "UTC")


def test_days_and_months_are_told_apart_by_a_day_above_twelve_or_said_to_be_open(tmp_path: Path) -> None:
    for format_, other in (("%d/%m/%Y", "%m/%d/%Y"), ("%m/%d/%Y", "%d/%m/%Y")):
        assert "AMBIGUOUS" not in draft(written(tmp_path / "a.csv", table(when=format_)))
        open_ = draft(written(tmp_path / "a.csv", table(rows=12, when=format_)))
        assert "# DAY AND MONTH ARE AMBIGUOUS: %d/%m/%Y and %m/%d/%Y fit as well" in open_
        assert other in open_


@pytest.mark.parametrize("mark", ["-", "/", "."])
def test_a_year_of_two_digits_may_stand_first_and_that_is_said_to_be_open(mark: str, tmp_path: Path) -> None:
    format_, other = f"%y{mark}%m{mark}%d", f"%d{mark}%m{mark}%y"
    file = written(tmp_path / "a.csv", table(when=format_))
    text = draft(file)
    assert f"# DAY AND YEAR ARE AMBIGUOUS: {format_} and {other} fit as well; the former makes the days lie closest together" in text
    assert (used(file).first, used(file).last) == (datetime(2024, 3, 1), datetime(2024, 3, 19))
    assert "AMBIGUOUS" not in draft(written(tmp_path / "b.csv", table(when=other)))
    turned = lines(NAMES, *((f"S{year}", 2, datetime(2000 + year, 1 + year, 24).strftime(format_), 2.5) for year in range(1, 9)))
    assert "AND YEAR ARE AMBIGUOUS" in draft(written(tmp_path / "c.csv", turned))


def test_several_ways_of_writing_times_are_all_said(tmp_path: Path) -> None:
    text = table() + table(when="%Y-%m-%d %H:%M").split("\n", 1)[1]
    assert used(written(tmp_path / "a.csv", text)).accepted == 38


def test_times_of_day_in_another_column_and_seconds_since_1970_are_remarks(tmp_path: Path) -> None:
    rows = [("A", 2, f"2024-03-{day:02}", "10:30", 2.5) for day in range(1, 20)]
    text = draft(written(tmp_path / "a.csv", lines(("item", "qty", "Date", "Time", "total"), *rows)))
    assert '# the time of day stands in a column of its own, "Time", and is not read' in text
    assert "are counted from 1970" in draft(written(tmp_path / "a.csv", table(when="1700000001")))


def test_days_that_are_whole_numbers_in_parquet_are_drafted_and_read(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"item": ["A", "B"], "qty": [1, 2], "date_key": [20240301, 20240302], "total": [1.5, 2.5]}), file)
    assert entry_of(draft(file))["times"] == {"formats": ["%Y%m%d"]}
    assert (used(file).accepted, used(file).last) == (2, datetime(2024, 3, 2))


@pytest.mark.parametrize(("hour", "counted"), [("", {}), (".41", {"time_of_day": True})])
def test_days_as_spreadsheets_number_them_are_drafted(hour: str, counted: dict[str, bool], tmp_path: Path) -> None:
    rows = [("A", 2, f"{40_900 + day}{hour if day else ''}", 2.5) for day in range(9)]
    text = draft(written(tmp_path / "a.csv", lines(NAMES, *rows)))
    assert '# "day" is taken for days as spreadsheets number them, from 2011-12-23 to 2011-12-31: is it so?' in text
    assert entry_of(text)["times"] == {"counted": {"unit": "day", "number": 0, "day": date(1899, 12, 30), **counted}}
    sheet = workbook(tmp_path / "a.xlsx", Sales=[NAMES, *((*row[:2], float(row[2]), row[3]) for row in rows)])
    for file in (tmp_path / "a.csv", sheet):
        assert used(file).last == datetime(2011, 12, 31) + (timedelta(hours=9, minutes=50, seconds=24) if hour else timedelta())


def test_weeks_beside_a_column_of_years_are_drafted_as_weeks_of_it(tmp_path: Path) -> None:
    rows = [(1, "A", year, week, 2, 1.5) for year in (2022, 2023) for week in range(1, 53)]
    names = ("store", "item", "year", "week", "units", "price")
    for file in (written(tmp_path / "a.csv", lines(names, *rows)), workbook(tmp_path / "a.xlsx", Sales=[names, *rows])):
        text = draft(file)
        assert entry_of(text)["times"] == {"counted": {"unit": "week", "of_year": True}}
        assert entry_of(text)["columns"]["year"] == "year"  # type: ignore[index]
        assert '# "week" is taken for the weeks of "year" by ISO 8601, dated by their Mondays: is it so?' in text
        assert (used(file).refused, used(file).first, used(file).last) == ({}, datetime(2022, 1, 3), datetime(2023, 12, 25))


@pytest.mark.parametrize(
    "names", [("tienda", "producto", "año", "semana", "unidades", "precio"), ("shop", "sku", "Yr", "Wk", "units", "price")]
)
def test_weeks_with_a_zero_in_front_and_by_other_words_are_weeks_of_a_year_too(names: tuple[str, ...], tmp_path: Path) -> None:
    rows = [(1, "A", 2022, f"{week:02}", 2, 1.5) for week in range(1, 53)]
    file = written(tmp_path / "a.csv", lines(names, *rows))
    assert entry_of(draft(file))["times"] == {"counted": {"unit": "week", "of_year": True}}
    assert (used(file).refused, used(file).first) == ({}, datetime(2022, 1, 3))


@pytest.mark.parametrize("way", ["%G-W%V", "%GW%V", "W%V/%G", "KW %V/%G"])
def test_weeks_by_iso_8601_are_drafted_as_weekly_totals_of_their_mondays(way: str, tmp_path: Path) -> None:
    rows = [("A", 2, (datetime(2023, 12, 4) + timedelta(weeks=week)).strftime(way), 2.5) for week in range(20)]
    file = written(tmp_path / "a.csv", lines(("item", "qty", "period", "total"), *rows))
    entry = entry_of(draft(file))
    assert (entry["times"], entry["covers"]) == ({"formats": [way]}, "week")
    assert (used(file).refused, used(file).first, used(file).last) == ({}, datetime(2023, 12, 4), datetime(2024, 4, 15))


@pytest.mark.parametrize("name", ["week_ending", "WeekEnd Date", "weekending"])
def test_weeks_that_are_told_by_their_last_day_are_kept_by_their_first(name: str, tmp_path: Path) -> None:
    sundays = [datetime(2024, 1, 7) + timedelta(weeks=week) for week in range(10)]
    rows = [("A", 2, sunday.date(), 2.5) for sunday in sundays]
    names = ("item", "qty", name, "total")
    pq.write_table(pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))), tmp_path / "a.parquet")
    for file in (written(tmp_path / "a.csv", lines(names, *rows)), tmp_path / "a.parquet"):
        text = draft(file)
        entry = entry_of(text)
        assert entry["times"]["by_last_day"] is True and entry["covers"] == "week"  # type: ignore[index]
        assert f'is each dated by its last day, which "{name}" says (by_last_day)?' in text
        assert (used(file).refused, used(file).first, used(file).last) == ({}, datetime(2024, 1, 1), datetime(2024, 3, 4))
