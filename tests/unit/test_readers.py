"""Readers: every line of a file is either read or refused by its number, and a file that is wrong as a whole is said to be."""

from __future__ import annotations

import io
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.errors import InputError
from lakehouse.ingest import lines, readers, sources, texts
from lakehouse.ingest.raw import RawBatch
from lakehouse.ingest.source_parts import Format, Times

ALWAYS = settings(max_examples=100, deadline=None)
FIXED = {"kind": "fixed", "header": ["Who", "When", "Qty", "Price", "Code"], "widths": [6, 9, 3, 8, 8], "encoding": ["utf-8", "latin-1"]}
SHOP = sources.parse(
    "shop",
    {
        "about": "a shop",
        "formats": {"csv": {"encoding": ["utf-8"]}, "old": {"kind": "csv", "encoding": "latin-1"}, "txt": FIXED, "parquet": {}, "xlsx": {}},
        "columns": {"Code": "product_code", "Qty": "quantity", "When": "sold_at", "Price": "unit_price", "Who": "customer"},
        "optional": ["customer"],
        "ignore": ["Remark"],
        "currency": "GBP",
    },
)
HEADER = b"Code,Qty,When,Price,Who\n"
GOOD = b"A,1,2011-01-03,2.5,17850\n"
PLANTED = "98765432109876"


def read(content: bytes, ending: str = "csv", batch_rows: int = 1000, chunk: int | None = None) -> list[RawBatch]:
    """The whole file in batches. `chunk`: bytes read at a time, so that a small file too is cut within its lines."""
    form = readers.format_of(ending, SHOP, f"file.{ending}")
    with pytest.MonkeyPatch.context() as patch:
        if chunk is not None:
            patch.setattr(texts, "MAX_LINE", len(HEADER) + chunk)
            patch.setattr(lines, "_CHUNK", chunk)
        return list(readers.read(io.BytesIO(content), f"file.{ending}", SHOP, form, batch_rows))


def codes(batches: list[RawBatch]) -> dict[int, str]:
    """Line number to product code, of the lines that were read."""
    return {
        number: code
        for batch in batches
        for number, code in zip(batch.numbers.tolist(), batch.columns["product_code"].to_pylist(), strict=True)
    }


def refused(batches: list[RawBatch]) -> dict[int, str]:
    return {number: reason for batch in batches for number, reason in batch.refused}


def parquet(**columns: pa.Array) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, row_group_size=2)
    return sink.getvalue()


def sales(lines_: int = 3) -> dict[str, pa.Array]:
    return {
        "Code": pa.array([f"P{number}" for number in range(lines_)]),
        "Qty": pa.array([1] * lines_),
        "When": pa.array(["2011-01-03"] * lines_),
        "Price": pa.array([2.5] * lines_),
        "Who": pa.array([17850] * lines_),
    }


# ---------------------------------------------------------------------- delimited text


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"A,1,2011-01-03,2.5", "ragged_line"),
        (b"A,1,2011-01-03,2.5,17850,more", "ragged_line"),
        (b'A,1,2011-01-03,2.5,"17850', "ragged_line"),
        (b'A,1,2011-01-03,2.5,"178"50', "ragged_line"),
        (b"caf\xe9,1,2011-01-03,2.5,17850", "bad_text"),
        (b"A" * lines.MAX_LINE + b",1,2011-01-03,2.5,17850", "ragged_line"),
    ],
)
def test_a_bad_line_is_refused_by_its_number_and_spoils_no_other(line: bytes, reason: str) -> None:
    found = read(HEADER + GOOD + line + b"\n" + "é".encode() + b",1,2011-01-03,2.5,\n" + GOOD)

    assert codes(found) == {1: "A", 3: "é", 4: "A"}
    assert refused(found) == {2: reason}


def test_quoted_marks_and_newlines_are_part_of_the_text() -> None:
    found = read(HEADER + b'"A,""x""\nB\r\nC",1,2011-01-03,2.5,17850\n' + GOOD)

    assert codes(found) == {1: 'A,"x"\nB\r\nC', 4: "A"}


@pytest.mark.parametrize("chunk", [None, 1, 2, 3, 25, 26])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_any_end_of_line_will_do_and_blank_lines_are_nothing(end: bytes, chunk: int | None) -> None:
    found = read(end.join([HEADER.strip(), GOOD.strip(), b"", b"   ", GOOD.strip()]), batch_rows=1, chunk=chunk)

    assert (codes(found), refused(found)) == ({1: "A", 4: "A"}, {})


