"""Drafts: how a file writes its numbers, guessed rightly or left open with a word."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lakehouse.ingest.guessing import draft
from tests.drafted import NAMES, entry_of, lines, table, used, workbook, written


@pytest.mark.parametrize(
    ("quantity", "amount", "marks", "read"),
    [
        ('"1,001"', '"1,234.20"', {"thousands": ","}, (1001, "1234.20")),
        ("1.001", '"1.234,20"', {"decimal": ",", "thousands": "."}, (1001, "1234.20")),
        ('"1,001"', "2.50", {"thousands": ","}, (1001, "2.50")),
        ("1.001", '"2,50"', {"decimal": ",", "thousands": "."}, (1001, "2.50")),
        ("1", '"1 234,20"', {"decimal": ",", "thousands": " "}, (1, "1234.20")),
        ("1", "1'234.20", {"thousands": "'"}, (1, "1234.20")),
        ("1", "2.50", {}, (1, "2.50")),
        ("0.125", "2.125", {}, ("0.125", "2.125")),
    ],
)
def test_marks_of_numbers_are_those_that_fit_all_of_them(
    quantity: str, amount: str, marks: dict[str, str], read: tuple[object, str], tmp_path: Path
) -> None:
    file = written(tmp_path / "a.csv", table(quantity=quantity, amount=amount))
    assert entry_of(draft(file))["formats"] == {"csv": marks}
    first = used(file).sample[0]
    assert (first.quantity, first.amount) == (Decimal(read[0]), Decimal(read[1]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            table(quantity='"1,001"', amount="11"),
            'is "1,001" 1001 or 1.001? Say decimal and thousands under formats; as it stands it is refused',
        ),
        (
            table(amount="1.100", mark=";"),
            'is "1.100" 1.1 or 1100? Say decimal and thousands under formats; as it stands it is read as 1.1',
        ),
    ],
)
def test_a_mark_before_three_digits_alone_decides_nothing(text: str, told: str, tmp_path: Path) -> None:
    found = draft(written(tmp_path / "a.csv", text))
    assert f"# NUMBERS ARE AMBIGUOUS: {told}" in found
    assert not {"decimal", "thousands"} & entry_of(found)["formats"]["csv"].keys()  # type: ignore[index]


def test_quantity_times_price_decides_what_the_marks_leave_open(tmp_path: Path) -> None:
    rows = [(f"S{day}", '"1,001"', f"2024-03-{day:02}", 2, 2002) for day in range(1, 20)]
    file = written(tmp_path / "a.csv", lines(("item", "qty", "day", "price", "total"), *rows))
    assert used(file).sample[0].quantity == 1001


@pytest.mark.parametrize("plain", [2_500, 60_000])
def test_marks_that_come_late_in_a_file_are_seen(plain: int, tmp_path: Path) -> None:
    """Whole numbers first, and behind them some of a thousand and more: in the part that is read at once, and far behind it."""
    rows = [(f"S{row % 9}", 1 + row % 7, f"2024-03-{1 + row % 28:02}", 100 + row % 800) for row in range(plain)]
    late = [(f"S{row % 9}", 1, f"2024-03-{1 + row % 28:02}", "1.250") for row in range(plain // 5)]
    told = draft(written(tmp_path / "a.csv", lines(NAMES, *rows, *late, mark=";")))
    assert '# NUMBERS ARE AMBIGUOUS: is "1.250" 1.25 or 1250?' in told
    parquet = tmp_path / "a.parquet"
    columns = dict(zip(NAMES, map(list, zip(*((*row[:3], str(row[3])) for row in (*rows, *late)), strict=True)), strict=True))
    pq.write_table(pa.table(columns), parquet, row_group_size=20_000)
    assert '# NUMBERS ARE AMBIGUOUS: is "1.250" 1.25 or 1250?' in draft(parquet)


def test_marks_that_come_late_in_a_sheet_are_seen(tmp_path: Path) -> None:
    rows = [("A", 1, datetime(2024, 3, 1), 100) for _ in range(2_500)] + [("A", 1, datetime(2024, 3, 1), "1.250") for _ in range(100)]
    assert "# NUMBERS ARE AMBIGUOUS" in draft(workbook(tmp_path / "a.xlsx", Sales=[NAMES, *rows]))


def test_real_numbers_and_times_of_a_sheet_say_nothing_of_how_texts_among_them_are_written(tmp_path: Path) -> None:
    days = [datetime(2024, 3, 1 + row) for row in range(16)]
    amounts = [("A", 2, day, "1.234,50" if row % 2 else 1234.5) for row, day in enumerate(days)]
    found = used(workbook(tmp_path / "a.xlsx", Sales=[NAMES, *amounts]))
    assert (found.accepted, found.amount) == (16, 16 * Decimal("1234.5"))
    one = [("A", 2, day, "1.234" if row == 8 else 1234.5) for row, day in enumerate(days)]
    assert '# NUMBERS ARE AMBIGUOUS: is "1.234" 1.234 or 1234?' in draft(workbook(tmp_path / "b.xlsx", Sales=[NAMES, *one]))
    mixed = [("A", 2, day if row % 2 else day.strftime("%d.%m.%Y"), 2.5) for row, day in enumerate(days)]
    found = used(workbook(tmp_path / "c.xlsx", Sales=[NAMES, *mixed]))
    assert (found.accepted, found.first, found.last) == (16, days[0], days[-1])


WAYS = ((".", ""), (".", ","), (",", "."), (",", " "), (".", "'"))
CLOCKS = ("%d/%m/%Y", "%m/%d/%Y %H:%M", "%d.%m.%y", "%m-%d-%Y %I:%M %p", "%Y-%m-%dT%H:%M:%S", "%Y%m%d", "%d-%b-%Y", "%y-%m-%d")


@settings(
    max_examples=25, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(-20, 20_000).filter(bool),
            st.integers(1, 3_000_000),
            st.datetimes(datetime(2001, 1, 1), datetime(2024, 1, 1)).map(lambda when: when.replace(second=0, microsecond=0)),
        ),
        min_size=2,
        max_size=12,
    ),
    way=st.sampled_from(WAYS),
    cents=st.booleans(),
    clock=st.sampled_from(CLOCKS),
)
def test_what_a_draft_reads_without_a_word_is_what_was_written(
    rows: list[tuple[int, int, datetime]], way: tuple[str, str], cents: bool, clock: str, tmp_path: Path
) -> None:
    def number(value: Decimal, places: int) -> str:
        return f"{value:,.{places}f}".translate(str.maketrans({",": way[1], ".": way[0]}))

    worth = [Decimal(units) / 100 if cents else Decimal(units) for _, units, _ in rows]
    text = lines(
        NAMES,
        *(
            (f"S{place}", number(Decimal(quantity), 0), when.strftime(clock), number(amount, 2 if cents else 0))
            for place, ((quantity, _, when), amount) in enumerate(zip(rows, worth, strict=True))
        ),
        mark=";",
    )
    file = written(tmp_path / "a.csv", text)
    if "AMBIGUOUS" in draft(file):
        return
    found = used(file)
    assert (found.accepted, found.amount) == (len(rows), sum(worth))
    assert [one.quantity for one in found.sample] == [quantity for quantity, _, _ in rows[:3]]
    first = min(datetime.strptime(when.strftime(clock), clock) for _, _, when in rows)
    assert found.first == first


def test_a_draft_shows_the_numbers_as_it_read_them(tmp_path: Path) -> None:
    text = draft(written(tmp_path / "a.csv", table()))
    assert "# tried on this file: all 19 lines read, 19 accepted, 0 refused\n" in text
    assert "#   line 2 is read as quantity 2.000, unit price 1.2500, amount 2.5000\n" in text


def test_numbers_whose_minus_stands_behind_them_are_drafted_and_read(tmp_path: Path) -> None:
    rows = [(row, "A", "2-" if row == 3 else 2, f"2024-03-{row:02}", "1.005,00-" if row == 3 else "5,00") for row in range(1, 9)]
    file = written(tmp_path / "a.csv", lines(("invoice", "item", "qty", "day", "total"), *rows, mark=";"))
    entry = entry_of(draft(file))
    assert entry["formats"] == {"csv": {"delimiter": ";", "decimal": ",", "thousands": ".", "minus": "behind"}}
    assert entry["cancellation"] == {"negative_quantity": True}
    assert (used(file).refused, used(file).amount) == ({}, Decimal(7 * 5 - 1005))


def test_a_dash_in_place_of_a_quantity_is_no_minus(tmp_path: Path) -> None:
    rows = [(row, "A", "-" if row % 9 == 0 else 2, f"2024-03-{row:02}", 2.5, "Return" if row == 4 else "SALE") for row in range(1, 20)]
    entry = entry_of(draft(written(tmp_path / "a.csv", lines(("invoice", "item", "qty", "day", "price", "type"), *rows))))
    assert entry["cancellation"] == {"column": "status", "values": ["Return"], "unsigned": True}
    text = lines(("invoice", "item", "qty", "day", "price"), *(row[:-1] for row in rows))
    assert "cancellation" not in entry_of(draft(written(tmp_path / "b.csv", text)))
