"""Labels of a published lake: closed windows alone, in the order asked, from the lines known at the moment looked from."""

from __future__ import annotations

from datetime import datetime

import pandas as pd
import pytest

from lakehouse.errors import NothingPublished
from lakehouse.features import labels
from lakehouse.tables import Lake
from tests.example import example, line
from tests.featured import FeaturedShop, prepared

pytestmark = pytest.mark.soak_on_jvm


@pytest.fixture
def shop(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> FeaturedShop:
    return prepared(lake, tmp_path_factory, example)


def asked(*moments: str) -> pd.DataFrame:
    return pd.DataFrame({"store": "all", "product_code": "P", "event_timestamp": pd.to_datetime(list(moments))})


def test_demand_of_a_closed_window_comes_in_the_order_asked_and_that_of_an_open_one_does_not_come(shop: FeaturedShop) -> None:
    found = labels.demand(shop.lake, asked("2026-01-26", "2026-01-19", "2026-01-05", "2026-01-12"), 2)
    # 01-26 closes at 02-09, after the newest moment, 02-02.
    assert found[["event_timestamp", "y_1", "y_2"]].to_numpy().tolist() == [
        [pd.Timestamp("2026-01-19"), 0.0, 0.0],
        [pd.Timestamp("2026-01-05"), 12.0, 2.0],
        [pd.Timestamp("2026-01-12"), 2.0, 0.0],
    ]


def test_a_line_that_was_late_is_in_the_label_from_the_moment_on_that_knew_it(shop: FeaturedShop) -> None:
    # As of 01-20 the five late units of 01-08 are known; as of 01-13 they were not.
    assert labels.demand(shop.lake.at("2026-01-20"), asked("2026-01-05"), 1)["y_1"].tolist() == [12.0]
    assert labels.demand(shop.lake.at("2026-01-13"), asked("2026-01-05"), 1)["y_1"].tolist() == [7.0]


def test_a_line_landed_for_a_closed_window_changes_no_label_before_its_moment(shop: FeaturedShop) -> None:
    shop.land_now(line("2026-01-09", 100))
    shop.publish("2026-02-05")
    assert labels.demand(shop.lake, asked("2026-01-05"), 1)["y_1"].tolist() == [12.0]
    shop.publish("2026-02-09")
    assert labels.demand(shop.lake, asked("2026-01-05"), 1)["y_1"].tolist() == [112.0]


def test_purchases_name_a_customers_products_by_moment(shop: FeaturedShop) -> None:
    found = labels.purchases(shop.lake, [datetime(2026, 1, day) for day in (5, 12, 19, 26)], 7)
    assert found.to_numpy().tolist() == [["c1", pd.Timestamp("2026-01-05"), ["P"]], ["c1", pd.Timestamp("2026-01-12"), ["P"]]]


def test_where_no_window_has_closed_there_are_no_labels(shop: FeaturedShop) -> None:
    found = labels.demand(shop.lake, asked("2026-01-26"), 4)
    assert found.empty
    assert [*found.columns][-4:] == ["y_1", "y_2", "y_3", "y_4"]
    assert labels.purchases(shop.lake, [datetime(2026, 1, 26)], 28).empty


def test_before_anything_is_published_no_window_has_closed(lake: Lake) -> None:
    with pytest.raises(NothingPublished, match="no label window has closed"):
        labels.known_until(lake)
