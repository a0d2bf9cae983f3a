"""The contract's example: the rows of five lines, for everyone who asks, whenever they ask."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import pandas as pd
import pytest

from lakehouse.features import store
from lakehouse.tables import Lake
from tests.example import example, line
from tests.featured import CUSTOMERS, PRODUCTS, FeaturedShop, opened, prepared, rows

ROWS = [
    (datetime(2026, 1, 5), Decimal(10), date(2026, 1, 1)),
    (datetime(2026, 1, 12), Decimal(17), date(2026, 1, 10)),
    (datetime(2026, 1, 19), Decimal(24), date(2026, 1, 15)),
    (datetime(2026, 2, 2), Decimal(14), date(2026, 1, 15)),
]
SEEN = ("moment", "units_4w", "last_sold")


@pytest.fixture
def shop(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> FeaturedShop:
    return prepared(lake, tmp_path_factory, example)


def changes(lake: Lake) -> list[tuple[object, ...]]:
    """The rows at which one of the example's two values changed; others of the table change at other moments too."""
    found: list[tuple[object, ...]] = []
    for row in rows(lake, PRODUCTS, SEEN):
        if not found or row[1:] != found[-1][1:]:
            found.append(row)
    return found


def test_the_examples_rows_are_those_of_the_contract(shop: FeaturedShop) -> None:
    assert changes(shop.lake) == ROWS


@pytest.mark.soak_on_jvm
def test_as_of_the_thirteenth_everyone_gets_seventeen_today_and_in_training_later_and_after_a_rebuild(shop: FeaturedShop) -> None:
    then = shop.lake.at("2026-01-13")
    rebuilt = opened(shop.lake, "rebuilt")
    rebuilt.land(line("2026-01-01", 10), line("2026-01-06", 4))
    rebuilt.land(line("2026-01-10", 3), moment="2026-01-05")
    rebuilt.land(line("2026-01-08", 5), line("2026-01-15", 2), moment="2026-01-12")
    rebuilt.publish("2026-02-03")
    asked = pd.DataFrame({"store": "all", "product_code": "P", "event_timestamp": pd.to_datetime(["2026-01-12", "2026-01-13"])})
    for lake in (shop.lake, then, rebuilt.lake):
        assert store.historical(lake, "demand_v1", asked)["units_4w"].tolist() == [17.0, 17.0]
    assert changes(rebuilt.lake) == ROWS
    assert rows(then, PRODUCTS, SEEN)[-1] == ROWS[1]
    rebuilt.lake.close()


def test_a_rebuild_from_bronze_gives_the_very_rows_that_were_published(shop: FeaturedShop) -> None:
    rebuilt = opened(shop.lake, "rebuilt")
    bronze = shop.lake.read("bronze.sales")
    with rebuilt.lake.lease("copy of bronze"):
        for digest in bronze.select("file_digest").distinct().toArrow()[0].to_pylist():
            rebuilt.lake.writer.append("bronze.sales", bronze.where(f"file_digest = '{digest}'"), batch={"file_digest": digest})
    rebuilt.publish("2026-02-03")
    for name in store.FEATURES:
        published, again = shop.lake.digest(name), rebuilt.lake.digest(name)
        assert (again.rows, again.digest) == (published.rows, published.digest)
        assert published.rows > 0
    rebuilt.lake.close()


def test_a_row_once_published_is_never_written_again(shop: FeaturedShop) -> None:
    every_column = ("_run", "moment", "units_1w", "units_4w", "units_52w", "lines_4w", "last_sold")
    now = rows(shop.lake, PRODUCTS, every_column)
    for day in ("2026-01-10", "2026-01-13", "2026-01-20"):
        then = rows(shop.lake.at(day), PRODUCTS, every_column)
        assert then == [row for row in now if row in then]
        assert {row[1] for row in then} == {row[1] for row in now if row[1] <= then[-1][1]}  # type: ignore[operator]
    assert len({row[0] for row in now}) == 4


def test_every_moment_between_two_runs_is_computed_in_order_and_one_at_which_nothing_changed_has_no_row(shop: FeaturedShop) -> None:
    # From 01-20 to 02-03: the two units sold last leave the week at 01-26, the ten sold first leave four weeks at 02-02.
    found = rows(shop.lake, PRODUCTS, ("moment", "units_1w", "units_2w", "units_4w"))
    assert [row for row in found if row[0] > datetime(2026, 1, 19)] == [  # type: ignore[operator]
        (datetime(2026, 1, 26), Decimal(0), Decimal(2), Decimal(24)),
        (datetime(2026, 2, 2), Decimal(0), Decimal(0), Decimal(14)),
    ]
    moments = [moment for (moment,) in rows(shop.lake, CUSTOMERS, ("moment",))]
    # The customer's shortest window is of four weeks: nothing changes at 01-26.
    assert moments == [datetime(2026, 1, 5), datetime(2026, 1, 12), datetime(2026, 1, 19), datetime(2026, 2, 2)]


def test_a_run_at_the_same_moment_writes_nothing_and_one_at_a_moment_without_changes_only_looks(shop: FeaturedShop) -> None:
    before = shop.lake.digest(PRODUCTS, full=True)
    again = shop.publish("2026-02-05")
    assert (again.after, again.moment, set(again.written.values())) == ("2026-02-02T00:00:00", "2026-02-02T00:00:00", {0})
    assert shop.lake.digest(PRODUCTS, full=True).digest == before.digest


@pytest.mark.soak_on_jvm
def test_lines_beyond_the_moment_stand_in_silver_and_not_in_features(shop: FeaturedShop) -> None:
    shop.land_now(line("2026-02-04", 100))
    report = shop.publish("2026-02-05")
    assert shop.lake.read("silver.sales").count() == 6
    assert set(report.written.values()) == {0}
    shop.publish("2026-02-09")
    assert rows(shop.lake, PRODUCTS, SEEN)[-1][1:] == (Decimal(102), date(2026, 2, 4))
