"""Gold by value, and that only what a batch touches is written again."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from lakehouse.medallion import gold
from lakehouse.tables import Lake
from tests.featured import FeaturedShop, prepared
from tests.shop import Line, Shop

LINES = [
    Line("A", "2011-01-03T10:00:00", quantity="4", price="2.50", invoice="1", customer="c1", description="RED CUP"),
    Line("A", "2011-01-03T11:00:00", quantity="1", price="2.50", invoice="2", customer=None, description="RED CUP", country=None),
    Line("B", "2011-01-03T10:00:00", quantity="2", price="1.00", invoice="1", customer="c1", description="BLUE CUP"),
    Line("A", "2011-02-05T10:00:00", quantity="2", price="3.00", invoice="3", customer="c1", description="RED MUG", country="Spain"),
    Line("A", "2011-02-06T10:00:00", quantity="-1", price="3.00", invoice="C4", customer="c1", description="RED MUG"),
    Line("POST", "2011-02-06T10:00:00", quantity="1", price="9.00", invoice="5", customer="c2", is_product=False),
]


def table(shop: Shop, name: str, *columns: str) -> list[tuple[object, ...]]:
    rows = shop.lake.read(f"gold.{name}").toArrow().to_pylist()
    return sorted((tuple(_plain(row[column]) for column in columns) for row in rows), key=repr)


def _plain(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else value


def refined(shop: Shop) -> None:
    shop.land(*LINES)
    shop.refine("2011-02-14")


@pytest.fixture
def shop(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> FeaturedShop:
    return prepared(lake, tmp_path_factory, refined)


def test_every_table_holds_what_the_lines_say(shop: Shop) -> None:
    third, fifth, sixth = date(2011, 1, 3), date(2011, 2, 5), date(2011, 2, 6)
    assert table(
        shop, "daily_sales", "product_code", "day", "units", "units_sold", "units_returned", "revenue", "lines", "return_lines"
    ) == [
        ("A", third, 5.0, 5.0, 0.0, 12.5, 2, 0),
        ("A", fifth, 2.0, 2.0, 0.0, 6.0, 1, 0),
        ("A", sixth, -1.0, 0.0, 1.0, -3.0, 0, 1),
        ("B", third, 2.0, 2.0, 0.0, 2.0, 1, 0),
    ]
    assert table(shop, "customer_days", "customer_key", "day", "baskets", "lines", "products", "units", "units_returned", "revenue") == [
        ("c1", third, 1, 2, 2, 6.0, 0.0, 12.0),
        ("c1", fifth, 1, 1, 1, 2.0, 0.0, 6.0),
        ("c1", sixth, 0, 0, 0, -1.0, 1.0, -3.0),
    ]
    assert table(shop, "baskets", "invoice", "day", "customer_key", "products", "units", "revenue") == [
        ("1", third, "c1", ["A", "B"], 6.0, 12.0),
        ("2", third, None, ["A"], 1.0, 2.5),
        ("3", fifth, "c1", ["A"], 2.0, 6.0),
    ]
    assert table(shop, "products", "product_code", "name", "names", "first_sold", "last_sold", "units", "revenue", "lines") == [
        ("A", "RED CUP", 2, third, fifth, 6.0, 15.5, 3),
        ("B", "BLUE CUP", 1, third, third, 2.0, 2.0, 1),
    ]
    assert table(shop, "products", "product_code", "price", "return_share") == [("A", 2.583333, 0.142857), ("B", 1.0, 0.0)]
    assert table(shop, "customers", "customer_key", "country", "first_bought", "last_bought", "days", "baskets", "units", "revenue") == [
        ("c1", "France", third, fifth, 2, 2, 7.0, 15.0)
    ]
    assert table(shop, "stores", "store", "first_sold", "last_sold", "products", "units", "revenue") == [
        ("all", third, fifth, 2, 8.0, 17.5)
    ]


@pytest.mark.soak_on_jvm
def test_months_that_are_computed_one_by_one_give_all_rows_once(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gold, "LINES_AT_ONCE", 1)
    shop, third, fifth, sixth = Shop(lake), date(2011, 1, 3), date(2011, 2, 5), date(2011, 2, 6)
    twice = Line("A", "2011-01-03T10:00:00", quantity="2", price="2.00", invoice="1", customer="c1")
    shop.land(*LINES, twice, Line("B", "2011-03-07T10:00:00", quantity="4", price="1.00", invoice="7", identity="one"))
    shop.refine("2011-03-14")
    days = [("A", third, 7.0), ("A", fifth, 2.0), ("A", sixth, -1.0), ("B", third, 2.0), ("B", date(2011, 3, 7), 4.0)]
    assert table(shop, "daily_sales", "product_code", "day", "units") == days
    assert table(shop, "customer_days", "day", "lines", "products") == [
        (third, 3, 2),
        (fifth, 1, 1),
        (sixth, 0, 0),
        (date(2011, 3, 7), 1, 1),
    ]
    receipts = [("1", ["A", "B"], 8.0), ("2", ["A"], 1.0), ("3", ["A"], 2.0), ("7", ["B"], 4.0)]
    assert table(shop, "baskets", "invoice", "products", "units") == receipts
    assert table(shop, "products", "product_code", "units") == [("A", 8.0), ("B", 6.0)]

    # A late sale in January; and a copy in February takes the place of the only sale of March's only receipt.
    shop.land(
        Line("B", "2011-01-03T15:00:00", quantity="3", price="1.00", invoice="6", customer=None),
        Line("B", "2011-02-05T11:00:00", quantity="5", price="1.00", invoice="8", identity="one", known_at="2011-02-06T00:00:00"),
    )
    shop.refine("2011-03-14")
    assert table(shop, "baskets", "invoice", "units") == [("1", 8.0), ("2", 1.0), ("3", 2.0), ("6", 3.0), ("8", 5.0)]
    days = [("A", third, 7.0), ("A", fifth, 2.0), ("A", sixth, -1.0), ("B", third, 5.0), ("B", fifth, 5.0)]
    assert table(shop, "daily_sales", "product_code", "day", "units") == days
    assert table(shop, "products", "product_code", "units") == [("A", 8.0), ("B", 10.0)]


@pytest.mark.soak_on_jvm
def test_a_late_sale_updates_its_own_day_product_and_customer_and_no_other(shop: Shop) -> None:
    shop.land(Line("B", "2011-02-05T15:00:00", quantity="3", price="1.00", invoice="6", customer="c3"))
    shop.refine("2011-02-14")
    newest = shop.lake.snapshot()
    assert newest is not None

    def written(name: str, *columns: str) -> list[tuple[object, ...]]:
        rows = shop.lake.read(f"gold.{name}").where(f"_run = '{newest.run}'").toArrow().to_pylist()
        return sorted((tuple(row[column] for column in columns) for row in rows), key=repr)

    day = date(2011, 2, 5)
    assert written("daily_sales", "product_code", "day") == [("B", day)]
    assert written("customer_days", "customer_key", "day") == [("c3", day)]
    assert written("baskets", "invoice") == [("6",)]
    assert written("products", "product_code") == [("B",)]
    assert written("customers", "customer_key") == [("c3",)]