def test_a_byte_order_mark_is_not_part_of_the_first_column_and_says_the_encoding() -> None:
    content = b"\xef\xbb\xbf" + HEADER + "café,1,2011-01-03,2.5,\n".encode()
    assert codes(read(content)) == codes(read(content, "old")) == {1: "café"}


def test_latin_1_is_read_where_the_source_says_so() -> None:
    assert codes(read(HEADER + b"caf\xe9,1,2011-01-03,2.5,\n", "old")) == {1: "café"}


FIELD = st.text(alphabet='ab,"\n\ré \x00', max_size=6)


def _written(fields: list[str]) -> str:
    return ",".join('"' + field.replace('"', '""') + '"' for field in fields)


@ALWAYS
@given(
    st.lists(st.lists(FIELD, min_size=4, max_size=4), min_size=1, max_size=5),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(1, 3),
    st.integers(1, 40),
)
def test_what_a_csv_writer_writes_comes_back_field_by_field(rows: list[list[str]], end: str, batch_rows: int, chunk: int) -> None:
    content = HEADER + "".join(_written(["P", *row]) + end for row in rows).encode()
    found = read(content, batch_rows=batch_rows, chunk=chunk)

    fields = [
        list(row)
        for batch in found
        for row in zip(*(batch.columns[name].to_pylist() for name in ("quantity", "sold_at", "unit_price", "customer")), strict=True)
    ]
    assert fields == rows
    assert refused(found) == {}


@ALWAYS
@given(
    st.lists(st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"").replace(b"\r", b"")), max_size=8),
    st.integers(1, 4),
    st.integers(1, 40),
)
def test_no_bytes_can_lose_a_line_or_spoil_the_next(garbage: list[bytes], batch_rows: int, chunk: int) -> None:
    """A line of bytes is read, refused, or blank; the good lines around a file of them are always read."""
    content = HEADER + GOOD + b"".join(line + b"\n" for line in garbage) + b"\n" * lines.MAX_JOINED + "Zé".encode() + GOOD[1:]
    found = read(content, batch_rows=batch_rows, chunk=chunk)
    last = len(garbage) + lines.MAX_JOINED + 2

    told = codes(found)
    assert (told[1], told[last]) == ("A", "Zé")
    lost = set(range(2, len(garbage) + 2)) - set(told) - set(refused(found))
    # Lines within a quoted field that goes on over several lines belong to the line that it began on.
    joined = any(b'"' in line for line in garbage)
    assert joined or all(not garbage[number - 2].strip(b" \t\x0b\x0c\x1c\x1d\x1e\x1f") for number in lost)


def test_blocks_of_any_size_give_the_same_lines() -> None:
    content = HEADER + (GOOD + b'"B\nb",1,2011-01-03,2.5,\n' + b"ragged\n") * 50
    whole = read(content)
    pieces = read(content, batch_rows=7, chunk=13)

    assert len(pieces) > 10
    assert (codes(pieces), refused(pieces)) == (codes(whole), refused(whole))


# ---------------------------------------------------------------------- files that are wrong as a whole


def _utf_16() -> bytes:
    return (HEADER + GOOD).decode().encode("utf-16")


