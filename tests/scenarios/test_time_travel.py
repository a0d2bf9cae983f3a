"""Versions by number and by time, pins, and what maintenance may take away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import DataFrame

from lakehouse.errors import CommitLost, InputError, StateError
from lakehouse.tables import Lake, delta, handles, pins
from tests.shop import STORES, stores


@pytest.fixture
def versions(lake: Lake) -> list[int]:
    """Of three commits, each of which changes the units of store a."""
    with lake.lease("test"):
        return [lake.writer.merge(STORES, stores(lake, a=number)) for number in (1, 2, 3)]


def units(frame: DataFrame) -> list[int]:
    return [int(row["units"]) for row in frame.toArrow().to_pylist()]


def written(lake: Lake, version: int) -> datetime:
    return next(commit.written_at for commit in delta.history(lake.path(STORES)) if commit.version == version)


def test_a_time_reads_the_version_that_was_the_newest_then_by_read_and_by_sql(lake: Lake, versions: list[int]) -> None:
    time = written(lake, versions[1])
    assert units(lake.read(STORES, timestamp=time)) == [2]
    assert units(lake.sql(f"SELECT units FROM gold.stores TIMESTAMP AS OF '{time:%Y-%m-%d %H:%M:%S.%f}'")) == [2]
    assert units(lake.read(STORES, timestamp=datetime.now(UTC) + timedelta(days=1))) == [3]
    shown_last = f"{written(lake, versions[2]):%Y-%m-%d %H:%M:%S}"  # as histories show it, which is given back as it was read
    assert units(lake.read(STORES, timestamp=shown_last)) == [3]


@pytest.mark.soak_on_jvm
@pytest.mark.parametrize("version", ["1", 1.0, True])
def test_a_version_that_is_no_whole_number_is_refused(lake: Lake, versions: list[int], version: object) -> None:
    for asks in (lake.read, lake.digest):
        with pytest.raises(InputError, match=r"is no version of gold.stores. Expected a whole number"):
            asks(STORES, version=version)


def test_a_view_of_ones_own_is_joined_with_tables_in_sql(lake: Lake, versions: list[int]) -> None:
    lake.spark.sql("SELECT 'a' AS store, 5 AS extra").createOrReplaceTempView("mine")
    text = "SELECT /*+ BROADCAST(mine) */ gold.stores.units + mine.extra AS units FROM gold.stores VERSION AS OF {} JOIN mine USING (store)"
    assert units(lake.sql(text.format(versions[1]))) == [7]


@pytest.mark.soak_on_jvm
def test_a_time_before_the_first_version_says_when_that_was(lake: Lake, versions: list[int]) -> None:
    with pytest.raises(StateError, match="was first written at"):
        lake.read(STORES, timestamp="2001-01-01")


@pytest.mark.soak_on_jvm
def test_a_version_that_is_not_there_is_said_in_sql_too(lake: Lake, versions: list[int]) -> None:
    with pytest.raises(StateError, match=f"no version 99. Versions: 0 to {versions[-1]}"):
        lake.sql("SELECT units FROM gold.stores VERSION AS OF 99")


@pytest.mark.soak_on_jvm
def test_two_ways_to_say_which_version_are_one_too_many(lake: Lake, versions: list[int]) -> None:
    with pytest.raises(InputError, match="give one of"):
        lake.read(STORES, version=versions[0], at="2011-01-05")


def test_vacuum_leaves_every_pinned_version_as_it_was_and_takes_the_others(lake: Lake, versions: list[int]) -> None:
    first, second, _ = versions
    lake.pin(STORES, first, "audit", "a question of the tax office")
    before = lake.digest(STORES, version=first, full=True)
    (Path(lake.path(STORES)) / "orphan.parquet").write_bytes(b"left by a killed process")

    gone = delta.vacuum(lake.path(STORES), [pin.version for pin in pins.every(lake.ops) if pin.table == STORES])

    assert any("orphan" in name for name in gone)
    assert lake.digest(STORES, version=first, full=True) == before
    with pytest.raises(StateError, match=f"version {second} can't be read any more"):
        lake.read(STORES, version=second)


@pytest.mark.soak_on_jvm
def test_a_pin_is_kept_once_and_names_its_owner_and_reason(lake: Lake, versions: list[int]) -> None:
    for _ in range(2):
        lake.pin(STORES, versions[0], "model demand", "trained on it")
    found = [(pin.table, pin.version, pin.owner, pin.reason) for pin in pins.every(lake.ops)]
    assert found == [(STORES, versions[0], "model demand", "trained on it")]
    assert [version.version for version in lake.history(STORES) if version.pinned] == [versions[0]]


@pytest.mark.soak_on_jvm
def test_a_version_that_is_not_there_can_not_be_pinned(lake: Lake, versions: list[int]) -> None:
    with pytest.raises(StateError, match="no version 99"):
        lake.pin(STORES, 99, "audit", "a slip")


def test_a_commit_of_somebody_else_in_the_middle_of_ours_is_found_out(lake: Lake, versions: list[int]) -> None:
    def write_after_another() -> None:
        handles.open_table(lake.path(STORES)).alter.set_table_properties({"delta.checkpointInterval": "21"})
        lake.read(STORES, version=versions[0]).write.format("delta").mode("append").save(lake.path(STORES))

    with lake.lease("test"), pytest.raises(StateError, match="somebody else writes without the lease"):
        lake.writer._commit(STORES, write_after_another)


@pytest.mark.soak_on_jvm
def test_a_commit_that_is_lost_each_time_may_be_tried_again_later(lake: Lake, versions: list[int]) -> None:
    def lost() -> None:
        raise RuntimeError("Failed to commit transaction")

    with lake.lease("test"), pytest.raises(CommitLost, match="Run again"):
        lake.writer._commit(STORES, lost)
