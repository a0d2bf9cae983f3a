"""Files looked at before they are loaded: what a source makes of them, and drafts for files of which nothing is known."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from jobs.cli import main
from jobs.cli_sources import good_for
from lakehouse.errors import InputError
from lakehouse.ingest import sources
from lakehouse.ingest.checking import check
from lakehouse.ingest.guessing import draft
from lakehouse.medallion.trial import settled
from lakehouse.quality import config
from lakehouse.quality.rules import row_rules
from tests.canonical import HEADER
from tests.retailers import grocery_lines, purchases

OLDEST = datetime(1990, 1, 1)
GOOD = "1,A,cup,2,2011-01-03T10:00:00,2.50,17850,France"
GERMAN = (
    "Filiale;Bon;Artikel;Text;Menge;Zeit;Summe;Kunde;Kasse\n"
    "1;17;85123A;Herz, weiß;2;03.01.2011 10:00;5,10;17850;4\n"
    "1;18;71053;Laterne;-1;13.01.2011 10:00;-1.203,39;;4\n"
)


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_text(text, encoding=encoding)
    return path


def test_lines_are_counted_by_what_would_become_of_them(tmp_path: Path) -> None:
    lines = [GOOD, GOOD.replace(",2,", ",many,"), GOOD.replace("17850", ""), "1,A", GOOD.replace("1,A", "C2,A").replace(",2,", ",-2,")]
    lines += [GOOD.replace(",A,", ",POST,"), GOOD.replace("2011-01-03", "1911-01-03")]
    found = check(written(tmp_path / "a.csv", "\n".join([HEADER, *lines, ""])), sources.find("canonical", "test"), OLDEST)
    assert (found.lines, found.accepted, found.whole) == (7, 4, True)
    assert found.refused == {"bad_quantity": 1, "ragged_line": 1, "too_old": 1}
    assert found.examples == {"bad_quantity": ("line 3",), "ragged_line": ("line 5",), "too_old": ("line 8",)}
    assert (found.with_customer, found.cancellations, found.no_products, found.products) == (3, 1, 1, 1)
    assert (found.first, found.last, found.amount) == (datetime(2011, 1, 3, 10), datetime(2011, 1, 3, 10), Decimal("10.0000"))


def test_of_a_long_file_only_the_beginning_is_read_and_that_is_said(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({name: [value] * 500 for name, value in zip(HEADER.split(","), GOOD.split(","), strict=True)}), file)
    found = check(file, sources.find("canonical", "test"), OLDEST, most=100)
    assert (found.whole, found.lines) == (False, 100)


def test_a_file_that_is_wrong_as_a_whole_says_what_a_load_would(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='Did you mean it by "invoce"'):
        check(written(tmp_path / "a.csv", f"{HEADER.replace('invoice', 'invoce')}\n{GOOD}\n"), sources.find("canonical", "test"), OLDEST)


def test_what_became_of_each_column_and_how_the_file_is_written_is_told(tmp_path: Path) -> None:
    grocery_lines(tmp_path)
    found = check(tmp_path / "transactions.csv", sources.find("complete-journey", "test"), OLDEST)
    assert found.columns["sales_value"] == "amount"
    assert found.ignored == ("retail_disc",)
    assert found.written["delimiter"] == '","'
    assert found.written["times"].startswith("%Y-%m-%dT%H:%M:%SZ or ")


def test_amounts_without_a_quantity_and_keys_that_the_table_beside_lacks_are_counted(tmp_path: Path) -> None:
    grocery_lines(tmp_path)
    lines = [
        ",".join(["1,300,5", product, value, "0.10", "2017-01-01T09:00:00Z"]) for product, value in (("1001", "0,1.5"), ("9999", "1,3"))
    ]
    names = "household_id,store_id,basket_id,product_id,quantity,sales_value,retail_disc,transaction_timestamp"
    found = check(written(tmp_path / "a.csv", "\n".join([names, *lines, ""])), sources.find("complete-journey", "test"), OLDEST)
    assert (found.accepted, found.no_quantity, found.unmatched) == (2, 1, 1)
    assert [(one.where, one.quantity, one.amount) for one in found.sample] == [("line 2", 0, Decimal("1.5")), ("line 3", 1, Decimal("3"))]


def test_lines_of_a_workbook_are_told_by_sheet_and_row(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    for sheet, blank, amount in ((workbook.worksheets[0], 0, 3), (workbook.create_sheet("May"), 2, 5)):
        for _ in range(blank):
            sheet.append([])
        sheet.append(["item", "qty", "day", "total"])
        for line in range(amount):
            sheet.append(["A", "many" if line == amount - 1 else 1, datetime(2024, 4, 1), 2.5])
    workbook.worksheets[0].title = "April"
    workbook.save(tmp_path / "a.xlsx")
    entry = {
        "about": "",
        "formats": {"xlsx": {}},
        "columns": {"item": "product_code", "qty": "quantity", "day": "sold_at", "total": "amount"},
    }
    found = check(tmp_path / "a.xlsx", sources.parse("shop", entry | {"currency": "EUR"}), OLDEST)
    assert found.sheets == {"April": 3, "May": 5}
    assert found.examples == {"bad_quantity": ('sheet "April" row 4', 'sheet "May" row 8')}


@pytest.mark.parametrize(
    ("line", "answers"),
    [
        (GOOD, {"demand": None, "recommendations": "there is one product only"}),
        (GOOD.replace("17850", ""), {"segments": "no line names its customer", "receipts": None}),
        (GOOD.replace(",2,", ",many,"), {"demand": "no line would be accepted", "segments": "no line would be accepted"}),
    ],
)
def test_what_a_lake_of_such_files_would_answer_is_told(line: str, answers: dict[str, str | None], tmp_path: Path) -> None:
    found = check(written(tmp_path / "a.csv", f"{HEADER}\n{line}\n"), sources.find("canonical", "test"), OLDEST)
    assert good_for(found).items() >= answers.items()


def parquet(path: Path) -> Path:
    columns = {
        "StockCode": ["85123A", "71053"],
        "Quantity": [2, 1],
        "InvoiceDate": [datetime(2011, 1, 3, 10), datetime(2011, 1, 4)],
        "UnitPrice": [2.5, 3.0],
        "CustomerID": [17850.0, None],
    }
    pq.write_table(pa.table(columns), path)
    return path


def sheet(path: Path) -> Path:
    workbook = openpyxl.Workbook()
    for row in (
        ["Store", "Brand", "Week", "Units", "Price"],
        [2, "dominicks", datetime(2011, 1, 3), 8256, 1.59],
        [2, "tropicana", datetime(2011, 1, 10), 8000, 3.87],
    ):
        workbook.worksheets[0].append(row)
    workbook.save(path)
    return path


@pytest.mark.parametrize(
    ("make", "formats", "columns"),
    [
        (
            lambda folder: written(folder / "a.csv", GERMAN),
            {"csv": {"delimiter": ";", "decimal": ",", "thousands": "."}},
            {"Bon": "invoice", "Artikel": "product_code", "Zeit": "sold_at", "Summe": "amount", "Kunde": "customer"},
        ),
        (
            lambda folder: written(folder / "a.txt", GERMAN.replace(";", "\t"), "cp1252"),
            {"txt": {"kind": "csv", "encoding": "cp1252", "delimiter": "\t", "decimal": ",", "thousands": "."}},
            {"Filiale": "store", "Menge": "quantity"},
        ),
        (
            lambda folder: written(
                folder / "a.csv",
                "household_id,basket_id,product_id,quantity,sales_value,transaction_timestamp\n"
                "900,31198570044,1095275,1,0.5,2017-01-01 11:53:26\n",
            ),
            {"csv": {}},
            {
                "household_id": "customer",
                "basket_id": "invoice",
                "product_id": "product_code",
                "sales_value": "amount",
                "transaction_timestamp": "sold_at",
            },
        ),
        (lambda folder: parquet(folder / "a.parquet"), {"parquet": {}}, {"CustomerID": "customer", "UnitPrice": "unit_price"}),
        (
            lambda folder: sheet(folder / "a.xlsx"),
            {"xlsx": {}},
            {"Store": "store", "Brand": "product_code", "Week": "sold_at", "Units": "quantity"},
        ),
    ],
)
def test_a_draft_reads_the_file_that_it_was_guessed_from(make: object, formats: object, columns: dict[str, str], tmp_path: Path) -> None:
    file = make(tmp_path)  # type: ignore[operator]
    entry = yaml.safe_load(draft(file))["my-shop"]
    assert entry["formats"] == formats
    assert entry["columns"].items() >= columns.items()
    found = check(file, sources.parse("my-shop", entry | {"currency": "EUR"}), OLDEST)
    assert (found.accepted, found.refused) == (found.lines, {})
    assert found.lines > 0


def test_fields_of_fixed_width_are_guessed_by_their_places_and_values(tmp_path: Path) -> None:
    shape = purchases(tmp_path)
    entry = yaml.safe_load(draft(tmp_path / "CDNOW_master.txt"))["my-shop"]
    assert entry["columns"] == {"field_1": "customer", "field_2": "sold_at", "field_3": "quantity", "field_4": "amount"}
    source = sources.parse("my-shop", entry | {"currency": "USD", "constants": {"product_code": "CD"}})
    found = check(tmp_path / "CDNOW_master.txt", source, OLDEST)
    assert (found.accepted, float(found.amount)) == (shape.lines, pytest.approx(shape.amount))


def test_fields_that_are_padded_to_so_many_bytes_are_drafted_so(tmp_path: Path) -> None:
    rows = [("Becher", 1, 12), ("Müsli", 2, 15), ("Brötchen", 3, 11), ("Äpfel grün", 4, 12)]
    content = b"".join(name.encode().ljust(14) + b" 2024-03-%02d %4d %8.2f\n" % (day, quantity, 2.5) for name, day, quantity in rows)
    file = tmp_path / "a.txt"
    file.write_bytes(content)
    entry = yaml.safe_load(draft(file))["my-shop"]
    assert entry["formats"]["txt"]["widths_in"] == "bytes"
    found = check(file, sources.parse("my-shop", entry | {"currency": "EUR", "constants": {"product_code": "A"}}), OLDEST)
    assert [one.quantity for one in found.sample] == [12, 15, 11]


def test_lines_of_fixed_width_that_the_other_way_of_counting_would_read_are_remarked_upon(tmp_path: Path) -> None:
    formats = {"kind": "fixed", "header": ["item", "qty", "day", "total"], "widths": [8, 4, 10, 8]}
    columns = {"item": "product_code", "qty": "quantity", "day": "sold_at", "total": "amount"}
    entry = {"about": "a shop", "columns": columns, "times": {"formats": ["%Y-%m-%d"]}, "currency": "EUR", "repeats": "keep"}
    items = ("M\u00fcsli", "Brot", "\u00d6l", "Mehl", "K\u00e4se", "Ei", "Salz", "Tee", "Reis", "Milch", "Saft", "Kaffee")
    padded = (item.encode().ljust(8) + f"{units:<4}2011-01-03{units * 1.5:.2f}\n".encode() for units, item in enumerate(items, 1))
    file = tmp_path / "a.txt"
    file.write_bytes(b"".join(padded))

    found = check(file, sources.parse("shop", entry | {"formats": {"txt": formats}}), OLDEST)
    assert (found.accepted, found.refused) == (9, {"bad_time": 3})
    assert found.remarks == (
        "with widths_in: bytes (formats) 0 lines would be refused instead of 3: are the fields padded to so many bytes?",
    )
    right = check(file, sources.parse("shop", entry | {"formats": {"txt": formats | {"widths_in": "bytes"}}}), OLDEST)
    assert (right.accepted, right.remarks) == (12, ())


def test_times_with_an_offset_get_a_zone_to_look_at(tmp_path: Path) -> None:
    text = draft(written(tmp_path / "a.csv", "item,qty,price,timestamp\nA,1,2.5,2017-01-01T11:53:26Z\n"))
    assert "# times carry an offset: say the shop's zone" in text
    assert sources.parse("my-shop", yaml.safe_load(text)["my-shop"] | {"currency": "EUR"}).times.zone == "UTC"


def test_what_could_not_be_guessed_is_a_remark(tmp_path: Path) -> None:
    text = draft(written(tmp_path / "a.csv", "a,b,price\n1,2,3\n"))
    assert "# no column looks like product_code" in text
    assert "# no column looks like sold_at" in text
    assert "no file says its currency" in text
    with pytest.raises(InputError, match="no columns that can be told apart"):
        draft(written(tmp_path / "b.csv", "one column\n1\n"))
    (tmp_path / "c.bin").write_bytes(bytes(100))
    with pytest.raises(InputError, match="neither text nor Parquet"):
        draft(tmp_path / "c.bin")


def test_a_rule_that_only_an_engine_can_tell_is_named_and_refuses_nothing(tmp_path: Path) -> None:
    rules = row_rules({"free": ("unit_price > 0", "costs"), "hashed": ("xxhash64(line_id) > 0", "of an engine alone")})
    file = written(tmp_path / "a.csv", "\n".join([HEADER, GOOD, GOOD.replace("2.50", "0.00"), ""]))
    found = check(file, sources.find("canonical", "test"), OLDEST, settle=partial(settled, rules=rules))
    assert (found.unjudged, found.broken, found.kept) == (("hashed",), {"free": 1}, 1)


def test_the_rules_that_ship_are_judged_whatever_the_numbers(tmp_path: Path) -> None:
    rules = config.load("test").row_rules
    file = written(tmp_path / "a.csv", "\n".join([HEADER, GOOD, GOOD.replace(",2,", ",2000,").replace("2.50", "900000.00"), ""]))
    found = check(file, sources.find("canonical", "test"), OLDEST, settle=partial(settled, rules=rules))
    assert (found.unjudged, found.broken) == ((), {"amount_plausible": 1})


def test_a_draft_of_lines_without_receipts_counts_each_of_them(tmp_path: Path) -> None:
    settle = partial(settled, rules=config.load("test").row_rules)
    for names, repeats in (("item,qty,day,total", "keep"), ("item,qty,day,total,receipt", None)):
        line = ",".join(["A,1,2024-03-01,2.5", *(["7"] if repeats is None else [])])
        text = draft(written(tmp_path / "a.csv", f"{names}\n{line}\n{line}\n{line.replace('2.5', '0.0')}\n"), settle=settle)
        assert yaml.safe_load(text)["my-shop"].get("repeats") == repeats
        assert ("# no column tells receipts apart" in text) == (repeats is not None)
        assert f"silver would keep {2 if repeats else 1}, leave out {0 if repeats else 1} as repeats, send 1 to quarantine" in text
        assert "#   quarantined for price_positive 1, such as line 4" in text


def test_from_the_shell_nothing_is_written(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ZEROMARGIN_HOME", str(home))
    monkeypatch.setenv("ZEROMARGIN_PROFILE", "test")
    file = written(tmp_path / "a.csv", "\n".join([HEADER, GOOD, GOOD, *[GOOD.replace("2.50", "0.00")] * 2, ""]))
    assert main(["sources", "check", str(file), "--source", "canonical", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["accepted"], told["kept"], told["repeats"], told["broken"]) == (4, 1, 1, {"price_positive": 2})
    assert told["examples"]["price_positive"] == ["line 4", "line 5"]
    assert main(["sources", "check", str(file), "--source", "canonical"]) == 0
    assert "of those silver would keep 1, leave out 1 as repeats, send 2 to quarantine" in capsys.readouterr().out
    assert main(["sources", "check", str(file)]) == 0
    assert "my-shop:" in capsys.readouterr().out
    assert main(["sources", "list"]) == 0
    assert main(["sources", "check", str(file), "--source", "canonicl"]) == 2
    assert main(["sources", "check", str(tmp_path / "none")]) == 1
    assert not home.exists()
