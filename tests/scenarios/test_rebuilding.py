"""A table that was lost: said by name with what repairs it, made anew from bronze, and bronze itself never made up."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lakehouse.errors import NothingPublished, StateError
from lakehouse.features import build
from lakehouse.medallion import silver
from lakehouse.tables import Lake, StageLake, delta, opening, runs
from tests.featured import FeaturedShop, prepared
from tests.shop import Line

pytestmark = pytest.mark.slow_on_spark

SALES, PRODUCTS = "silver.sales", "features.product_sales"
TABLES = (SALES, PRODUCTS, "features.customer_history")
REPAIR = "zeromargin run --from-bronze"


def two_weeks(shop: FeaturedShop) -> None:
    shop.land_now(Line("A", "2011-01-03T10:00:00"), Line("B", "2011-01-04T10:00:00", quantity="3"))
    shop.publish("2011-01-12")
    shop.land_now(Line("A", "2011-01-12T10:00:00", invoice="2"), Line("B", "2011-01-06T10:00:00", invoice="3"))  # the latter is late
    shop.publish("2011-01-19")


@pytest.fixture
def shop(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> FeaturedShop:
    return prepared(lake, tmp_path_factory, two_weeks)


def digests(lake: Lake) -> dict[str, str]:
    return {name: lake.digest(name).digest for name in TABLES}


def anew(lake: Lake) -> None:
    with lake.lease("test") as held:
        run = opening.begin_or_resume(lake, None, held.token, from_bronze=True)
        for name, work in (("silver", silver.build), ("features", build.build)):
            with StageLake(lake.settings, name, run.id) as stage:
                work(stage)
                if name == "features":
                    stage.publish(after=())
                stage.finish()
        runs.end(lake.ops, run.id)


def lose(lake: Lake, name: str, how: str) -> None:
    place = Path(lake.path(name))
    if how == "removed":
        shutil.rmtree(place)
    elif how == "a log entry is missing":
        (place / delta.LOG / f"{1:020}.json").unlink()
    else:
        newest = max((place / delta.LOG).glob("*.json"))
        newest.write_text(newest.read_text()[:40])


@pytest.mark.parametrize("how", ["removed", "a log entry is missing", "a log entry is cut off"])
def test_a_lost_table_is_named_and_made_anew_as_it_was(shop: FeaturedShop, how: str) -> None:
    lake, before = shop.lake, digests(shop.lake)
    with lake.lease("test"):
        lake.pin(PRODUCTS, lake.version(PRODUCTS), "a test", "relied on")
    lose(lake, PRODUCTS, how)
    with pytest.raises(StateError, match=rf"{PRODUCTS}.*{REPAIR}"):
        lake.read(PRODUCTS, version=lake.version(PRODUCTS))
    if how == "removed":
        with pytest.raises(StateError, match=rf"{PRODUCTS} is not there any more.*{REPAIR}"):
            lake.read(PRODUCTS)
    with pytest.raises(StateError, match=REPAIR):
        shop.publish("2011-01-26")

    anew(lake)

    assert digests(lake) == before
    assert len(lake.snapshots()) == 3
    # Its older versions are gone, and nobody is told that another table's are them.
    with pytest.raises(NothingPublished):
        lake.at("2011-01-12").read(PRODUCTS)
    assert lake.at("2011-01-12").read(SALES).count() == 2
    shop.land_now(Line("C", "2011-01-20T10:00:00", invoice="4"))
    shop.publish("2011-01-26")
    assert lake.read(SALES).count() == 5


def test_a_rebuild_of_what_is_whole_changes_nothing_and_keeps_every_version(shop: FeaturedShop) -> None:
    before, old = digests(shop.lake), shop.lake.digest(PRODUCTS, shop.lake.snapshots()[0].versions[PRODUCTS])
    anew(shop.lake)
    assert digests(shop.lake) == before
    assert shop.lake.digest(PRODUCTS, old.version) == old


def test_bronze_is_never_made_up(shop: FeaturedShop) -> None:
    lose(shop.lake, "bronze.sales", "removed")
    with pytest.raises(StateError, match="bronze.sales is not there any more.*backup"):
        shop.lake.create_tables()
    with shop.lake.lease("test") as held, pytest.raises(StateError, match="Nothing else holds what landed"):
        opening.begin_or_resume(shop.lake, None, held.token, from_bronze=True)
