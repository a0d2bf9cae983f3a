"""The offline store: features at a moment, of the versions that were asked for."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from lakehouse.errors import StateError, UnknownName
from lakehouse.features import store
from lakehouse.features.repository import open_store
from lakehouse.tables import Lake
from tests.example import example, line
from tests.featured import FeaturedShop, prepared
from tests.shop import Line

pytestmark = pytest.mark.soak_on_jvm  # as in test_features_online

MOMENTS = ["2026-01-04", "2026-01-05", "2026-01-11T23:00:00", "2026-01-12", "2026-01-30", "2026-02-02"]


@pytest.fixture
def shop(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> FeaturedShop:
    return prepared(lake, tmp_path_factory, example)


def asked(*moments: str, product: str = "P") -> pd.DataFrame:
    return pd.DataFrame({"store": "all", "product_code": product, "event_timestamp": pd.to_datetime(list(moments), format="ISO8601")})


def test_an_older_version_gives_its_rows_whatever_was_committed_since(shop: FeaturedShop) -> None:
    then = shop.lake.at("2026-01-13")
    wanted = asked("2026-01-12", "2026-01-19", "2026-02-02")
    before = store.historical(then, "demand_v1", wanted)
    shop.land_now(line("2026-02-03", 50))
    shop.publish("2026-02-10")
    pd.testing.assert_frame_equal(store.historical(then, "demand_v1", wanted), before)
    assert before["units_4w"].tolist() == [17.0, 17.0, 17.0]
    assert store.historical(shop.lake, "demand_v1", wanted)["units_4w"].tolist() == [17.0, 24.0, 14.0]


def test_an_entity_has_the_row_at_or_before_the_time_asked_and_none_before_its_first(shop: FeaturedShop) -> None:
    found = store.historical(shop.lake, "demand_v1", asked(*MOMENTS))
    assert found["units_4w"].fillna(-1).tolist() == [-1, 10, 10, 17, 24, 14]
    assert found["event_timestamp"].tolist() == pd.to_datetime(MOMENTS, format="ISO8601").tolist()
    assert found["last_sold"].isna().tolist() == [True] + [False] * 5
    assert store.historical(shop.lake, "demand_v1", asked("2026-02-02", product="never sold"))["units_4w"].isna().all()


def test_entities_come_back_in_their_order_with_the_columns_that_they_brought(shop: FeaturedShop) -> None:
    mixed = asked("2026-02-02", "2026-01-05", "2026-01-12").assign(label=[1.5, 2.5, 3.5])
    found = store.historical(shop.lake, "demand_v1", mixed)
    assert list(zip(found["label"], found["units_4w"], strict=True)) == [(1.5, 14.0), (2.5, 10.0), (3.5, 17.0)]


def test_no_entities_give_no_rows_and_every_column(shop: FeaturedShop) -> None:
    found = store.historical(shop.lake, "demand_v1", asked())
    assert found.empty
    assert {"units_4w", "last_sold"} <= set(found.columns)


def test_a_service_that_is_not_declared_is_refused_with_a_hint(shop: FeaturedShop) -> None:
    with pytest.raises(UnknownName, match="demand_v1"):
        store.historical(shop.lake, "demand_v2", asked("2026-01-12"))


def test_a_source_without_a_pinned_version_is_refused(shop: FeaturedShop) -> None:
    unpinned = open_store(shop.lake.settings, {"features.customer_history": 1})
    with pytest.raises(StateError, match="not pinned"):
        unpinned.get_historical_features(asked("2026-01-12"), features=["product_sales:units_4w"]).to_df()


def test_the_join_is_the_one_that_feast_itself_makes(shop: FeaturedShop, tmp_path: Path) -> None:
    from feast import FeatureStore, FileSource
    from feast.repo_config import RepoConfig

    from feature_repo import PROJECT
    from feature_repo.entities import product
    from feature_repo.entities import store as shop_store
    from feature_repo.views import product_sales

    shop.land_now(Line("Q", "2026-01-28T09:00:00", quantity="6"))
    shop.publish("2026-02-10")
    rows = shop.lake.read("features.product_sales").selectExpr(
        "store", "product_code", "moment", "cast(units_4w AS double) AS units_4w", "lines_52w"
    )
    pq.write_table(rows.toArrow(), tmp_path / "rows.parquet")
    source = FileSource(name="stock", path=str(tmp_path / "rows.parquet"), timestamp_field="moment")
    fields = [field for field in product_sales.schema if field.name in {"store", "product_code", "units_4w", "lines_52w"}]
    view = type(product_sales)(name="product_sales", entities=[shop_store, product], ttl=None, source=source, schema=fields)
    place = {"registry": str(tmp_path / "registry.db"), "online_store": {"type": "sqlite", "path": str(tmp_path / "online.db")}}
    stock = FeatureStore(
        config=RepoConfig(
            project=PROJECT,
            provider="local",
            offline_store={"type": "duckdb"},
            entity_key_serialization_version=3,
            repo_path=tmp_path,
            **place,
        )
    )
    stock.apply([shop_store, product, view])
    wanted = pd.concat([asked(*MOMENTS, "2026-02-09"), asked(*MOMENTS, "2026-02-09", product="Q")], ignore_index=True)
    features = ["product_sales:units_4w", "product_sales:lines_52w"]
    ours = open_store(shop.lake.settings, store.pins(shop.lake))
    key = ["product_code", "event_timestamp"]
    frames = [one.get_historical_features(wanted, features=features).to_df().sort_values(key) for one in (ours, stock)]
    columns = ["units_4w", "lines_52w"]
    found, expected = (frame[columns].astype("float64").fillna(-1).to_numpy().tolist() for frame in frames)
    assert found == expected
    assert len({tuple(row) for row in found}) > 4


@pytest.mark.parametrize("at_once", [store.AT_ONCE, 1])
def test_products_asked_about_are_those_with_a_sale_in_the_weeks_before(
    shop: FeaturedShop, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(store, "AT_ONCE", at_once)
    moments = [datetime(2026, 1, 12), datetime(2026, 2, 2)]
    assert store.product_moments(shop.lake, [datetime(2024, 1, 1)], 26).empty
    assert store.product_moments(shop.lake, [datetime(2024, 1, 1), *moments], 26)["event_timestamp"].tolist() == moments
    assert store.product_moments(shop.lake, moments, 26)["event_timestamp"].tolist() == moments
    assert store.product_moments(shop.lake, moments, 2)["event_timestamp"].tolist() == moments[:1]
    assert store.customers_at(shop.lake, datetime(2025, 12, 29), *moments)["event_timestamp"].tolist() == moments
