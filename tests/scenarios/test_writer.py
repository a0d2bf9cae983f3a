"""The one writer: four verbs, each one commit, and what it refuses."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from pyspark.sql import DataFrame

from lakehouse.errors import InputError, LeaseHeld, UnknownName
from lakehouse.tables import Lake, catalog, delta, handles
from lakehouse.tables.writer import Within
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


@pytest.mark.soak_on_jvm
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


@pytest.mark.soak_on_jvm
def test_a_column_that_the_table_does_not_have_is_refused(lake: Lake) -> None:
    with lake.lease("test"), pytest.raises(InputError, match="colour"):
        lake.writer.merge(STORES, stores(lake, a=1).selectExpr("*", "'red' AS colour"))


@pytest.mark.soak_on_jvm
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
    table = catalog.table("bronze.sales")
    columns = ", ".join(f"`{column.name}` {column.type}" for column in table.columns)
    known = {"file_digest": "f1", "line_number": 1, "source": "canonical", "reasons": list[str]()}
    row = tuple(known.get(column.name) for column in table.columns)
    frame = lake.spark.createDataFrame([row], columns)
    with lake.lease("test"):
        lake.writer.append("bronze.sales", frame, batch={"file_digest": "f1"})
        lake.writer.append("bronze.sales", frame, batch={"file_digest": "f1"})
    assert lake.read("bronze.sales").count() == 1


def test_both_retention_properties_are_on_every_table(lake: Lake) -> None:
    for name in lake.catalog:
        properties = handles.open_table(lake.path(name)).metadata().configuration
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


@pytest.mark.soak_on_jvm
def test_a_misspelt_table_gets_a_hint(lake: Lake) -> None:
    with pytest.raises(UnknownName, match='Did you mean "gold.stores"'):
        lake.read("gold.store")


DAYS = "gold.daily_sales"


def sold(lake: Lake, **units: int) -> DataFrame:
    """One row per day (`d` and the day of the first months of 2011, counted through) of one product."""
    columns = [column for column in catalog.table(DAYS).columns if column.name != "_run"]
    rows = []
    for name, count in units.items():
        day = date(2011, 1, 1) + timedelta(days=int(name[1:]))
        number = Decimal(count)
        rows.append(("all", "A", day, f"{day:%Y-%m}", number, number, Decimal(0), number, 1, 0))
    return lake.spark.createDataFrame(rows, ", ".join(f"`{column.name}` {column.type}" for column in columns))


def by_day(lake: Lake) -> dict[int, int]:
    rows = lake.read(DAYS, version=lake.head(DAYS)).toArrow().to_pylist()
    return {(row["day"] - date(2011, 1, 1)).days: int(row["units"]) for row in rows}


def days(*numbers: int) -> Within:
    return Within("day", [date(2011, 1, 1) + timedelta(days=number) for number in numbers])


@pytest.mark.parametrize(
    "within",
    [
        pytest.param(days(3, 40, 60), marks=pytest.mark.soak_on_jvm),
        pytest.param(days(*range(70)), marks=pytest.mark.soak_on_jvm),
        Within("month", {"2011-01", "2011-02", "2011-03"}),
    ],
)
def test_a_merge_within_some_days_or_months_does_all_that_it_does_without(lake: Lake, within: Within) -> None:
    with lake.lease("test"):
        lake.writer.merge(DAYS, sold(lake, d3=1, d40=2, d100=3))
        lake.writer.merge(DAYS, sold(lake, d40=20, d60=6), gone=sold(lake, d3=0), within=within)
    assert by_day(lake) == {40: 20, 60: 6, 100: 3}


def test_a_row_that_is_not_where_a_merge_looks_is_refused(lake: Lake) -> None:
    with lake.lease("test"):
        lake.writer.merge(DAYS, sold(lake, d3=1))
        with pytest.raises(InputError, match="1 rows for gold.daily_sales are not where they are said to be"):
            lake.writer.merge(DAYS, sold(lake, d3=2, d40=2), within=Within("month", ["2011-01"]))
        with pytest.raises(InputError, match="units says nothing of the keys"):
            lake.writer.merge(DAYS, sold(lake, d3=2), within=Within("units", ["2"]))
    assert by_day(lake) == {3: 1}


def test_long_lists_become_ranges_of_values_whatever_is_in_them() -> None:
    assert Within("name", ["b", "a'b"]).sql("t.") == "t.name IN ('a''b', 'b')"
    assert Within("name", ["a", *(f"a {number:02d}" for number in range(20))]).sql() == "name BETWEEN 'a' AND 'a 19'"
    assert Within("day", [date(2011, 1, 31), date(2011, 1, 4)]).sql() == "day IN (DATE'2011-01-04', DATE'2011-01-31')"
