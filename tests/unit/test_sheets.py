"""Sheets: every row of every sheet is read or refused by its number, whatever kinds of values its cells hold."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from datetime import date, datetime, time

import openpyxl
import pytest

from lakehouse.errors import InputError
from lakehouse.ingest import readers, sources
from lakehouse.ingest.raw import RawBatch
from lakehouse.ingest.sources import Source

ENTRY: dict[str, object] = {
    "about": "a shop",
    "formats": {"xlsx": {"decimal": ","}},
    "columns": {"Code": "product_code", "Qty": "quantity", "When": "sold_at", "Price": "unit_price", "Who": "customer"},
    "currency": "GBP",
}
HEADER = ("Code", "Qty", "When", "Price", "Who")
MORNING = datetime(2011, 1, 3, 7, 45)
PLANTED = 98765432109876


def book(*sheets: Sequence[Sequence[object]]) -> bytes:
    """A workbook of these sheets, named 1, 2, and so on."""
    workbook = openpyxl.Workbook(write_only=True)
    for number, rows in enumerate(sheets, 1):
        sheet = workbook.create_sheet(str(number))
        for row in rows:
            sheet.append(row)
    sink = io.BytesIO()
    workbook.save(sink)
    return sink.getvalue()


def shop(**form: object) -> Source:
    return sources.parse("shop", ENTRY | {"formats": {"xlsx": {"decimal": ",", **form}}})


def read(content: bytes, source: Source | None = None, batch_rows: int = 1000) -> list[RawBatch]:
    asked = source or shop()
    return list(readers.read(io.BytesIO(content), "file.xlsx", asked, asked.formats["xlsx"], batch_rows))


def lines(batches: Sequence[RawBatch], *columns: str) -> dict[int, list[object]]:
    """Line number to values, of the lines that were read."""
    return {
        number: [batch.columns[column][place].as_py() for column in columns]
        for batch in batches
        for place, number in enumerate(batch.numbers.tolist())
    }


def refused(batches: Sequence[RawBatch]) -> dict[int, str]:
    return {number: reason for batch in batches for number, reason in batch.refused}


def sale(code: object = "A", quantity: object = 1, when: object = MORNING, price: object = 2.5, who: object = 17850) -> list[object]:
    return [code, quantity, when, price, who]


@pytest.mark.parametrize("batch_rows", [1, 2, 1000])
def test_lines_are_counted_through_the_sheets(batch_rows: int) -> None:
    content = book([HEADER, sale("A"), sale("B"), sale("C")], [], [["Who", "Code", "Qty", "When", "Price"], [None, "D", 2, MORNING, 1]])
    found = lines(read(content, batch_rows=batch_rows), "product_code", "quantity", "customer", "sold_at")
    assert found == {
        1: ["A", 1.0, "17850", MORNING],
        2: ["B", 1.0, "17850", MORNING],
        3: ["C", 1.0, "17850", MORNING],
        4: ["D", 2.0, None, MORNING],
    }


def test_codes_and_customers_are_the_text_that_people_see_in_the_cell() -> None:
    content = book([HEADER, sale(85123, who=17850.0), sale("85123A", who=" 17850 "), sale("A", who=PLANTED), sale(2.5, who=None)])
    found = lines(read(content), "product_code", "customer")
    assert list(found.values()) == [["85123", "17850"], ["85123A", " 17850 "], ["A", str(PLANTED)], ["2.5", None]]


def test_what_a_spreadsheet_made_of_a_code_or_a_customer_refuses_its_line() -> None:
    made_up = [True, date(2024, 12, 3), time(1, 2), MORNING]
    found = read(book([HEADER, *(sale(cell) for cell in made_up), sale("A"), *(sale("A", who=cell) for cell in made_up)]))
    assert refused(found) == dict.fromkeys(range(1, 5), "bad_code") | dict.fromkeys(range(6, 10), "bad_customer")
    assert list(lines(found, "product_code")) == [5]


def test_a_number_of_more_digits_than_a_cell_keeps_stays_in_a_form_that_no_customer_has() -> None:
    (customer,) = lines(read(book([HEADER, sale(who=98765432109876543.0)])), "customer")[1]
    assert "e+16" in str(customer)


def test_times_that_were_typed_as_text_are_texts_and_dates_begin_at_midnight() -> None:
    found = read(book([HEADER, sale(when="2011-01-03 08:00:00"), sale(when=MORNING), sale(when=date(2011, 1, 4)), sale(when=None)]))
    assert lines(found, "sold_at") == {1: ["2011-01-03 08:00:00"], 2: [MORNING], 3: [datetime(2011, 1, 4)], 4: [None]}


def test_numbers_among_texts_are_written_as_the_source_writes_them() -> None:
    assert lines(read(book([HEADER, sale(price=2.5), sale(price="2,75")])), "unit_price") == {1: ["2,5"], 2: ["2,75"]}


def test_blank_rows_count_and_are_nothing() -> None:
    found = read(book([HEADER, sale("A"), [], [None, "", None], sale("B"), []]))
    assert (lines(found, "product_code"), refused(found)) == ({1: ["A"], 4: ["B"]}, {})


def test_a_row_with_a_cell_beyond_the_header_or_an_error_in_it_is_refused_alone() -> None:
    found = read(book([HEADER, [*sale("A"), "note"], sale("B", quantity="#VALUE!"), sale("#N/A"), sale("C")]))
    assert (lines(found, "product_code"), refused(found)) == ({4: ["C"]}, {1: "ragged_line", 2: "bad_text", 3: "bad_text"})


def test_only_the_sheets_that_the_source_names_are_read() -> None:
    content = book([["notes"], ["nothing here"]], [HEADER, sale("A")])
    assert lines(read(content, shop(sheets=["2"])), "product_code") == {1: ["A"]}
    with pytest.raises(InputError, match='has no sheet "3".*Sheets found: "1", "2"'):
        read(content, shop(sheets=["3"]))
    with pytest.raises(InputError, match='sheet "1" does not begin with the columns.*If that sheet holds no sales'):
        read(content)


def _without_a_part(content: bytes, part: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as there, zipfile.ZipFile(sink, "w") as kept:
        for name in there.namelist():
            if not name.endswith(part):
                kept.writestr(name, there.read(name))
    return sink.getvalue()


def _cut_within(content: bytes, part: str) -> bytes:
    """The workbook with the second half of one of its documents missing."""
    sink = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as there, zipfile.ZipFile(sink, "w") as kept:
        for name in there.namelist():
            whole = there.read(name)
            kept.writestr(name, whole[: len(whole) // 2] if name.endswith(part) else whole)
    return sink.getvalue()


def _flipped(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as there:
        begins = there.getinfo("xl/worksheets/sheet1.xml").header_offset + 80
    return content[:begins] + bytes(byte ^ 0xFF for byte in content[begins : begins + 40]) + content[begins + 40 :]


def _as_saved_by_hand(rows: Sequence[Sequence[object]]) -> bytes:
    """With the sheet's size at its beginning, so that nothing is read beyond it when the file is opened."""
    workbook = openpyxl.Workbook()
    for row in rows:
        workbook.worksheets[0].append(row)
    sink = io.BytesIO()
    workbook.save(sink)
    return sink.getvalue()


