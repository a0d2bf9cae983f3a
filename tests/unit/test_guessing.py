"""Drafts of files of which nothing is known: what can be drafted at all, what is said where it can't, and what never gets into a draft."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from lakehouse.errors import InputError
from lakehouse.ingest.guessing import draft
from tests.drafted import NAMES, entry_of, lines, table, used, workbook, written

WORDS = ("item", "qty", "day", "price", "total", "type", "week", "year", "customer_id", "invoice", "ref", "", "Menge", "log_qty")
SHAPES = (
    *("05-Mai-2011", "12-AB-34", "99-99-99", "1/2/03", "2011-13-45", "2011-05-07", "20110507", "1304726400", "May 5, 2011"),
    *("40900.41", "99999", "7", "-3", "3-", "-", "+", "1.234", "1,5", "1e9", "1e999", "NaN", "\u0663", "\u00b2", "0", "07.05.2011 24:61"),
    *("NULL", "C1", "Return", "A1", "\u00e9", '"', " ", ""),
)
GOOD = {"day": "2011-05-{:02}", "item": "A{}", "qty": "{}", "price": "{}.50", "total": "{},25", "invoice": "C{}"}


def column(name: str) -> st.SearchStrategy[list[str]]:
    """A column of a few values over and over, with or without a name of its own."""
    values = st.lists(st.one_of(st.sampled_from(SHAPES), st.text(max_size=8)), min_size=1, max_size=3)
    odd = st.tuples(st.sampled_from((name, name, *WORDS, *SHAPES)), values).map(lambda made: [made[0], *made[1] * 9])
    good = st.just([name, *(GOOD.get(name, "").format(row) for row in range(1, 28))])
    return st.one_of(good, good, odd)


@settings(
    max_examples=100, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(
    rows=[("day", "item", "qty", "price"), *((f"{day:02}-Mai-2011", f"A{day}", str(day), "2.50") for day in range(1, 9))],
    mark=";",
    ending="csv",
)
@example(rows=[(f"2011-05-{day:02}", f"A{day}", str(day), "2.50", f"{day}-AB-{day}") for day in range(1, 9)], mark="\t", ending="tsv")
@given(
    rows=st.tuples(*map(column, (*GOOD, "ref"))).map(lambda columns: list(zip(*columns, strict=False))),
    mark=st.sampled_from((",", ";", "\t", "|", " ", "")),
    ending=st.sampled_from(("csv", "tsv", "txt", "")),
)
def test_a_text_whatever_it_holds_is_drafted_or_refused_with_a_word(
    rows: Sequence[Sequence[str]], mark: str, ending: str, tmp_path: Path
) -> None:
    file = written(tmp_path / f"a.{ending}", lines(*rows, mark=mark))
    with suppress(InputError):
        assert entry_of(draft(file))["currency"] == "XXX"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", bytes(range(1, 256)) * 9, "neither text nor Parquet"),
        ("a.csv", bytes(range(256)) * 9, "neither text nor Parquet"),
        ("a.csv", b"x,y\n" + b"1,2\n" * 99 + b'1,"' + b"z" * 200_000 + b"\n", "a field is too long"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\n\n", "no lines"),
        ("a.csv", b"x" * (1 << 21), "no end of a line"),
        ("a.csv", table().encode("utf-16"), "its first bytes say utf-16, which is not read. Save it as utf-8. Nothing"),
        ("a.csv", table().encode("utf-16-le"), "zero bytes, as UTF-16 or binary files do. Save it as utf-8. Nothing"),
        ("a.csv.gz", gzip.compress(table().encode()), "is a gzip archive, not text. Unpack it"),
        ("a.csv", b"PK\x03\x04" + b"a" * 99, "is a zip archive or a spreadsheet"),
        ("a.xls", b"\xd0\xcf\x11\xe0" + bytes(600), "is an old spreadsheet, not text"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0" + bytes(600), "is not a whole workbook"),
        ("a.xlsx", b"PK\x03\x04" + b"a" * 99, "is not a whole workbook"),
        ("a.parquet", b"PAR1" + bytes(9), "is not a whole Parquet file"),
    ],
)
def test_what_can_not_be_read_says_why(name: str, content: bytes, told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told):
        draft(written(tmp_path / name, content))


def test_a_workbook_that_was_cut_off_says_so(tmp_path: Path) -> None:
    whole = workbook(tmp_path / "whole.xlsx", Sales=[NAMES, ("A", 1, datetime(2024, 3, 1), 2.5)]).read_bytes()
    with pytest.raises(InputError, match="is not a whole workbook"):
        draft(written(tmp_path / "a.xlsx", whole[: len(whole) // 2]))


@pytest.mark.parametrize(
    "text",
    [
        table().replace("\n", "\r"),
        table(mark="~"),
        table(mark="^"),
        table(mark=":"),
        table(mark="|"),
        f"sep=;\n{table(mark=';')}",
        f"Sales of March\n\n{table()}",
        f"\n\n{table()}",
        table().replace("\n", ",\n"),
        table().replace("\n", ",\n").replace("total,", "total", 1),
        table(names=("item", "qty", '"the\nday"', "total")),
        table(names=("item", "qty", "day", '"total, EUR"')),
        table(mark=";", amount="2,50", names=("item", "qty", "day", "total, EUR")),
        lines(("item", "qty", "qty", "day", "total"), *(("A", 2, 9, f"2024-03-{day:02}", 2.5) for day in range(1, 20))),
        table().removeprefix("item,qty,day,total\n"),
    ],
)
def test_a_draft_of_a_text_reads_its_own_file(text: str, tmp_path: Path) -> None:
    found = used(written(tmp_path / "a.csv", text))
    assert (found.accepted, found.refused) == (19, {})
    assert (found.amount, found.sample[0].quantity) == (Decimal("47.50"), 2)


SHEET = [("S1", 2, datetime(2024, 3, 1), 2.5), ("S2", 2, datetime(2024, 3, 2), 2.5)]


@pytest.mark.parametrize(
    "sheets",
    [
        {"Sales": [NAMES, *SHEET], "Lookup": [("a", "b"), (1, 2)]},
        {"Notes": [("Sales of March",)], "Sales": [NAMES, *SHEET]},
        {"Sales": [(), (), NAMES, *SHEET]},
        {"Sales": [("Sales of March",), (), NAMES, *SHEET]},
        {"Sales": [(*NAMES, 2024), *((*row, 3) for row in SHEET)]},
        {"Sales": SHEET},
        {"Sales": [("item", "qty", "the\nday\u2028of it", "total"), *SHEET]},
        {"April": [NAMES, SHEET[0]], "May": [NAMES, SHEET[1]]},
        {"April": [NAMES, SHEET[0]], "May": [NAMES[::-1], SHEET[1][::-1]]},
    ],
)
def test_a_draft_of_a_workbook_reads_the_sheets_that_hold_sales(sheets: dict[str, list[tuple[object, ...]]], tmp_path: Path) -> None:
    found = used(workbook(tmp_path / "a.xlsx", **sheets))
    assert (found.accepted, found.refused, found.amount) == (2, {}, 5)


def test_of_a_file_without_names_no_value_gets_into_the_draft(tmp_path: Path) -> None:
    text = draft(written(tmp_path / "a.csv", "17850,98765432109876,1,2024-03-01,2.5\n" * 5))
    assert "# the file has no row of column names" in text
    assert "17850" not in text
    assert "98765432109876" not in text
    entry = entry_of(text)
    assert entry["columns"] == {"field_1": "customer", "field_3": "quantity", "field_4": "sold_at", "field_5": "amount"}
    assert entry["ignore"] == ["field_2"]


def test_fields_are_not_told_by_places_where_no_time_and_no_number_is_found(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no columns that can be told apart"):
        draft(written(tmp_path / "a.txt", "Dear all\nplease find\nthe files\n"))


def test_a_draft_that_does_not_read_its_file_says_what_would_be_refused(tmp_path: Path) -> None:
    text = draft(written(tmp_path / "a.csv", table(amount="2.50 each")))
    assert "# no way of writing numbers fits" in text
    assert "#   refused for bad_amount 19, such as line 2, line 3, line 4" in text
    text = draft(written(tmp_path / "a.csv", table(when="%b %d, %Y")))
    assert "a value that holds the delimiter must stand in quotation marks" in text
    assert "refused for ragged_line 19" in text
    assert "this does not read it: a.csv has columns and no lines" in draft(written(tmp_path / "a.csv", "item,qty,day,total\n"))


@pytest.mark.parametrize(
    ("said", "currency", "remark"),
    [
        (("EUR",), "EUR", "says EUR in all lines that were looked at"),
        (("EUR", "USD"), "XXX", "SAYS SEVERAL CURRENCIES (EUR, USD)"),
        (("euros",), "XXX", "which currency is EUROS by ISO 4217?"),
    ],
)
def test_a_column_that_says_the_currency_is_asked_or_told(said: Sequence[str], currency: str, remark: str, tmp_path: Path) -> None:
    rows = [(f"A{day}", "2", f"2024-03-{day:02}", "2.50", said[day % len(said)]) for day in range(1, 20)]
    text = draft(written(tmp_path / "a.csv", lines((*NAMES, "Currency"), *rows)))
    assert entry_of(text)["currency"] == currency
    assert remark in text and ("no file says its currency" in text) is False


@pytest.mark.parametrize(
    ("amount", "form", "currency"),
    [
        ("$1,234.50", {"thousands": ",", "currency_mark": "$"}, "XXX"),
        ("1.234,50 €", {"decimal": ",", "thousands": ".", "currency_mark": "€"}, "EUR"),
    ],
)
def test_marks_of_currency_are_drafted_and_every_line_is_read(amount: str, form: dict[str, str], currency: str, tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", table(amount=amount, mark=";"))
    entry = entry_of(draft(file))
    assert entry["currency"] == currency and entry["formats"]["csv"] == {"delimiter": ";", **form}  # type: ignore[index]
    assert (used(file).accepted, used(file).amount) == (19, 19 * Decimal("1234.50"))


def test_a_line_that_is_refused_for_several_reasons_is_one_line(tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", table() + "Total,many,never,lots\n")
    assert "all 20 lines read, 19 accepted, 1 refused" in draft(file)


def test_receipts_by_their_short_name_are_receipts(tmp_path: Path) -> None:
    rows = [(f"R{day // 3}", f"A{day}", "2", f"2024-03-{day:02}", "2.50") for day in range(1, 20)]
    entry = entry_of(draft(written(tmp_path / "a.csv", lines(("txn", *NAMES), *rows))))
    assert entry["columns"]["txn"] == "invoice" and "repeats" not in entry  # type: ignore[index]
