"""What `sources check` says of a file before it is loaded is what silver does with it afterwards, line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lakehouse.ingest import load, sources
from lakehouse.ingest.checking import Settled, Understood, check
from lakehouse.ingest.sources import Source
from lakehouse.medallion.trial import settled
from lakehouse.quality import config
from lakehouse.quality.quarantine import split_rows
from lakehouse.quality.rules import row_rules
from lakehouse.tables import Lake
from tests.canonical import HEADER
from tests.shop import Shop

pytestmark = pytest.mark.soak_on_jvm  # the trial is no table's; that both engines do the same with a line is tested elsewhere

OLDEST = datetime(1990, 1, 1)
SALE = "1,A,thing,2,2011-01-03T10:00:00,2.50,17850,France"
RETAIL = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country"
RETAIL_SALE = "1,85123A,HEART,2,2011-01-03 10:00:00,2.50,17850,France"
GROCERIES = "household_id,store_id,basket_id,product_id,quantity,sales_value,retail_disc,transaction_timestamp"
GROCERY = "1,300,5,1001,1,1.5,0.10,2017-01-01T09:00:00Z"
POUNDS = {
    "canonical": [
        HEADER,
        *(SALE, SALE, SALE.replace("17850", "")),
        *(
            SALE.replace(",A,", ",B,"),
            SALE.replace(",A,", ",B,").replace("17850", "17851"),
        ),  # which of two customers stays is up to their keys
        *(SALE.replace(",2,", ",many,"), "ragged", SALE.replace("2.50", "0.00"), SALE.replace(",2,", ",-2,"), SALE.replace(",2,", ",0,")),
        *(SALE.replace("1,A", "C1,A"), SALE.replace("1,A", "C1,A").replace(",2,", ",-2,"), SALE.replace(",2,", ",2000000,")),
        *(SALE.replace(",A,", ",POST,"), SALE.replace(",A,", ",a,"), SALE.replace("thing", "thing  of\u00a0tin")),
    ],
    "online-retail-ii": [
        RETAIL,
        *(
            RETAIL_SALE,
            RETAIL_SALE,
            RETAIL_SALE.replace("85123A", "M"),
            RETAIL_SALE.replace("2.50", "-2.50"),
            RETAIL_SALE.replace("1,8", "2,8"),
        ),
        RETAIL_SALE.replace(",2,", ",-2,").replace("2.50", "0.0"),
    ],
}
DOLLARS = {
    "cdnow": [f" 00001 19970101  {quantity} {value:7.2f}" for quantity, value in ((1, 11.77), (1, 11.77), (2, 0), (3, -4))],
    "dominicks-orange-juice": [
        "store,brand,week,logmove,feat,price",
        *(
            "2,tropicana,40,9.0,0,2.5",
            "2,tropicana,40,9.0,0,2.5",
            "2,tropicana,40,9.1,0,2.5",
            "2,florida,40,9.0,0,0",
            "2,Tropicana,41,9.0,1,2",
        ),
    ],
    "complete-journey": [
        GROCERIES,
        *(GROCERY, GROCERY, GROCERY.replace("1001", "1002"), GROCERY.replace("1001", "1002").replace("1,300", "2,300")),
        *(GROCERY.replace(",1,1.5", ",0,1.5"), GROCERY.replace(",1,1.5", ",1,-1.5")),
    ],
}
ENDINGS = {"cdnow": "txt"}


JUDGED = {  # rules that retailers write, of the parts that mean the same everywhere
    "at_most": "abs(quantity) <= 2.5",
    "below_nothing": "-quantity < 0.0001",
    "between": "unit_price BETWEEN 1.17 AND 2.5",
    "branches": "CASE WHEN country IS NULL THEN amount * quantity > 10 ELSE unit_price > 2 END",
    "chosen": "if(is_cancellation, quantity < 0, quantity > 0)",
    "dated": "sold_at >= '2011-01-03' AND sold_at < DATE '2011-02-03'",
    "exact": "quantity <> 2.0004 AND quantity * 1.5 = 3",
    "flags": "(quantity > 2) = (NOT is_cancellation) AND is_product = true",
    "hours": "sold_at NOT BETWEEN TIMESTAMP '2011-01-09 00:00:00' AND '2011-01-10 00:00:00'",
    "in_others": "coalesce(country, 'nowhere') NOT IN ('France', 'UK')",
    "known": "customer_key IS NOT NULL AND _known_at >= sold_at",
    "letters": "description >= 'S' AND product_code <> 'ß1'",
    "like": "description LIKE '_%t%'",
    "line": "line_number > 1.5 AND source = 'canonical'",
    "not_like": "description NOT LIKE 'a%' OR description LIKE ''",
    "short": "length(description) <= 6",
    "sum": "amount + quantity - unit_price * 2 > 1.25",
    "trimmed": "length(trim(description)) > 1 AND trim(description) = description",
}
UNJUDGED = {  # what an engine tells otherwise of some line, or not at all
    "a_division": "amount / quantity < 5",
    "a_remainder": "quantity % 2 = 0",
    "another_key": "customer_key <> '17851'",
    "a_cast": "cast(product_code AS int) > 5",
    "a_number_as_text": "product_code > 5",
    "a_pattern": "product_code RLIKE '\\\\d+'",
    "a_weekday": "dayofweek(sold_at) <> 1",
    "capital": "upper(description) = 'STRASSE'",
    "capitals": "initcap(description) = description",
    "escaped": "description LIKE '\\\\_%'",
    "first": "substring(product_code, 0, 1) = 'A'",
    "of_no_flag": "length(description)",
    "taken_apart": "is_cancellation = quantity < 0",
    "three_factors": "amount * quantity * unit_price = 0",
}


def landed(folder: Path, source: str, lines: Sequence[str]) -> Path:
    path = folder / f"{source}.{ENDINGS.get(source, 'csv')}"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("files", [POUNDS, DOLLARS], ids=["pounds", "dollars"])
def test_what_is_said_of_a_file_before_is_what_silver_does_with_it(files: dict[str, list[str]], lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text("product_id,product_type\n1001,CUP\n", encoding="utf-8")
    settle = partial(settled, rules=config.load("test").row_rules)
    said: dict[str, Understood] = {}
    for name, lines in files.items():
        path = landed(tmp_path, name, lines)
        said[name] = check(path, sources.find(name, "test"), OLDEST, settle=settle)
        load(lake, path, name)
    report = Shop(lake).clean()

    for name, one in said.items():
        kept = lake.read("silver.sales").where(f"source = '{name}'").toArrow().to_pylist()
        refused = lake.read("quarantine.sales").where(f"source = '{name}'").toArrow().to_pylist()
        reasons = [reason for row in refused for reason in row["reasons"]]
        assert {reason: reasons.count(reason) for reason in reasons} == {**one.refused, **one.broken}, name
        assert (len(kept), len(refused)) == (one.kept, one.quarantined + sum(one.refused.values())), name
        assert one.kept + one.repeats + one.quarantined == one.accepted, name
        assert (sum(row["amount"] for row in kept), len({row["product_code"] for row in kept if row["kind"] != "charge"})) == (
            one.amount,
            one.products,
        ), name
    assert report.repeats == sum(one.repeats for one in said.values())
    assert all(one.repeats or one.broken for one in said.values())


def test_a_rule_of_ones_own_is_told_as_an_engine_tells_it_or_said_to_be_the_engines(lake: Lake, tmp_path: Path) -> None:
    texts = ("thing", "STRASSE", "Straße", "a thing", " thing of", "a\u00a0thing", "\u00a0", "\u2009x ", "ﬁne", "İt", '"two\nlines"', "")
    sales = (("2", "2.50", "2011-01-03T00:00:00"), ("3", "1.17", "2011-01-09T23:59:59"), ("-2", "3.00", "2011-02-03T12:00:00"))
    lines = [
        f"{'C' if units == '-2' and place % 2 else ''}{place},{code},{text},{units},{sold},{price},{'' if place % 4 else 17850 + place},{country}"
        for place, text in enumerate(texts)
        for units, price, sold in sales
        for code, country in (("A", "France"), ("7", ""), ("ß1", "UK"))
    ]
    accepted: list[pa.Table] = []

    def keep(table: pa.Table, source: Source) -> Settled:
        place = table.schema.get_field_index("description")
        spaced = pc.binary_join_element_wise(table["description"], "\u00a0", "")  # the door leaves none, and it is no space to an engine
        table = table.set_column(place, "description", spaced)
        accepted.append(table)
        return settled(table, source, row_rules({name: (sql, "") for name, sql in (JUDGED | UNJUDGED).items()}))

    said = check(landed(tmp_path, "canonical", [HEADER, *lines]), sources.find("canonical", "test"), OLDEST, settle=keep)
    rules = row_rules({name: (sql, "") for name, sql in JUDGED.items()})
    _, refused = split_rows(lake.spark.createDataFrame(accepted[0]), rules)
    reasons = Counter(reason for row in refused.toArrow().to_pylist() for reason in row["reasons"])
    assert said.accepted == len(lines) and set(said.unjudged) == set(UNJUDGED)
    assert {name: said.broken.get(name, 0) for name in JUDGED} == {name: reasons[name] for name in JUDGED}
    assert [name for name in JUDGED if not 0 < reasons[name] < len(lines)] == []  # each has lines on both sides
