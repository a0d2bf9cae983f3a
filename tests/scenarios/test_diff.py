"""Two versions of a table side by side."""

from __future__ import annotations

from decimal import Decimal

import pytest

from lakehouse.errors import StateError, UnknownName
from lakehouse.tables import Lake
from lakehouse.tables.diff import Row, difference
from tests.shop import STORES, stores


def test_rows_that_came_changed_and_went_are_counted_and_shown_by_key(lake: Lake) -> None:
    with lake.lease("test"):
        before = lake.writer.merge(STORES, stores(lake, stays=1, sells_more=2, closes=3))
        lake.writer.merge(STORES, stores(lake, sells_more=5, opens=4))
        after = lake.writer.delete(STORES, stores(lake, closes=3).select("store"))
    found = difference(lake, STORES, before, after)
    assert (found.from_rows, found.to_rows, found.added, found.changed, found.removed) == (3, 3, 1, 1, 1)
    kinds = {row.kind: row for row in found.sample}
    assert kinds["changed"] == Row(
        "changed",
        {"store": "sells_more"},
        {"units": Decimal(2), "revenue": Decimal(2)},
        {"units": Decimal(5), "revenue": Decimal(5)},
    )
    assert (kinds["added"].key, kinds["added"].before, kinds["added"].after["units"]) == ({"store": "opens"}, {}, Decimal(4))
    assert (kinds["removed"].key, kinds["removed"].before["units"], kinds["removed"].after) == ({"store": "closes"}, Decimal(3), {})
    assert str(found).endswith("1 added, 1 changed, 1 removed")

    backwards = difference(lake, STORES, after, before, sample=0)
    assert (backwards.added, backwards.changed, backwards.removed, list(backwards.sample)) == (1, 1, 1, [])
    same = difference(lake, STORES, after, after)
    assert (same.added, same.changed, same.removed, list(same.sample)) == (0, 0, 0, [])


def test_the_sample_is_of_the_least_keys_and_no_longer_than_asked(lake: Lake) -> None:
    with lake.lease("test"):
        after = lake.writer.merge(STORES, stores(lake, **dict.fromkeys("edcba", 1)))
    found = difference(lake, STORES, 1, after, sample=2)
    assert (found.added, [row.key["store"] for row in found.sample]) == (5, ["a", "b"])


def test_a_table_or_a_version_that_there_is_not_is_said(lake: Lake) -> None:
    with pytest.raises(UnknownName, match="gold.stores"):
        difference(lake, "gold.store", 0, 1)
    with pytest.raises(StateError, match="no version 7"):
        difference(lake, STORES, 0, 7)
