"""Which day a run is told, from when a line counts, and what a look into the past may do."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import functions as F

from lakehouse.features import build, publish, store
from lakehouse.ingest import load
from lakehouse.tables import Lake, StageLake
from tests.canonical import HEADER
from tests.example import example, line
from tests.featured import PRODUCTS, FeaturedShop, prepared, rows
from tests.shop import Line

pytestmark = pytest.mark.soak_on_jvm


@pytest.fixture
def shop(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> FeaturedShop:
    return prepared(lake, tmp_path_factory, example)


def file(folder: Path, name: str, *sold: str) -> Path:
    path = folder / name
    path.write_text("\n".join((HEADER, *(f"{time},A,thing,2,{time},2.50,17850,France" for time in sold))) + "\n")
    return path


@pytest.mark.slow
def test_a_day_is_floored_to_the_monday_that_its_features_are_of(shop: FeaturedShop) -> None:
    published = shop.lake.snapshot()
    assert published is not None
    assert (published.as_of, published.moment) == (datetime(2026, 2, 3), datetime(2026, 2, 2))


def test_left_out_the_day_is_the_newest_snapshots_until_a_later_line_lands(shop: FeaturedShop) -> None:
    with shop.run() as run:
        assert run.as_of == datetime(2026, 2, 3)
    shop.land_now(line("2026-02-10", 1))
    with shop.run() as run:
        assert (run.as_of, run.moment) == (datetime(2026, 2, 11), datetime(2026, 2, 9))


def test_a_line_that_covers_a_week_moves_the_day_to_the_end_of_its_week(lake: Lake) -> None:
    shop = FeaturedShop(lake)
    shop.land(line("2026-01-05", 1))
    weekly = lake.read("bronze.sales").withColumns({"covers": F.lit("week"), "file_digest": F.lit("weekly")})
    with lake.lease("a weekly file"):
        lake.writer.append("bronze.sales", weekly, batch={"file_digest": "weekly"})
    with shop.run() as run:
        assert run.as_of == datetime(2026, 1, 12)


@pytest.mark.parametrize(("lonely", "newest"), [("2026-02-19", "2026-02-20"), ("2026-02-20", "2026-01-16")])
def test_a_line_with_no_other_day_in_the_35_before_it_moves_no_day(lake: Lake, lonely: str, newest: str) -> None:
    shop = FeaturedShop(lake)
    shop.land(line("2026-01-14", 1), line("2026-01-15", 1), line(lonely, 1))
    with shop.run() as run:
        assert run.as_of == datetime.fromisoformat(newest)


def test_a_line_is_known_from_its_sale_on_or_from_the_moment_published_before_it_landed(lake: Lake, tmp_path: Path) -> None:
    load(lake, file(tmp_path, "first.csv", "2011-01-03T10:00:00", "2011-01-18T10:00:00"), "canonical")
    FeaturedShop(lake).publish("2011-01-12")
    load(lake, file(tmp_path, "late.csv", "2011-01-04T10:00:00", "2011-01-10T00:00:00", "2011-01-11T10:00:00"), "canonical")
    found = lake.read("bronze.sales").selectExpr("date_format(sold_at, 'dd HH')", "date_format(_known_at, 'dd HH')").toArrow().to_pylist()
    assert sorted(tuple(row.values()) for row in found) == [
        ("03 10", "03 10"),
        ("04 10", "10 00"),
        ("10 00", "10 00"),
        ("11 10", "11 10"),
        ("18 10", "18 10"),
    ]


def test_history_loaded_in_any_order_before_the_first_run_is_simply_known(lake: Lake) -> None:
    shop = FeaturedShop(lake)
    shop.land_now(line("2026-01-15", 2))
    shop.land_now(line("2026-01-01", 10))
    shop.publish("2026-01-20")
    assert rows(lake, PRODUCTS, ("moment", "units_4w")) == [
        (datetime(2026, 1, 5), Decimal(10)),
        (datetime(2026, 1, 12), Decimal(10)),
        (datetime(2026, 1, 19), Decimal(12)),
    ]


def test_a_line_sold_at_a_moment_is_not_of_that_moment(lake: Lake) -> None:
    shop = FeaturedShop(lake)
    shop.land(Line("P", "2026-01-04T23:59:59", quantity="1"), Line("P", "2026-01-05T00:00:00", quantity="10"))
    shop.publish("2026-01-12")
    assert rows(lake, PRODUCTS, ("moment", "units_4w")) == [(datetime(2026, 1, 5), Decimal(1)), (datetime(2026, 1, 12), Decimal(11))]


def test_a_back_test_reads_the_rows_published_up_to_its_moment_and_publishes_nothing(shop: FeaturedShop) -> None:
    publish.publish_online(shop.lake)
    snapshots, heads = shop.lake.snapshots(), {name: shop.lake.head(name) for name in shop.lake.catalog}
    asked = pd.DataFrame({"store": "all", "product_code": "P", "event_timestamp": pd.to_datetime(["2026-01-12"])})
    with shop.run("2026-01-13") as run:
        assert run.back_test
        with StageLake(shop.lake.settings, "features", run.id) as stage:
            assert set(build.build(stage).written.values()) == {0}
            assert store.historical(stage, "demand_v1", asked)["units_4w"].tolist() == [17.0]
            assert stage.publish(after=()) is None
            stage.finish()
    assert shop.lake.snapshots() == snapshots
    assert {name: shop.lake.head(name) for name in shop.lake.catalog} == heads