@pytest.mark.parametrize(
    ("content", "ending", "words"),
    [
        (lambda: b"", "csv", "is empty"),
        (lambda: b"", "parquet", "is empty"),
        (lambda: HEADER, "csv", "has columns and no lines"),
        (lambda: HEADER.strip(), "csv", "has columns and no lines"),
        (lambda: parquet(**sales(0)), "parquet", "has columns and no lines"),
        (lambda: parquet(**sales())[:-20], "parquet", "not a whole Parquet file"),
        (lambda: parquet(**sales())[:100], "parquet", "not a whole Parquet file"),
        (lambda: b"PAR1" + bytes(100) + b"PAR1", "parquet", "not a whole Parquet file"),
        (lambda: HEADER + GOOD, "parquet", "not a whole Parquet file"),
        (lambda: parquet(**sales()), "csv", "is a Parquet file"),
        (lambda: b"PK\x03\x04" + bytes(50), "csv", "spreadsheet"),
        (lambda: b"\x1f\x8b\x08" + bytes(50), "csv", "gzip"),
        (_utf_16, "csv", "not text in utf-8.*utf-16"),
        (lambda: (HEADER + GOOD).decode().encode("utf-16-le"), "csv", "zero bytes"),
        (lambda: HEADER + b"caf\xe9,1,2011-01-03,2.5,\n" * 20 + GOOD * 20, "csv", "none of the 20 lines"),
        (lambda: b"C\xf6de,Qty\n", "csv", "its first line can't be read"),
        (lambda: HEADER.replace(b"Price", b"Prise") + GOOD, "csv", 'no column "Price" .*Did you mean it by "Prise"'),
        (lambda: HEADER.replace(b"Who", b"Whom") + GOOD, "csv", 'has a column "Whom" .*Did you mean "Who"'),
        (lambda: HEADER.replace(b"Who", b"Code") + GOOD, "csv", "several columns of the same name"),
        (lambda: b"a,b\n1,2\n", "csv", "It is another source's, or sources.yml must say"),
        (lambda: GOOD + GOOD, "csv", "does not begin with the columns"),
        (lambda: b"x" * (lines.MAX_LINE + 1), "csv", "no end of a line"),
        (lambda: parquet(**{**sales(), "Qty": pa.array([[1], [2], [3]])}), "parquet", '"Qty" .quantity. holds list'),
        (lambda: parquet(**{**sales(), "When": pa.array([1, 2, 3])}), "parquet", "Expected times or text"),
        (lambda: parquet(**{**sales(), "When": pa.array([0, 1, 2]).cast(pa.timestamp("us", "UTC"))}), "parquet", "times.zone"),
        (lambda: parquet(**{**sales(), "Extra": pa.array([1, 2, 3])}), "parquet", 'column "Extra"'),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_is_said_to_be(content: Callable[[], bytes], ending: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(content(), ending)


@pytest.mark.parametrize("batch_rows", [1, 1000])
def test_a_line_that_names_the_columns_in_another_order_ends_the_file(batch_rows: int) -> None:
    other = HEADER + GOOD + GOOD + b"Code,Price,When, Qty,Who\n" + GOOD
    with pytest.raises(InputError, match=r'once more in line 3 of its data, .*"Price", "When", "Qty".* part it there'):
        read(other, batch_rows=batch_rows)
    content = io.BytesIO()
    workbook = openpyxl.Workbook(write_only=True)
    sheet = workbook.create_sheet()
    for row in other.decode().splitlines():
        sheet.append(row.split(","))
    workbook.save(content)
    with pytest.raises(InputError, match=r'sheet "Sheet" names its columns once more in line 3 of its data'):
        read(content.getvalue(), "xlsx", batch_rows)


def test_a_line_that_names_the_columns_as_the_first_does_is_a_line() -> None:
    found = read(HEADER + GOOD + HEADER + b"A,1,When,2.5,17850\n" + GOOD)
    assert codes(found) == {1: "A", 2: "Code", 3: "A", 4: "A"}


def test_days_that_are_whole_numbers_are_texts_where_a_format_has_digits_alone() -> None:
    content = parquet(**{**sales(), "When": pa.array([20110103, None, 20111231])})
    with pytest.raises(InputError, match='"When" .sold_at. holds int64. Expected times or text.*%Y%m%d'):
        read(content, "parquet")
    dated = SHOP.model_copy(update={"times": Times(formats=("%Y-%m-%d", "%Y%m%d"))})
    (batch,) = readers.read(io.BytesIO(content), "a.parquet", dated, dated.formats["parquet"], 10)
    assert batch.columns["sold_at"].to_pylist() == ["20110103", None, "20111231"]


def test_a_damaged_part_of_a_parquet_file_is_found() -> None:
    content = bytearray(parquet(**sales(200)))
    content[600:900] = bytes(300)
    with pytest.raises(InputError, match=r"damaged after its line|not a whole Parquet file"):
        read(bytes(content), "parquet")


@pytest.mark.parametrize(("ending", "words"), [("dat", "Endings: .csv, .old, .parquet"), ("", "Endings")])
def test_an_ending_that_the_source_does_not_read_is_said(ending: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        readers.format_of(ending, SHOP, f"file.{ending}")


def test_a_file_without_a_header_is_refused_without_quoting_its_numbers() -> None:
    first = f"A,1,2011-01-03,2.5,{PLANTED}\n".encode()
    for content in (first, HEADER.replace(b"Who", PLANTED.encode()) + GOOD, HEADER.replace(b"Price,Who", PLANTED.encode()) + GOOD):
        with pytest.raises(InputError) as wrong:
            read(content)
        assert PLANTED not in str(wrong.value)


def test_columns_may_come_in_any_order_and_ignored_and_optional_ones_are_no_matter() -> None:
    assert codes(read(b"Remark,Price,When,Qty,Code\nx,2.5,2011-01-03,1,A\n")) == {1: "A"}


# ---------------------------------------------------------------------- Parquet


def test_lines_of_a_parquet_file_are_counted_through_its_groups() -> None:
    assert codes(read(parquet(**sales(5)), "parquet", batch_rows=2)) == {number + 1: f"P{number}" for number in range(5)}


@pytest.mark.parametrize(
    "numbers",
    [
        pa.array([17850, None, 13047]),
        pa.array([17850.0, None, 13047.0]),
        pa.array([17850.0, float("nan"), 13047.0]),
        pa.array([Decimal("17850"), None, Decimal("13047")], pa.decimal128(12, 2)),
        pa.array(["17850", None, "13047"]),
        pa.array(["17850", None, "13047"]).dictionary_encode(),
        pa.array([b"17850", None, b"13047"]),
        pa.array(["17850", None, "13047"], pa.large_string()),
    ],
    ids=lambda numbers: str(numbers.type),
)
def test_customers_of_any_type_are_read_as_the_text_that_people_write(numbers: pa.Array) -> None:
    found = read(parquet(**{**sales(), "Who": numbers}), "parquet")
    assert [who for batch in found for who in batch.columns["customer"].to_pylist()] == ["17850", None, "13047"]


def test_a_float_beyond_exactness_keeps_a_form_that_no_customer_has() -> None:
    (found,) = read(parquet(**{**sales(1), "Who": pa.array([98765432109876543.0])}), "parquet")
    assert found.columns["customer"].to_pylist()[0].endswith((".0", "e+16"))


def test_bytes_that_are_no_text_refuse_their_line_alone() -> None:
    raw = {**sales(), "Code": pa.array([b"A", b"caf\xe9", b"C"])}
    found = read(parquet(**raw), "parquet")

    assert (codes(found), refused(found)) == ({1: "A", 3: "C"}, {2: "bad_text"})
    assert np.array_equal(found[0].numbers, [1, 3])


# ---------------------------------------------------------------------- text of fixed width

FIXED_LINE = " 00001 19970101  1   11.77 CUPS"


def test_fields_of_fixed_width_are_told_by_their_places() -> None:
    (batch,) = read(f"{FIXED_LINE}\r\n\n 00002 19970102 12  140.00 Tasse à thé".encode(), "txt")

    columns = {name: [text.strip() for text in column.to_pylist()] for name, column in batch.columns.items()}
    assert batch.numbers.tolist() == [1]
    assert columns == {"customer": ["00001"], "sold_at": ["19970101"], "quantity": ["1"], "unit_price": ["11.77"], "product_code": ["CUPS"]}
    assert batch.refused == ((3, "ragged_line"),)


def test_a_character_is_one_place_in_any_encoding() -> None:
    for encoding in ("utf-8", "latin-1"):
        (batch,) = read(FIXED_LINE.replace("CUPS", "ÄÖÜ").encode(encoding), "txt")
        assert batch.columns["product_code"].to_pylist()[0].strip() == "ÄÖÜ"


def test_what_a_short_line_lacks_is_empty() -> None:
    (batch,) = read(b" 00001 19970101  1\n", "txt")
    assert [batch.columns[name].to_pylist()[0].strip() for name in ("quantity", "unit_price", "product_code")] == ["1", "", ""]


def test_a_line_of_fixed_width_without_an_end_spoils_no_other() -> None:
    found = read(f"{FIXED_LINE}\n{'x' * 3_000_000}\n{FIXED_LINE}\n".encode(), "txt", batch_rows=2)
    assert list(codes(found)) == [1, 3]
    assert refused(found) == {2: "ragged_line"}


@given(st.lists(st.tuples(*(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=w) for w in (6, 8)))))
@ALWAYS
def test_whatever_fits_its_places_is_read_back(values: list[tuple[str, str]]) -> None:
    text = "\n".join(f"{who:<6} 19970101  1   11.77{code:>8}" for who, code in values)
    if not values:
        return
    found = read(text.encode(), "txt", batch_rows=3)
    told = [
        (who.strip(), code.strip())
        for batch in found
        for who, code in zip(batch.columns["customer"].to_pylist(), batch.columns["product_code"].to_pylist(), strict=True)
    ]
    assert (told, refused(found)) == (values, {})


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b"PAR1....", "is a Parquet file, not text"), (b"\n\n", "has columns and no lines"), (b"\xff\xfe1\0", "utf-16")],
)
def test_a_file_that_is_no_text_of_fixed_width_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(content, "txt")


