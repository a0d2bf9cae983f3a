"""Drafts of files of which nothing is known: what is guessed rightly, what is left open with a word, and what never gets into a draft."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from lakehouse.errors import InputError
from lakehouse.ingest import sources
from lakehouse.ingest.checking import Understood, check
from lakehouse.ingest.guessing import draft
from tests.retailers import purchases, store_days, weekly_totals

OLDEST = datetime(1990, 1, 1)
NAMES = ("item", "qty", "day", "total")


def lines(*rows: Sequence[object], mark: str = ",") -> str:
    return "".join(mark.join(map(str, row)) + "\n" for row in rows)


def table(
    rows: int = 20, quantity: str = "2", amount: str = "2.50", when: str = "%Y-%m-%d", mark: str = ",", names: Sequence[str] = NAMES
) -> str:
    return lines(
        names,
        *((f"S{day}", quantity, datetime(2024, 3, day, 9 + day % 12, 30, 5).strftime(when), amount) for day in range(1, rows)),
        mark=mark,
    )


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def workbook(path: Path, **sheets: Sequence[Sequence[object]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
    book.save(path)
    return path


def entry_of(text: str) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load(text)["my-shop"]
    return found


def used(file: Path, **more: object) -> Understood:
    """What the draft, taken as it is, makes of its own file."""
    return check(file, sources.parse("my-shop", entry_of(draft(file)) | {"currency": "EUR"} | more), OLDEST)


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


def test_a_draft_shows_the_numbers_as_it_read_them(tmp_path: Path) -> None:
    text = draft(written(tmp_path / "a.csv", table()))
    assert "# tried on this file: all 19 lines read, 19 accepted, 0 refused\n" in text
    assert "#   line 2 is read as quantity 2.000, unit price 1.2500, amount 2.5000\n" in text


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
    text = draft(written(tmp_path / "a.csv", table(amount="$2.50")))
    assert "# no way of writing numbers fits" in text
    assert "#   refused for bad_amount 19, such as line 2, line 3, line 4" in text
    text = draft(written(tmp_path / "a.csv", table(when="%b %d, %Y")))
    assert "a value that holds the delimiter must stand in quotation marks" in text
    assert "refused for ragged_line 19" in text
    assert "this does not read it: a.csv has columns and no lines" in draft(written(tmp_path / "a.csv", "item,qty,day,total\n"))


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


@pytest.mark.parametrize(
    ("names", "ours"),
    [
        (
            "Row ID,Order ID,Order Date,Ship Date,Customer ID,Customer Name,Product ID,Product Name,Sales,Quantity,Discount",
            "-,invoice,sold_at,-,customer,-,product_code,description,amount,quantity,-",
        ),
        (
            "Transaction ID,Date,Customer ID,Gender,Age,Product Category,Quantity,Price per Unit,Total Amount",
            "invoice,sold_at,customer,-,-,product_code,quantity,unit_price,amount",
        ),
        (
            "Belegnummer,Artikel-Nr.,Bezeichnung,Menge,Verkaufsdatum,Gesamtpreis,Kunden-Nr.",
            "invoice,product_code,description,quantity,sold_at,amount,customer",
        ),
        ("Artikelnummer,Kundennummer,Units Sold,Rechnungsdatum,Einzelpreis", "product_code,customer,quantity,sold_at,unit_price"),
        ("date,store_nbr,item_nbr,unit_sales,onpromotion", "sold_at,store,product_code,quantity,promotion"),
        ("Store,Dept,Date,Weekly_Sales,IsHoliday", "store,product_code,sold_at,quantity,holiday"),
        (
            "Bon-Nr.,ArtNr,Menge (Stk),Datum,Preis/Stück,Umsatz in EUR,Kd-Nr",
            "invoice,product_code,quantity,sold_at,unit_price,amount,customer",
        ),
        ("ORDERDATE,EAN_CODE,orderQty,VK-Preis (EUR),Total (USD)", "sold_at,product_code,quantity,unit_price,amount"),
        ("productId,qty,saleDate,Net Sales,Advert", "product_code,quantity,sold_at,amount,promotion"),
        (
            "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country",
            "invoice,product_code,description,quantity,sold_at,unit_price,customer,country",
        ),
        (
            "Store,DayOfWeek,Date,Sales,Customers,Open,Promo,StateHoliday,SchoolHoliday",
            "store,-,sold_at,quantity,-,status,promotion,holiday,-",
        ),
    ],
)
def test_everyday_names_of_columns_are_known_by_their_words(names: str, ours: str, tmp_path: Path) -> None:
    found = entry_of(draft(written(tmp_path / "a.csv", names + "\n")))
    expected = {theirs: field for theirs, field in zip(names.split(","), ours.split(","), strict=True) if field != "-"}
    assert found["columns"] == expected


def test_a_time_is_found_by_its_values_where_no_name_tells(tmp_path: Path) -> None:
    text = draft(written(tmp_path / "a.csv", table(names=("item", "qty", "booked", "total"))))
    assert '# "booked" is taken for sold_at by its values: is it?' in text
    assert entry_of(text)["columns"]["booked"] == "sold_at"  # type: ignore[index]


def test_logarithms_and_numbered_weeks_are_drafted(tmp_path: Path) -> None:
    shape = weekly_totals(tmp_path)
    text = draft(tmp_path / "oj.csv")
    entry = entry_of(text)
    assert (entry["logarithms"], entry["covers"]) == (["quantity"], "week")
    assert entry["times"] == {"counted": {"unit": "week", "number": 40, "day": date(2000, 1, 3)}}
    assert "say under times.counted which day it was that week 40 began" in text
    found = used(tmp_path / "oj.csv")
    assert (found.accepted, float(found.amount)) == (shape.lines, pytest.approx(shape.amount))


@pytest.mark.parametrize(("returned", "unsigned"), [("2", {"unsigned": True}), ("-2", {})])
def test_returns_that_a_column_tells_are_drafted(returned: str, unsigned: dict[str, bool], tmp_path: Path) -> None:
    kinds = ["SALE", "SALE", "Return", "SALE"]
    rows = [(row, "A", returned if kind == "Return" else 2, f"2024-03-{row:02}", 2.5, kind) for row, kind in enumerate(kinds, 1)]
    file = written(tmp_path / "a.csv", lines(("invoice", "item", "qty", "day", "price", "type"), *rows))
    text = draft(file)
    assert entry_of(text)["cancellation"] == {"column": "status", "values": ["Return"], **unsigned}
    assert '# "type" is taken to tell returns (Return)' in text
    assert "skip" not in entry_of(text)
    assert (used(file).cancellations, used(file).amount) == (1, Decimal(10))


def test_a_dash_in_place_of_a_quantity_is_no_minus(tmp_path: Path) -> None:
    rows = [(row, "A", "-" if row % 9 == 0 else 2, f"2024-03-{row:02}", 2.5, "Return" if row == 4 else "SALE") for row in range(1, 20)]
    entry = entry_of(draft(written(tmp_path / "a.csv", lines(("invoice", "item", "qty", "day", "price", "type"), *rows))))
    assert entry["cancellation"] == {"column": "status", "values": ["Return"], "unsigned": True}
    text = lines(("invoice", "item", "qty", "day", "price"), *(row[:-1] for row in rows))
    assert "cancellation" not in entry_of(draft(written(tmp_path / "b.csv", text)))


def test_texts_that_stand_for_no_customer_are_drafted(tmp_path: Path) -> None:
    nobody = {2: "NULL", 3: "n/a", 4: "0", 5: "Null"}
    rows = [(row, "A", 2, f"2024-03-{row:02}", 2.5, nobody.get(row, 100 + row)) for row in range(1, 9)]
    text = draft(written(tmp_path / "a.csv", lines(("invoice", "item", "qty", "day", "price", "customer_id"), *rows)))
    assert entry_of(text)["missing_customer"] == ["0", "NULL", "n/a"]
    assert '# "0", "NULL", "n/a" in "customer_id" are taken for no customer (missing_customer): are they?' in text
    assert used(tmp_path / "a.csv").with_customer == 4


def test_numbers_whose_minus_stands_behind_them_are_drafted_and_read(tmp_path: Path) -> None:
    rows = [(row, "A", "2-" if row == 3 else 2, f"2024-03-{row:02}", "1.005,00-" if row == 3 else "5,00") for row in range(1, 9)]
    file = written(tmp_path / "a.csv", lines(("invoice", "item", "qty", "day", "total"), *rows, mark=";"))
    entry = entry_of(draft(file))
    assert entry["formats"] == {"csv": {"delimiter": ";", "decimal": ",", "thousands": ".", "minus": "behind"}}
    assert entry["cancellation"] == {"negative_quantity": True}
    assert (used(file).refused, used(file).amount) == ({}, Decimal(7 * 5 - 1005))


def test_weeks_beside_a_column_of_years_are_drafted_as_weeks_of_it(tmp_path: Path) -> None:
    rows = [(1, "A", year, week, 2, 1.5) for year in (2022, 2023) for week in range(1, 53)]
    names = ("store", "item", "year", "week", "units", "price")
    for file in (written(tmp_path / "a.csv", lines(names, *rows)), workbook(tmp_path / "a.xlsx", Sales=[names, *rows])):
        text = draft(file)
        assert entry_of(text)["times"] == {"counted": {"unit": "week", "of_year": True}}
        assert entry_of(text)["columns"]["year"] == "year"  # type: ignore[index]
        assert '# "week" is taken for the weeks of "year" by ISO 8601, dated by their Mondays: is it so?' in text
        assert (used(file).refused, used(file).first, used(file).last) == ({}, datetime(2022, 1, 3), datetime(2023, 12, 25))


def test_what_no_column_says_is_a_constant_to_be_uncommented(tmp_path: Path) -> None:
    shape = purchases(tmp_path)
    text = draft(tmp_path / "CDNOW_master.txt")
    assert "# tried on this file (with the constants at the end): all" in text
    entry = entry_of(text.replace("  # constants", "  constants"))
    assert check(tmp_path / "CDNOW_master.txt", sources.parse("my-shop", entry | {"currency": "EUR"}), OLDEST).accepted == shape.lines


def test_days_on_which_a_shop_was_closed_are_skipped(tmp_path: Path) -> None:
    shape = store_days(tmp_path)
    entry = entry_of(draft(tmp_path / "train.csv").replace("  # constants", "  constants"))
    assert entry["skip"] == {"status": ["0"]}
    found = check(tmp_path / "train.csv", sources.parse("my-shop", entry | {"currency": "EUR"}), OLDEST)
    assert (found.accepted, found.refused, float(found.amount)) == (shape.lines, {}, shape.amount)
