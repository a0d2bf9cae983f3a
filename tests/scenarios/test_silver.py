"""Silver: copies settled, lines quarantined, cancellations linked, whatever the order in which files land.

What one run shows stands in one shop, and what a second run changes in another: each is made once per engine, since a run on Spark takes
its seconds whatever the lines are.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import pytest

from lakehouse.medallion.silver import SilverReport
from lakehouse.tables import Lake
from tests.featured import FeaturedShop, opened, prepared
from tests.shop import Line, Shop

MONDAY = "2011-01-03T10:00:00"
TUESDAY = "2011-01-04T10:00:00"
WEDNESDAY = "2011-01-05T10:00:00"


FIRST_LANDING = (
    Line("COPIED", MONDAY),
    Line("FIRST", MONDAY, quantity="5", identity="published"),
    Line("WORSE", MONDAY, quantity="5", identity="not yet of a moment", known_at=WEDNESDAY),
    Line("WORSE", MONDAY, quantity="5", identity="not yet of a moment", known_at=WEDNESDAY),  # left out, as the other's repeat
    Line("LATE", WEDNESDAY, quantity="-3", invoice="C3"),
    Line("B", TUESDAY),
)
SECOND_LANDING = (
    Line("COPIED", MONDAY),
    Line("FIRST", MONDAY, quantity="7", identity="published"),
    Line("LATE", MONDAY, quantity="4"),
)
THIRD_LANDING = (Line("BETTER", TUESDAY, quantity="7", identity="not yet of a moment"),)


def one_run(shop: Shop) -> SilverReport:
    """Each case has products of its own."""
    shop.land(Line("REPEATED", MONDAY), Line("B", MONDAY), Line("B", TUESDAY))
    shop.land(
        Line("REPEATED", MONDAY),
        Line("NEGATIVE", MONDAY, quantity="-3"),
        Line("FREE", MONDAY, price="0"),
        Line("TIMELESS", MONDAY, reasons=("bad_time",)),
        Line("RETURNED", MONDAY, quantity="3", invoice="1"),
        Line("RETURNED", TUESDAY, quantity="10", invoice="2"),
        Line("RETURNED", WEDNESDAY, quantity="-3", invoice="C3"),
        Line("RETURNED", WEDNESDAY, quantity="-3", invoice="C4", customer="c2"),
        Line("SPACED", MONDAY, description="RED\u00a0\u2003 CUP\tOF TIN"),
        Line("85123a", MONDAY, description="white  hanging   heart"),
    )
    return shop.clean()


def two_runs(shop: Shop) -> SilverReport:
    """A copy, two conflicts and a sale that was cancelled before land after the first run is published."""
    shop.land(*FIRST_LANDING)
    shop.refine()
    shop.land(*SECOND_LANDING, moment="2011-01-03")
    shop.land(*THIRD_LANDING)
    return shop.refine()[0]


@pytest.fixture
def once(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> FeaturedShop:
    return prepared(lake, tmp_path_factory, one_run)


@pytest.fixture
def twice(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> FeaturedShop:
    return prepared(lake, tmp_path_factory, two_runs)


def rows(lake: Lake, name: str, *columns: str, of: tuple[str, ...] = ()) -> list[tuple[object, ...]]:
    """The columns of a table's rows, of these products alone where some are named."""
    found = lake.read(name).select("product_code", *columns).toArrow().to_pylist()
    return sorted((tuple(row[column] for column in columns) for row in found if not of or row["product_code"] in of), key=repr)


def day(text: str) -> date:
    return datetime.fromisoformat(text).date()


def test_a_line_that_stands_in_two_files_is_counted_once(once: FeaturedShop) -> None:
    assert once.made == SilverReport(
        files=2,
        lines=13,
        written=9,
        repeats=1,
        refused={"bad_time": 1, "negative_quantity_needs_cancellation": 1, "price_positive": 1},
        cancelled=2,
        linked=1,
    )
    assert rows(once.lake, "silver.sales", "product_code", "day", of=("REPEATED", "B")) == [
        ("B", day(MONDAY)),
        ("B", day(TUESDAY)),
        ("REPEATED", day(MONDAY)),
    ]


def test_a_line_goes_to_silver_or_to_quarantine_with_all_its_reasons(once: FeaturedShop) -> None:
    assert rows(once.lake, "silver.sales", "product_code", of=("NEGATIVE", "FREE", "TIMELESS")) == []
    assert rows(once.lake, "quarantine.sales", "product_code", "stage", "reasons") == [
        ("FREE", "silver", ["price_positive"]),
        ("NEGATIVE", "silver", ["negative_quantity_needs_cancellation"]),
        ("TIMELESS", "door", ["bad_time"]),
    ]


def test_a_cancellation_finds_the_sale_of_its_own_quantity_before_a_later_one(once: FeaturedShop) -> None:
    assert rows(once.lake, "silver.cancellations", "sold_quantity", "match") == [(Decimal(3), "same quantity")]


def test_spaces_of_any_kind_within_a_description_are_one_plain_one(once: FeaturedShop) -> None:
    assert rows(once.lake, "silver.sales", "description", of=("SPACED",)) == [("RED CUP OF TIN",)]