@pytest.mark.parametrize("chunk", [None, 7])
def test_lines_above_the_names_or_above_the_sales_are_passed_over(chunk: int | None) -> None:
    for form, top in (
        ({"above": 2}, b"Sales of March\r\n\r\n" + HEADER),
        ({"above": 1, "header": HEADER.decode().strip().split(",")}, b"Code,Qty,Qty\n"),
    ):
        source = SHOP.model_copy(update={"formats": {"csv": Format.model_validate({"kind": "csv", **form})}})
        with pytest.MonkeyPatch.context() as patch:
            if chunk is not None:
                patch.setattr(lines, "_CHUNK", chunk)
            found = list(readers.read(io.BytesIO(top + GOOD + b"torn\n"), "a.csv", source, source.formats["csv"], 10))
        assert codes(found) == {1: "A"}
        assert refused(found) == {2: "ragged_line"}


def fixed_line(code: str, quantity: int, in_bytes: bool) -> bytes:
    """Code, quantity and price, each padded with spaces: to so many bytes, or to so many characters."""
    padded = code.encode().ljust(8) if in_bytes else f"{code:<8}".encode()
    return padded + b"20110103%4d%8.2f\n" % (quantity, 2.5)


@pytest.mark.parametrize("in_bytes", [True, False])
def test_places_are_counted_in_bytes_or_characters_and_a_file_of_the_other_kind_is_refused(in_bytes: bool) -> None:
    counted, other = ("bytes", "characters") if in_bytes else ("characters", "bytes")
    content = b"".join(fixed_line(code, 13, in_bytes) for code in ("Becher", "Müsli", "Äpfel"))
    formats = {
        name: Format.model_validate(
            {"kind": "fixed", "header": ["Code", "When", "Qty", "Price"], "widths": [8, 8, 4, 8], "widths_in": name}
        )
        for name in (counted, other)
    }
    (batch,) = readers.read(io.BytesIO(content), "a.txt", SHOP, formats[counted], 10)
    assert [text.strip() for text in batch.columns["product_code"].to_pylist()] == ["Becher", "Müsli", "Äpfel"]
    assert [text.strip() for text in batch.columns["quantity"].to_pylist()] == ["13", "13", "13"]
    with pytest.raises(InputError, match=f"all as many {counted}, and not as many {other}.*widths_in: {counted}"):
        list(readers.read(io.BytesIO(content), "a.txt", SHOP, formats[other], 10))


