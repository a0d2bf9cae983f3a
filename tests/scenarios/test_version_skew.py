"""A lake that an older version of the library wrote, and one that a newer one did: a column that came, and one that is not known."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.errors import StateError
from lakehouse.tables import Lake, StageLake, catalog, restoring
from lakehouse.tables.catalog import Column
from lakehouse.tables.diff import difference
from tests.shop import STORES, Shop, stores

BRONZE = "bronze.sales"
NEW = Column("opened_by", "string", "who opened it")


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What makes the library the next version, whose tables have one more column each."""
    found = dict(catalog.load())
    for name in (STORES, BRONZE):
        found[name] = replace(found[name], columns=(*found[name].columns[:2], NEW, *found[name].columns[2:]))
    patched = MappingProxyType(found)
    monkeypatch.setattr(catalog, "load", lambda: patched)
    return monkeypatch


def open_stores(shop: Shop, rows: DataFrame, as_of: str) -> None:
    with shop.run(as_of) as run, StageLake(shop.lake.settings, "gold", run.id) as stage:
        stage.writer.merge(STORES, rows)
        stage.publish(after=())
        stage.finish()


def opened(lake: Lake, version: int | None = None) -> list[tuple[object, ...]]:
    found = lake.read(STORES, version=version)
    names = [name for name in ("store", NEW.name) if name in found.columns]
    return sorted(tuple(row.values()) for row in found.select(*names).toArrow().to_pylist())


def test_a_newer_version_gives_the_tables_its_columns_and_older_versions_stay_as_they_were(
    lake: Lake, request: pytest.FixtureRequest
) -> None:
    shop = Shop(lake)
    open_stores(shop, stores(lake, one=1), "2011-01-05")
    before = lake.digest(STORES)
    patch: pytest.MonkeyPatch = request.getfixturevalue("newer")

    open_stores(shop, stores(lake, two=1).withColumn(NEW.name, F.lit("Ada")), "2011-01-12")
    assert opened(lake) == [("one", None), ("two", "Ada")]
    assert opened(lake, before.version) == [("one",)]
    assert lake.digest(STORES, before.version) == before
    found = difference(lake, STORES, before.version, lake.version(STORES))
    assert (found.added, found.changed, found.removed) == (1, 0, 0)
    lake.create_tables()
    assert NEW.name in lake.read(BRONZE).columns

    restoring.restore(lake, 1)
    assert opened(lake) == [("one", None)]
    open_stores(shop, stores(lake, three=1).withColumn(NEW.name, F.lit("Bob")), "2011-01-19")
    assert opened(lake) == [("one", None), ("three", "Bob")]

    patch.undo()
    with pytest.raises(StateError, match=r"has a column opened_by \(.*A newer one wrote to this lake"):
        open_stores(shop, stores(lake, four=1), "2011-01-26")
