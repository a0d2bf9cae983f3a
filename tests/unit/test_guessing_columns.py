"""Drafts: which column is which, and what is said of what no column tells."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from lakehouse.ingest import sources
from lakehouse.ingest.checking import check
from lakehouse.ingest.guessing import draft
from tests.drafted import OLDEST, entry_of, lines, table, used, written
from tests.retailers import purchases, store_days, weekly_totals


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
        ("fecha,producto,cantidad,importe,cliente,tienda,país", "sold_at,product_code,quantity,amount,customer,store,country"),
        ("date,produit,libellé,quantité,prix unitaire,facture", "sold_at,product_code,description,quantity,unit_price,invoice"),
        ("datum,artikel,omschrijving,aantal,bedrag,klant,winkel", "sold_at,product_code,description,quantity,amount,customer,store"),
        ("wk,brand,units,price", "sold_at,product_code,quantity,unit_price"),
        ("semaine,Code produit,Libellé,Quantité,Prix unitaire", "sold_at,product_code,description,quantity,unit_price"),
        ("settimana,Codice articolo,descrizione,quantità,prezzo", "sold_at,product_code,description,quantity,unit_price"),
        ("Jahr,KW,Artikel-Nr.,Absatz,Umsatz", "-,sold_at,product_code,quantity,amount"),
        ("loja,data,código do produto,quantidade,preço", "store,sold_at,product_code,quantity,unit_price"),
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


def test_texts_that_stand_for_no_customer_are_drafted(tmp_path: Path) -> None:
    nobody = {2: "NULL", 3: "n/a", 4: "0", 5: "Null"}
    rows = [(row, "A", 2, f"2024-03-{row:02}", 2.5, nobody.get(row, 100 + row)) for row in range(1, 9)]
    text = draft(written(tmp_path / "a.csv", lines(("invoice", "item", "qty", "day", "price", "customer_id"), *rows)))
    assert entry_of(text)["missing_customer"] == ["0", "NULL", "n/a"]
    assert '# "0", "NULL", "n/a" in "customer_id" are taken for no customer (missing_customer): are they?' in text
    assert used(tmp_path / "a.csv").with_customer == 4


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


@pytest.mark.parametrize(
    ("none", "expected"),
    [("geen", {"geen": "no", "kerst": "yes"}), ("", {"kerst": "yes"}), ("0", {"kerst": "yes"}), ("Kein Feiertag", None)],
)
def test_the_word_that_most_lines_have_is_no_holiday(none: str, expected: dict[str, str] | None, tmp_path: Path) -> None:
    rows = [(row, "A", 2, f"2024-03-{row:02}", 2.5, "kerst" if row in (3, 4) else none) for row in range(1, 20)]
    text = draft(written(tmp_path / "a.csv", lines(("invoice", "item", "qty", "day", "price", "holiday"), *rows)))
    assert entry_of(text)["values"] == {"holiday": expected or {none: "no", "kerst": "yes"}}
    assert '# "kerst" in "holiday" are taken for holidays (values): are they?' in text
    assert ("is taken for no holiday (values): is it?" in text) == (none not in ("", "0"))
    found = used(tmp_path / "a.csv")
    assert (found.accepted, found.refused) == (19, {})


def test_a_kind_of_line_that_comes_late_in_a_file_is_found(tmp_path: Path) -> None:
    rows = [(row, "A", 2, "2024-03-01", 2.5, "return" if row > 3_000 and row % 3 else "sale") for row in range(1, 5_000)]
    text = draft(written(tmp_path / "a.csv", lines(("invoice", "item", "qty", "day", "price", "kind"), *rows)))
    assert entry_of(text)["cancellation"] == {"column": "status", "values": ["return"], "unsigned": True}


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("retail_disc", "are amounts those after it?"),
        ("TotalDiscount", "are amounts those after it?"),
        ("Rabattbetrag", "are amounts those after it?"),
        ("ReturnedQty", "does it tell returns that no other column tells?"),
        ("mwst", "are amounts and prices with it or without?"),
        ("remark", ""),
    ],
)
def test_a_column_that_may_change_what_the_others_mean_is_asked_about(name: str, question: str, tmp_path: Path) -> None:
    rows = [(row, "A", 2, f"2024-03-{row:02}", 2.5, "1.50") for row in range(1, 9)]
    text = draft(written(tmp_path / "a.csv", lines(("invoice", "item", "qty", "day", "price", name), *rows)))
    assert entry_of(text).get("ignore") == [name]
    assert (f'# "{name}" is not read: {question}\n' in text) == bool(question)
    assert (f'"{name}" is not read' in text) == bool(question)


def test_a_code_that_nothing_is_read_from_is_asked_about_where_no_column_tells_goods(tmp_path: Path) -> None:
    rows = [(row, f"X{row % 3}", 2, f"2024-03-{row:02}", 2.5) for row in range(1, 9)]
    text = draft(written(tmp_path / "a.csv", lines(("invoice", "codice", "qty", "day", "price"), *rows)))
    assert '# "codice" is not read: if it tells goods apart, map it to product_code\n' in text
