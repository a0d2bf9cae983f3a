"""What `sources check` says of a file before it is loaded is what silver does with it afterwards, line by line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from lakehouse.ingest import load, sources
from lakehouse.ingest.checking import Understood, check
from lakehouse.medallion.trial import settled
from lakehouse.quality import config
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
