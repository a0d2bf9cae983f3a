"""The one writer: four verbs, each one commit, and what it refuses."""

from __future__ import annotations

from decimal import Decimal

import pytest

from lakehouse.errors import InputError, LeaseHeld, UnknownName
from lakehouse.tables import Lake, catalog, delta
from tests.shop import STORES, stores


def units(lake: Lake, version: int | None = None) -> dict[str, int]:
    table = lake.read(STORES, version=lake.head(STORES) if version is None else version).toArrow()
    return {row["store"]: int(row["units"]) for row in table.to_pylist()}


def test_a_merge_adds_new_keys_updates_changed_ones_and_deletes_gone_ones_in_one_commit(lake: Lake) -> None:
    with lake.lease("test"):
        first = lake.writer.merge(STORES, stores(lake, a=1, b=2, c=3))
        second = lake.writer.merge(STORES, stores(lake, b=20, d=4), gone=stores(lake, a=0))
    assert units(lake) == {"b": 20, "c": 3, "d": 4}
    assert units(lake, first) == {"a": 1, "b": 2, "c": 3}
    assert second == first + 1


def test_a_merge_done_twice_is_a_merge_done_once(lake: Lake) -> None:
    with lake.lease("test"):
        lake.writer.merge(STORES, stores(lake, a=1, b=2))
        before = lake.digest(STORES, version=lake.head(STORES), full=True)
        lake.writer.merge(STORES, stores(lake, a=1, b=2))
    assert lake.digest(STORES, version=lake.head(STORES), full=True).digest == before.digest


def test_a_key_that_occurs_twice_is_refused(lake: Lake) -> None:
    with lake.lease("test"), pytest.raises(InputError, match="more than once"):
        lake.writer.merge(STORES, stores(lake, a=1).unionAll(stores(lake, a=2)))
    assert units(lake) == {}


def test_a_column_that_the_table_does_not_have_is_refused(lake: Lake) -> None:
    with lake.lease("test"), pytest.raises(InputError, match="colour"):
        lake.writer.merge(STORES, stores(lake, a=1).selectExpr("*", "'red' AS colour"))


def test_a_column_of_another_type_is_refused(lake: Lake) -> None:
    with lake.lease("test"), pytest.raises(InputError, match="units is double"):
        lake.writer.merge(
            STORES,
            stores(lake, a=1).selectExpr("store", "first_sold", "last_sold", "products", "cast(units AS double) AS units", "revenue"),
        )


def test_a_null_in_a_key_is_refused_by_the_table_itself(lake: Lake) -> None:
    frame = stores(lake, a=1).selectExpr("cast(null AS string) AS store", "first_sold", "last_sold", "products", "units", "revenue")
    with lake.lease("test"), pytest.raises(Exception, match="(?i)constraint"):
        lake.writer.merge(STORES, frame)
    assert units(lake) == {}


def test_a_replacement_outside_its_predicate_is_refused_and_writes_nothing(lake: Lake) -> None:
    with lake.lease("test"):
        lake.writer.merge(STORES, stores(lake, a=1, b=2))
        with pytest.raises(InputError, match="outside"):
            lake.writer.replace(STORES, stores(lake, b=5), where="store = 'a'")
        assert units(lake) == {"a": 1, "b": 2}
        lake.writer.replace(STORES, stores(lake, a=5), where="store = 'a'")
    assert units(lake) == {"a": 5, "b": 2}


def test_deleting_keys_leaves_no_key_in_the_log(lake: Lake) -> None:
    with lake.lease("test"):
        lake.writer.merge(STORES, stores(lake, a=1, b=2))
        lake.writer.delete(STORES, stores(lake, a=0))
    assert units(lake) == {"b": 2}


def test_nothing_is_written_without_the_lease(lake: Lake) -> None:
    with pytest.raises(LeaseHeld, match="needs the lease"):
        lake.writer.merge(STORES, stores(lake, a=1))


def test_a_batch_landed_twice_is_there_once(lake: Lake) -> None:
    table = catalog.table("bronze.answers")
    columns = ", ".join(f"`{column.name}` {column.type}" for column in table.columns)
    known = {"request_id": "r1", "segment": "s1", "model": "demand", "parameters": "{}"}
    row = tuple(known.get(column.name) for column in table.columns)
    frame = lake.spark.createDataFrame([row], columns)
    with lake.lease("test"):
        lake.writer.append("bronze.answers", frame, batch={"segment": "s1"})
        lake.writer.append("bronze.answers", frame, batch={"segment": "s1"})
    assert lake.read("bronze.answers").count() == 1


def test_both_retention_properties_are_on_every_table(lake: Lake) -> None:
    for name in lake.catalog:
        properties = delta.open_table(lake.path(name)).metadata().configuration
        assert properties["delta.deletedFileRetentionDuration"] == "interval 3650 days", name
        assert properties["delta.logRetentionDuration"] == "interval 3650 days", name
        assert properties["delta.enableDeletionVectors"] == "false", name


def test_compaction_changes_no_digest(lake: Lake) -> None:
    with lake.lease("test"):
        for number in range(3):
            lake.writer.merge(STORES, stores(lake, **{f"s{number}": number}))
    before = lake.digest(STORES, version=lake.head(STORES), full=True)
    after = delta.compact(lake.path(STORES))
    assert after == before.version + 1
    assert lake.digest(STORES, version=after, full=True).digest == before.digest


def test_an_older_version_reads_as_it_was_by_read_and_by_sql(lake: Lake) -> None:
    with lake.lease("test"):
        first = lake.writer.merge(STORES, stores(lake, a=1))
        lake.writer.merge(STORES, stores(lake, a=2))
    assert units(lake, first) == {"a": 1}
    found = lake.sql(f"SELECT s.units FROM gold.stores VERSION AS OF {first} s").toArrow().column("units").to_pylist()
    assert found == [Decimal(1)]


def test_a_misspelt_table_gets_a_hint(lake: Lake) -> None:
    with pytest.raises(UnknownName, match='Did you mean "gold.stores"'):
        lake.read("gold.store")