def test_codes_are_upper_case_and_inner_spaces_single(once: FeaturedShop) -> None:
    assert rows(once.lake, "silver.sales", "description", of=("85123A",)) == [("white hanging heart",)]


def test_a_copy_that_lands_a_run_later_changes_nothing(twice: FeaturedShop) -> None:
    before = twice.lake.digest("silver.sales", full=True)
    twice.land(Line("COPIED", MONDAY), Line("B", TUESDAY), moment="2011-01-03")
    report, refined = twice.refine()
    assert (report.written, report.repeats) == (0, 2)
    assert set(refined.touched.values()) == {0}
    assert twice.lake.digest("silver.sales", full=True).digest == before.digest


def test_what_was_published_is_not_written_again_where_a_copy_of_it_lands(twice: FeaturedShop) -> None:
    assert isinstance(twice.made, SilverReport)
    assert (twice.made.lines, twice.made.written, twice.made.repeats) == (4, 2, 1)
    first = twice.lake.snapshots()[0].run
    assert rows(twice.lake, "silver.sales", "product_code", "_run", of=("COPIED", "FIRST")) == [("COPIED", first), ("FIRST", first)]
    assert rows(twice.lake, "gold.daily_sales", "product_code", "_run", of=("COPIED", "FIRST")) == [("COPIED", first), ("FIRST", first)]


def test_of_two_lines_with_one_identity_the_published_one_stays_and_the_other_is_quarantined(twice: FeaturedShop) -> None:
    assert rows(twice.lake, "silver.sales", "quantity", of=("FIRST",)) == [(Decimal(5),)]
    assert rows(twice.lake, "quarantine.sales", "quantity", "reasons", of=("FIRST",)) == [(Decimal(7), ["conflicting_copy"])]


def test_a_better_known_copy_takes_the_place_of_an_unpublished_one_and_gold_follows(twice: FeaturedShop) -> None:
    assert rows(twice.lake, "silver.sales", "product_code", of=("WORSE", "BETTER")) == [("BETTER",)]
    assert rows(twice.lake, "gold.daily_sales", "product_code", "units", of=("WORSE", "BETTER")) == [("BETTER", Decimal(7))]
    assert rows(twice.lake, "quarantine.sales", "product_code", "reasons", of=("WORSE", "BETTER")) == 2 * [("WORSE", ["conflicting_copy"])]


def test_a_sale_that_lands_late_is_found_by_a_cancellation_that_was_there_before(twice: FeaturedShop) -> None:
    first = twice.lake.snapshots()[0].versions["silver.cancellations"]
    assert twice.lake.read("silver.cancellations", version=first).count() == 0
    assert rows(twice.lake, "silver.cancellations", "sold_quantity", "match") == [(Decimal(4), "larger quantity")]


def test_the_same_lines_in_one_file_and_in_another_order_give_the_same_content(twice: FeaturedShop) -> None:
    other = opened(twice.lake, "other")
    other.land(*reversed([*FIRST_LANDING, *SECOND_LANDING, *THIRD_LANDING]))
    other.refine()
    for name in (name for name, table in twice.lake.catalog.items() if table.layer in ("silver", "gold")):
        found, expected = other.lake.digest(name), twice.lake.digest(name)
        assert (found.rows, found.digest) == (expected.rows, expected.digest), name
        assert found.rows > 0, name
    other.lake.close()


@pytest.mark.soak_on_jvm
def test_a_copy_in_another_month_is_found_where_the_time_does_not_tell_lines_apart(lake: Lake) -> None:
    shop = Shop(lake)
    shop.land(Line("A", "2011-01-03T10:00:00", quantity="1", identity="one and the same"))
    shop.clean("2011-01-12")
    shop.land(Line("A", "2011-02-03T10:00:00", quantity="5", identity="one and the same"), moment="2011-01-10")
    made = shop.clean("2011-02-09")
    assert (made.written, made.refused) == (0, {"conflicting_copy": 1})
    assert [str(row["quantity"]) for row in lake.read("silver.sales").toArrow().to_pylist()] == ["1.000"]


@pytest.mark.slow
@pytest.mark.soak_on_jvm
def test_of_copies_known_from_the_same_time_the_one_that_names_its_customer_is_kept_in_whichever_run_it_lands(lake: Lake) -> None:
    """As a rebuild from bronze would: what no moment has used yet is settled as if it had landed at once."""
    nobody, somebody = Line("A", WEDNESDAY, customer=None), Line("A", WEDNESDAY, customer="c2")
    shops = [opened(lake, name) for name in ("nobody-first", "somebody-first", "at-once")]
    for shop, landing in zip(shops, ([(nobody,), (somebody,)], [(somebody,), (nobody,)], [(nobody, somebody)]), strict=True):
        for lines in landing:
            shop.land(*lines, moment="2011-01-03")
            shop.refine("2011-01-04")
    try:
        for shop in shops:
            assert rows(shop.lake, "silver.sales", "customer_key") == [("c2",)], shop.lake.home.name
            assert [row["customer_key"] for row in shop.lake.read("gold.customer_days").toArrow().to_pylist()] == ["c2"]
    finally:
        for shop in shops:
            shop.lake.close()
