"""A lake that an older version of the library wrote, and one that a newer one did: a column that came, and one that is not known."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from sqlalchemy import delete

from lakehouse.errors import StateError
from lakehouse.registry.table_audit import audit_table
from lakehouse.registry.verifying import verify
from lakehouse.tables import Lake, StageLake, audit, catalog, ops, pins, restoring
from lakehouse.tables.catalog import Column
from lakehouse.tables.diff import difference
from serving.publication import Publications
from tests.shop import STORES, Shop, stores

BRONZE = "bronze.sales"
RENAMED = "gold.renamed"
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


@pytest.mark.soak_on_jvm
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


@pytest.mark.soak_on_jvm
def test_a_lake_that_a_newer_version_wrote_is_read_as_far_as_it_is_known_and_the_rest_is_named(
    lake: Lake, request: pytest.FixtureRequest
) -> None:
    shop, day = Shop(lake), "2011-01-05"
    patch: pytest.MonkeyPatch = request.getfixturevalue("newer")
    theirs = MappingProxyType(dict(catalog.load()) | {RENAMED: replace(catalog.load()[STORES], name=RENAMED)})
    patch.setattr(catalog, "load", lambda: theirs)
    lake.create_tables()
    open_stores(shop, stores(lake, one=1).withColumn(NEW.name, F.lit("Ada")), day)
    lake.pin(RENAMED, lake.version(RENAMED), "a newer one", "to be kept")
    assert [one for one in verify(lake) if not one.whole] == []
    kept = pins.recorded(lake.ops)

    patch.undo()
    with lake.ops.begin() as connection:
        connection.execute(delete(ops.digests).where(ops.digests.c.name == STORES))
    assert opened(lake) == [("one", "Ada")]
    assert RENAMED not in [state.name for state in lake.tables()]
    then = lake.at(day)
    assert STORES in {one.table for one in audit.held(then)} and audit.changes(then, lake) == []
    for name in (STORES, "gold.products"):
        found = audit_table(lake, name, day)
        assert found.held is not None and found.held.table == name and found.changed_since == []
    broken = {one.name: one.found for one in verify(lake) if not one.whole}
    assert set(broken) == {STORES, BRONZE, RENAMED}
    assert all("does not know" in said and "newer one" in said for said in broken.values()), broken
    # Nothing is kept that the newer version would have to take for damage.
    assert pins.recorded(lake.ops) == {key: digest for key, digest in kept.items() if key[0] != STORES}
    published = Publications(lake.settings).newest()
    assert published is not None and published.snapshot == 1
