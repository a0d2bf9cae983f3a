"""Silver: copies settled, lines quarantined, cancellations linked, whatever the order in which files land."""

from __future__ import annotations

from decimal import Decimal

import pytest

from lakehouse.tables import Lake
from tests.shop import Line, Shop

MONDAY = "2011-01-03T10:00:00"
TUESDAY = "2011-01-04T10:00:00"
WEDNESDAY = "2011-01-05T10:00:00"


@pytest.fixture
def shop(lake: Lake) -> Shop:
    return Shop(lake)


def rows(lake: Lake, name: str, *columns: str) -> list[tuple[object, ...]]:
    found = lake.read(name).select(*columns).toArrow().to_pylist()
    return sorted((tuple(row[column] for column in columns) for row in found), key=repr)


def test_a_line_that_stands_in_two_files_is_counted_once(shop: Shop) -> None:
    shop.land(Line("A", MONDAY), Line("B", MONDAY))
    shop.land(Line("B", MONDAY), Line("B", TUESDAY))
    report = shop.clean()
    assert (report.lines, report.written, report.repeats) == (4, 3, 1)
    assert rows(shop.lake, "silver.sales", "product_code", "day") == [
        ("A", shop.lake.read("silver.sales").where("product_code = 'A'").toArrow().column("day")[0].as_py()),
        *[("B", day) for day in sorted(shop.lake.read("silver.sales").where("product_code = 'B'").toArrow().column("day").to_pylist())],
    ]


def test_a_copy_that_lands_a_run_later_changes_nothing(shop: Shop) -> None:
    shop.land(Line("A", MONDAY), Line("B", TUESDAY))
    shop.refine()
    before = shop.lake.digest("silver.sales", full=True)
    shop.land(Line("A", MONDAY), moment="2011-01-03")
    report, refined = shop.refine()
    assert (report.written, report.repeats) == (0, 1)
    assert set(refined.touched.values()) == {0}
    assert shop.lake.digest("silver.sales", full=True).digest == before.digest


def test_of_two_lines_with_one_identity_the_first_known_stays_and_the_other_is_quarantined(shop: Shop) -> None:
    shop.land(Line("A", MONDAY, quantity="5", identity="one"), Line("Z", TUESDAY))
    shop.clean()
    shop.land(Line("A", MONDAY, quantity="7", identity="one"), moment="2011-01-03")
    shop.clean()
    assert rows(shop.lake, "silver.sales", "product_code", "quantity") == [("A", Decimal(5)), ("Z", Decimal(1))]
    assert rows(shop.lake, "quarantine.sales", "quantity", "reasons") == [(Decimal(7), ["conflicting_copy"])]


def test_a_better_known_copy_takes_the_place_of_an_unpublished_one_and_gold_follows(shop: Shop) -> None:
    shop.land(Line("A", MONDAY, quantity="5", identity="one", known_at=WEDNESDAY), Line("B", TUESDAY))
    shop.refine()
    shop.land(Line("C", TUESDAY, quantity="7", identity="one"))
    shop.refine()
    assert rows(shop.lake, "silver.sales", "product_code") == [("B",), ("C",)]
    assert rows(shop.lake, "gold.daily_sales", "product_code", "units") == [("B", Decimal(1)), ("C", Decimal(7))]
    assert rows(shop.lake, "quarantine.sales", "product_code", "reasons") == [("A", ["conflicting_copy"])]


def test_a_line_goes_to_silver_or_to_quarantine_with_all_its_reasons(shop: Shop) -> None:
    shop.land(
        Line("A", MONDAY),
        Line("B", MONDAY, quantity="-3"),
        Line("C", MONDAY, price="0"),
        Line("D", MONDAY, reasons=("bad_time",)),
    )
    report = shop.clean()
    assert rows(shop.lake, "silver.sales", "product_code") == [("A",)]
    assert rows(shop.lake, "quarantine.sales", "product_code", "stage", "reasons") == [
        ("B", "silver", ["negative_quantity_needs_cancellation"]),
        ("C", "silver", ["price_positive"]),
        ("D", "door", ["bad_time"]),
    ]
    assert report.refused == {"bad_time": 1, "negative_quantity_needs_cancellation": 1, "price_positive": 1}


def test_a_cancellation_finds_the_sale_of_its_own_quantity_before_a_later_one(shop: Shop) -> None:
    shop.land(
        Line("A", MONDAY, quantity="3", invoice="1"),
        Line("A", TUESDAY, quantity="10", invoice="2"),
        Line("A", WEDNESDAY, quantity="-3", invoice="C3"),
        Line("A", WEDNESDAY, quantity="-3", invoice="C4", customer="c2"),
    )
    report = shop.clean()
    assert rows(shop.lake, "silver.cancellations", "sold_quantity", "match") == [(Decimal(3), "same quantity")]
    assert (report.cancelled, report.linked) == (2, 1)


def test_a_sale_that_lands_late_is_found_by_a_cancellation_that_was_there_before(shop: Shop) -> None:
    shop.land(Line("A", WEDNESDAY, quantity="-3", invoice="C3"))
    shop.land(Line("B", WEDNESDAY))
    shop.clean()
    assert rows(shop.lake, "silver.cancellations", "match") == []
    shop.land(Line("A", MONDAY, quantity="4"), moment="2011-01-03")
    shop.clean()
    assert rows(shop.lake, "silver.cancellations", "sold_quantity", "match") == [(Decimal(4), "larger quantity")]


def test_spaces_of_any_kind_within_a_description_are_one_plain_one(shop: Shop) -> None:
    shop.land(Line("A", MONDAY, description="RED\u00a0\u2003 CUP\tOF TIN"))
    shop.clean()
    assert rows(shop.lake, "silver.sales", "description") == [("RED CUP OF TIN",)]


def test_codes_are_upper_case_and_inner_spaces_single(shop: Shop) -> None:
    shop.land(Line("85123a", MONDAY, description="white  hanging   heart"))
    shop.clean()
    assert rows(shop.lake, "silver.sales", "product_code", "description") == [("85123A", "white hanging heart")]


def test_files_in_another_order_give_the_same_content(shop: Shop) -> None:
    lines = [Line("A", MONDAY), Line("B", TUESDAY, quantity="-1", invoice="C1"), Line("B", MONDAY), Line("B", MONDAY)]
    shop.land(*lines[:2])
    shop.refine(as_of="2011-01-10")
    shop.land(*lines[2:])
    shop.refine(as_of="2011-01-10")
    first = {name: shop.lake.digest(name) for name, table in shop.lake.catalog.items() if table.layer in ("silver", "gold")}
    other = Shop(_other_home(shop.lake))
    other.land(*reversed(lines))
    other.refine(as_of="2011-01-10")
    assert {name: (other.lake.digest(name).rows, other.lake.digest(name).digest) for name in first} == {
        name: (found.rows, found.digest) for name, found in first.items()
    }
    other.lake.close()


def _other_home(lake: Lake) -> Lake:
    settings = lake.settings.model_copy(update={"home": lake.home.with_name("other")})
    found = Lake(settings, endpoint=lake.endpoint)
    found.create_tables()
    return found