GOOD = book([HEADER, *(sale(f"P{number}") for number in range(200))])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: b"", "is empty"),
        (lambda: b"Code,Qty\n1,2\n", "not a whole workbook"),
        (lambda: GOOD[: len(GOOD) // 2], "not a whole workbook"),
        (lambda: b"PK\x03\x04" + bytes(100), "not a whole workbook"),
        (lambda: _without_a_part(GOOD, "workbook.xml"), "not a whole workbook"),
        (lambda: _without_a_part(GOOD, "sheet1.xml"), 'is damaged: its sheet "1" is not in it'),
        (lambda: _cut_within(GOOD, "sheet1.xml"), "not a whole workbook|is damaged"),
        (lambda: _cut_within(_as_saved_by_hand([HEADER, *(sale() for _ in range(200))]), "sheet1.xml"), 'sheet "Sheet" is damaged'),
        (lambda: _flipped(GOOD), "not a whole workbook|is damaged"),
        (lambda: book([]), "has columns and no lines"),
        (lambda: book([HEADER]), "has columns and no lines"),
        (lambda: book([["Code", "Qty", "When", "Prise", "Who"], sale()]), 'no column "Price" .*Did you mean it by "Prise"'),
        (lambda: book([sale(who=PLANTED), sale()]), "does not begin with the columns"),
    ],
)
def test_a_workbook_that_is_wrong_as_a_whole_is_said_to_be(content: Callable[[], bytes], words: str) -> None:
    with pytest.raises(InputError, match=words) as wrong:
        read(content())
    assert str(PLANTED) not in str(wrong.value)


@pytest.mark.parametrize(("place", "value"), [(8, 99), (6, 1)])
def test_an_archive_packed_in_a_way_that_nobody_knows_or_with_a_password_is_no_workbook(place: int, value: int) -> None:
    content = bytearray(book([HEADER, ("A", 1, MORNING, 2.5, 7)]))
    listed = -1
    while (listed := content.find(b"PK\x01\x02", listed + 1)) >= 0:
        content[listed + place + 2] = value  # the method, or the mark of a password, in the archive's list
        own = int.from_bytes(content[listed + 42 : listed + 46], "little")
        content[own + place] = value
    with pytest.raises(InputError, match="is not a whole workbook"):
        read(bytes(content))


def test_rows_above_the_names_are_passed_over_and_names_may_be_given() -> None:
    content = book([("Sales of March",), (), HEADER, ("A", 1, MORNING, 2.5, 7)], [("", "all of it"), (), HEADER, ("B", 1, MORNING, 2.5, 7)])
    assert lines(read(content, shop(above=2)), "product_code") == {1: ["A"], 2: ["B"]}
    content = book([("A", 1, MORNING, 2.5, 7), ("B", 1, MORNING, 2.5, 7)])
    assert lines(read(content, shop(header=HEADER)), "product_code") == {1: ["A"], 2: ["B"]}