def test_a_file_whose_places_are_counted_otherwise_is_refused_before_its_first_lines_are_taken() -> None:
    content = b"".join(fixed_line(code, 13, True) for code in ("Becher", "M\u00fcsli") * 10)
    form = Format.model_validate({"kind": "fixed", "header": ["Code", "When", "Qty", "Price"], "widths": [8, 8, 4, 8]})
    with pytest.raises(InputError, match="all as many bytes"):
        next(readers.read(io.BytesIO(content), "a.txt", SHOP, form, 10))  # whoever looks at a file takes no more than these


def test_a_character_that_two_places_share_is_no_text() -> None:
    form = Format.model_validate(
        {"kind": "fixed", "header": ["Code", "When", "Qty", "Price"], "widths": [8, 8, 4, 8], "widths_in": "bytes"}
    )
    content = fixed_line("Becher", 13, True) + fixed_line("Becher1ü", 13, True).replace(b"2011", b"211")
    (batch,) = readers.read(io.BytesIO(content), "a.txt", SHOP, form, 10)
    assert (batch.numbers.tolist(), batch.refused) == ([1], ((2, "bad_text"),))


def test_lines_above_fields_of_fixed_width_are_passed_over() -> None:
    source = SHOP.model_copy(update={"formats": {"txt": Format.model_validate({**FIXED, "above": 1})}})
    content = b"Sales of March\n" + b" 00001 20110103  1    2.50A\n"
    assert codes(list(readers.read(io.BytesIO(content), "a.txt", source, source.formats["txt"], 10))) == {1: "A"}
