"""The door on whole files: any kind of file of the same sales is the same sales, and every line of a file is in bronze."""

from __future__ import annotations

import csv
import os
import re
import shutil
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from lakehouse import settings as settings_module
from lakehouse.errors import InputError, SettingsError, StillWritten
from lakehouse.ingest import load
from lakehouse.tables import Lake
from tests.canonical import rows, sale, written
from tests.conftest import REAL_DATA, skip_or_fail
from tests.scenarios.conftest import MakeLake
from tests.shop import Shop


def trapped_slice() -> pa.Table:
    """Some thousand real lines: those beyond ASCII, days that both sheets have, cancellations, no customer, no description, spaces."""
    if not REAL_DATA.exists():
        skip_or_fail(f"{REAL_DATA} is not there")
    real = pq.read_table(REAL_DATA)
    beyond = pc.fill_null(pc.match_substring_regex(real["Description"], "[^\\x00-\\x7f]"), False)
    day = pc.equal(real["InvoiceDate"].cast(pa.date32()), pa.scalar(date(2010, 12, 5)))
    found = pa.concat_tables([real.slice(0, 600), real.filter(pc.or_(beyond, day))])
    places = list(found["Description"].to_pylist())
    places[0], places[1], places[2] = "  CAFÉ £5 “TIN” ".replace("“", '"').replace("”", '"'), "", "two\nlines, one text"
    return found.set_column(2, "Description", pa.array(places))


def as_csv(table: pa.Table, path: Path) -> Path:
    """As a spreadsheet would save it: Latin-1, customers as floats, nothing for null, times with a space."""
    with path.open("w", encoding="latin-1", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "CustomerID", "Country"])
        for place, row in enumerate(table.to_pylist()):
            values = dict(row)
            number = values["Customer ID"]
            values["Customer ID"] = "" if number is None else (f"{number}.0", f" {number} ", str(number))[place % 3]
            values["InvoiceDate"] = values["InvoiceDate"].isoformat(sep=" ")
            values["Country"] = f"{values['Country']} "
            writer.writerow(["" if value is None else value for value in values.values()])
    return path


def as_sheets(table: pa.Table, path: Path) -> Path:
    """As people download it: two sheets, codes and customers as numbers where they can be, times as times."""
    workbook = openpyxl.Workbook(write_only=True)
    half = table.num_rows // 2
    for title, part in (("Year 2009-2010", table.slice(0, half)), ("Year 2010-2011", table.slice(half))):
        sheet = workbook.create_sheet(title)
        sheet.append(part.column_names)
        for values in part.to_pylist():
            sheet.append([int(cell) if isinstance(cell, str) and re.fullmatch("[1-9][0-9]*", cell) else cell for cell in values.values()])
    workbook.save(path)
    return path


@pytest.mark.slow
@pytest.mark.soak_on_jvm
def test_parquet_csv_and_sheets_of_the_same_sales_are_the_same_lines_in_silver_and_gold(
    lake: Lake, make_lake: MakeLake, tmp_path: Path
) -> None:
    table = trapped_slice()
    pq.write_table(table, tmp_path / "sales.parquet")
    files = [tmp_path / "sales.parquet", as_csv(table, tmp_path / "sales.csv"), as_sheets(table, tmp_path / "sales.xlsx")]
    lakes = [lake, make_lake("csv"), make_lake("xlsx")]

    landed = [load(one, file, "online-retail-ii")[0] for one, file in zip(lakes, files, strict=True)]

    assert [(file.lines, file.accepted, file.refused) for file in landed] == [(table.num_rows, table.num_rows, {})] * 3
    columns = [name for name in lake.catalog["bronze.sales"].column_names if name not in ("file_digest", "_known_at")]
    numbered = [name for name in columns if name != "line_number"]  # a text of two lines is two lines of a CSV
    assert rows(lake, *numbered) == rows(lakes[1], *numbered)
    assert rows(lake, *columns) == rows(lakes[2], *columns)
    # Equal lines of bronze are equal lines of silver; on Spark the third time of it is left out, at half a minute.
    refined = lakes if lake.settings.engine == "sail" else lakes[:2]
    for one in refined:
        Shop(one).refine()
    for name in ("silver.sales", "silver.cancellations", "gold.daily_sales", "gold.customers"):
        expected = lake.digest(name)
        assert expected.rows > 0
        for one in refined:
            assert one.digest(name).digest == expected.digest, (name, one)


