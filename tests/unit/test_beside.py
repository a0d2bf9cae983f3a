"""A table beside the files of sales: what it says of a line is added to it, and a table that can't be relied on stops the load."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.errors import InputError, SettingsError, TableBeside
from lakehouse.ingest import readers, sources
from lakehouse.ingest.beside import WithTable, lacking
from lakehouse.ingest.sources import Source

LINES = b"Code,Qty,When,Price\n1001,1,2011-01-03,2.5\n7a,2,2011-01-03,1\n9,1,2011-01-03,1\n"
ENTRY = {
    "about": "a grocer",
    "formats": {"csv": {}},
    "columns": {"Code": "product_code", "Qty": "quantity", "When": "sold_at", "Price": "unit_price"},
    "beside": {"file": "products.csv", "key": {"Id": "product_code"}, "columns": {"Name": "description"}},
    "currency": "USD",
}


def grocer(**beside: object) -> Source:
    return sources.parse("grocer", {**ENTRY, "beside": {**ENTRY["beside"], **beside}})  # type: ignore[dict-item]


def names(folder: Path, source: Source) -> list[str | None]:
    batches = readers.read(io.BytesIO(LINES), "sales.csv", source, source.formats["csv"], 2)
    return [name for batch in WithTable(batches, folder, source) for name in batch.columns["description"].to_pylist()]


def test_each_line_gets_what_the_table_says_of_its_product(tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text("Name,Dept,Id\n  MILK ,x,1001\nBread,y,7A\nMILK,z,1001\n", encoding="utf-8")
    assert names(tmp_path, grocer()) == ["MILK", "Bread", None]


def test_a_table_may_be_parquet_with_numbers_for_keys(tmp_path: Path) -> None:
    pq.write_table(pa.table({"Id": [1001.0, 9.0], "Name": ["MILK", "EGGS"], "More": [[1], [2]]}), tmp_path / "products.parquet")
    assert names(tmp_path, grocer(file="products.parquet")) == ["MILK", None, "EGGS"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "products.csv is not beside the file"),
        (b"Id,Title\n1,x\n", 'no column "Name".*found: "Id", "Title"'),
        (b"Id,Name\n1,x\n1,y\n", 'several lines of one "Id" that say different things'),
        (b"Id,Name\n1,x\n2", "2 columns, and its line 2 has not"),
        (b"Id,Name\n1,\xff\n", "is not text in utf-8"),
        (b"", 'no column "Id"'),
        (b'Id,Name\n1,"open\n2,x\n', "up to line 3 of its text: unexpected end of data. Is a quotation mark left open"),
        (b'Id,Name\n1,"open' + 20_000 * b"2,x is a thing\n", "field larger than field limit"),
    ],
)
def test_a_table_that_cannot_be_relied_on_stops_the_load(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / "products.csv").write_bytes(content)
    with pytest.raises(InputError, match=words):
        names(tmp_path, grocer())


def test_lines_of_which_the_table_says_nothing_are_counted(tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text("Name,Id\nMILK,1001\n", encoding="utf-8")
    read = WithTable(readers.read(io.BytesIO(LINES), "sales.csv", grocer(), grocer().formats["csv"], 2), tmp_path, grocer())
    list(read)
    assert lacking(read.unmatched, grocer()) == "2 lines of products that products.csv lacks"
    assert lacking(0, grocer()) == ""


def test_a_table_that_changes_while_the_lines_are_read_stops_the_load(tmp_path: Path) -> None:
    table = tmp_path / "products.csv"
    table.write_text("Name,Id\nMILK,1001\n", encoding="utf-8")
    read = iter(WithTable(readers.read(io.BytesIO(LINES), "sales.csv", grocer(), grocer().formats["csv"], 1), tmp_path, grocer()))
    next(read)
    with table.open("a", encoding="utf-8") as file:
        file.write("EGGS,9\n")
    with pytest.raises(TableBeside, match="products.csv changed while the file beside it was read"):
        list(read)


def test_a_cut_off_parquet_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "products.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="is not a whole Parquet file"):
        names(tmp_path, grocer(file="products.parquet"))


def test_a_line_is_told_from_another_by_the_file_alone() -> None:
    assert "description" not in grocer().identity_fields


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {
                "optional": ["store"],
                "columns": {**ENTRY["columns"], "Shop": "store"},
                "beside": {**ENTRY["beside"], "key": {"Id": "store"}},
            },
            "every file has",
        ),  # type: ignore[dict-item]
        ({"beside": {**ENTRY["beside"], "key": {"Id": "store"}}}, "every file has"),  # type: ignore[dict-item]
        ({"skip": {"quantity": ["closed"]}}, 'skip expects numbers there, found "closed"'),
    ],
)
def test_what_could_not_be_looked_up_or_compared_is_refused_in_the_description(changes: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        sources.parse("grocer", {**ENTRY, **changes})


def test_what_is_in_the_lines_is_not_taken_from_the_table_too() -> None:
    with pytest.raises(SettingsError, match="description is in the lines and in the table beside them"):
        sources.parse("grocer", {**ENTRY, "columns": {**ENTRY["columns"], "Text": "description"}})  # type: ignore[dict-item]