ANOTHER = {
    "about": "a German shop with branches, whose lines carry totals",
    "formats": {"csv": {"encoding": "cp1252", "delimiter": ";", "decimal": ",", "thousands": "."}},
    "columns": {
        "Filiale": "store",
        "Bon": "invoice",
        "Artikel": "product_code",
        "Text": "description",
        "Menge": "quantity",
        "Zeit": "sold_at",
        "Summe": "amount",
        "Kunde": "customer",
        "Art": "status",
    },
    "ignore": ["Kasse"],
    "times": {"formats": ["%d.%m.%Y %H:%M:%S%z", "%d.%m.%Y %H:%M"], "zone": "Europe/Berlin"},
    "currency": "EUR",
    "constants": {"country": "Germany"},
    "cancellation": {"column": "status", "values": ["storno"]},
    "missing_customer": ["Bar"],
}


@pytest.mark.soak_on_jvm
def test_another_retailer_needs_an_entry_and_no_code(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(settings_module.CONF, conf)
    (conf / "test" / "sources.yml").write_text(yaml.safe_dump({"laden": ANOTHER}))
    monkeypatch.setattr(settings_module, "CONF", conf)
    path = tmp_path / "januar.csv"
    path.write_bytes(
        "Kasse;Filiale;Bon;Artikel;Text;Menge;Zeit;Summe;Kunde;Art\n"
        "1;Köln;1;A1;Schöner Becher;1.200;03.01.2011 10:00;3.000,60;17850;\n"
        '1;Köln;2;A1;"Becher; groß";2;03.07.2011 23:30:00+00:00;5,00;Bar;\n'
        "1;Bonn;3;A1;Becher – rot €;-2;04.07.2011 09:00;-5,00;17850;Storno\n"
        "1;Bonn;4;A1;Becher;1;2011-07-04 09:00;2,50;17850;\n".encode("cp1252")
    )

    (landed,) = load(lake, path, "laden")

    assert (landed.lines, landed.accepted, landed.refused) == (4, 3, {"bad_time": 1})
    columns = ("line_number", "store", "description", "quantity", "unit_price", "amount", "sold_at", "is_cancellation", "country")
    utc = datetime.fromisoformat
    assert [row for row in rows(lake, *columns) if row[1]] == [
        (
            1,
            "Köln",
            "Schöner Becher",
            Decimal(1200),
            Decimal("2.5005"),
            Decimal("3000.6"),
            utc("2011-01-03T10:00:00+00:00"),
            False,
            "Germany",
        ),
        (2, "Köln", "Becher; groß", Decimal(2), Decimal("2.5"), Decimal(5), utc("2011-07-04T01:30:00+00:00"), False, "Germany"),
        (3, "Bonn", "Becher – rot €", Decimal(-2), Decimal("2.5"), Decimal(-5), utc("2011-07-04T09:00:00+00:00"), True, "Germany"),
    ]
    customers = {row[0]: row[1] for row in rows(lake, "line_number", "customer_key")}
    assert customers[1] == customers[3] is not None
    assert customers[2] is customers[4] is None


@pytest.mark.soak_on_jvm
def test_lines_are_told_apart_by_file_and_number_where_a_source_keeps_repeats(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(settings_module.CONF, conf)
    base = yaml.safe_load((conf / "base" / "sources.yml").read_text())["canonical"]
    (conf / "test" / "sources.yml").write_text(yaml.safe_dump({"till": base | {"repeats": "keep"}}))
    monkeypatch.setattr(settings_module, "CONF", conf)

    load(lake, written(tmp_path, "a.csv", sale("A"), sale("A")), "till")
    load(lake, written(tmp_path, "b.csv", sale("A"), sale("A")), "canonical")

    ids: dict[object, set[object]] = {}
    for source, line in rows(lake, "source", "line_id"):
        ids.setdefault(source, set()).add(line)
    assert {source: len(found) for source, found in ids.items()} == {"till": 2}
    load(lake, written(tmp_path, "c.csv", sale("A"), sale("A"), sale("B")), "canonical")
    assert len({line for source, line in rows(lake, "source", "line_id") if source == "canonical"}) == 2


def test_every_line_of_a_file_is_in_bronze_accepted_or_with_its_reasons(lake: Lake, tmp_path: Path) -> None:
    lines = [
        sale("A"),
        "ragged",
        sale("B\0"),
        "1,C,thing,two,2011-01-03T10:00:00,2.50,17850,France",
        "1,D,thing,1,1900-01-03T10:00:00,2.50,17850,France",
        "1,E,thing,1,2099-01-03T10:00:00,2.50,17850,France",
        '1,"F\ntwo lines",thing,1,2011-01-03T10:00:00,2.50,17850,France',
        '1,"G never closed,thing,1,2011-01-03T10:00:00,2.50,17850,France',
        "1,H,thing,1e300,2011-01-03T10:00:00,2.50,17850,France",
        "1,4.00638E+12,thing,1,2011-01-03T10:00:00,2.50,17850,France",
        "1,J,thing,1,2011-01-03T10:00:00,2.50,1.7E+04,France",
    ]
    (landed,) = load(lake, written(tmp_path, "a.csv", *lines), "canonical")

    found = {row[0]: row[1:] for row in rows(lake, "line_number", "reasons", "product_code", "customer_key")}
    assert {number: reasons for number, (reasons, _, _) in found.items()} == {
        1: [],
        2: ["ragged_line"],
        3: ["bad_text"],
        4: ["bad_quantity"],
        5: ["too_old"],
        6: ["in_the_future"],
        7: [],
        9: ["ragged_line"],
        10: ["bad_quantity"],
        11: ["bad_code"],
        12: ["bad_customer"],
    }
    assert (landed.lines, landed.accepted, sum(landed.refused.values())) == (11, 2, 9)
    # A refused line has no text and no customer; one that could be understood keeps its numbers and its time.
    assert [number for number, (_, code, _) in found.items() if code is not None] == [1, 7]
    assert sorted(number for number, sold in rows(lake, "line_number", "sold_at") if sold is not None) == [1, 5, 6, 7, 11, 12]
    assert [number for number, (_, _, key) in found.items() if key is not None] == [1, 7]


@pytest.mark.soak_on_jvm
def test_a_folder_s_files_land_by_name_and_the_same_content_once(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    (folder / "truth").mkdir(parents=True)
    (folder / "truth" / "truth.json").write_text("{}")
    (folder / ".hidden").write_text("no sales")
    written(folder, "b.csv", sale("B"))
    written(folder, "a.csv", sale("A"))
    written(folder, "c.csv", sale("A"))

    first, again = load(lake, folder, "canonical"), load(lake, folder, "canonical")

    assert [(file.file, file.already) for file in first] == [("a.csv", False), ("b.csv", False), ("c.csv", True)]
    assert first[1].version == first[0].version + 1
    assert [file.already for file in again] == [True, True, True]
    assert lake.head("bronze.sales") == first[1].version


@pytest.mark.soak_on_jvm
def test_a_file_that_no_format_reads_is_found_before_the_files_beside_it_land(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    written(folder, "a.csv", sale("A"))
    (folder / "notes.docx").write_text("not sales")
    before = lake.head("bronze.sales")

    with pytest.raises(InputError, match='notes.docx ends in ".docx"'):
        load(lake, folder, "canonical")
    assert lake.head("bronze.sales") == before


@pytest.mark.soak_on_jvm
def test_a_file_that_is_rewritten_in_the_same_size_and_moment_while_it_is_read_lands_nothing(lake: Lake, tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", sale("A"))
    before, found = lake.head("bronze.sales"), path.stat()

    def is_rewritten(_file: str, _lines: int) -> None:
        written(tmp_path, "a.csv", sale("B"))
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))

    with pytest.raises(StillWritten, match="changed while it was read"):
        load(lake, path, "canonical", is_rewritten)
    assert lake.head("bronze.sales") == before


@pytest.mark.soak_on_jvm
def test_a_file_that_changes_while_it_is_read_lands_nothing(lake: Lake, tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", sale("A"))
    before = lake.head("bronze.sales")

    def goes_on(_file: str, _lines: int) -> None:
        with path.open("a") as file:
            file.write(sale("B") + "\n")

    with pytest.raises(InputError, match="changed while it was read"):
        load(lake, path, "canonical", goes_on)
    assert lake.head("bronze.sales") == before
    assert not list((lake.home / "staging").iterdir())
    (landed,) = load(lake, path, "canonical")
    assert landed.lines == 2


@pytest.mark.soak_on_jvm
def test_a_day_of_the_settings_that_is_none_is_named(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = lake.settings.model_copy(update={"door": lake.settings.door.model_copy(update={"oldest": "long ago"})})
    monkeypatch.setattr(lake, "settings", wrong)
    with pytest.raises(SettingsError, match='door.oldest is "long ago"'):
        load(lake, written(tmp_path, "a.csv", sale("A")), "canonical")
