"""A version that was opened is not opened again in its session, and is never another one's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lakehouse.tables import Lake, catalog, delta
from tests.shop import STORES, stores


def written(lake: Lake, units: int) -> int:
    with lake.lease("test"):
        return lake.writer.merge(STORES, stores(lake, a=units))


def units(lake: Lake, version: int) -> list[int]:
    return [int(row["units"]) for row in lake.read(STORES, version=version).toArrow().to_pylist()]


def test_a_version_is_opened_once_and_each_of_them_by_its_own_name(lake: Lake) -> None:
    first, second = written(lake, 1), written(lake, 2)
    views = [lake._view(STORES, version) for version in (first, second, first)]
    assert views[0] == views[2] != views[1]
    assert (units(lake, first), units(lake, second)) == ([1], [2])


def test_a_frame_keeps_its_version_when_a_newer_one_is_opened(lake: Lake) -> None:
    frame = lake.read(STORES, version=written(lake, 1))
    units(lake, written(lake, 2))
    assert [int(row["units"]) for row in frame.toArrow().to_pylist()] == [1]


def test_a_table_that_was_made_anew_is_opened_anew(lake: Lake) -> None:
    version = written(lake, 1)
    assert units(lake, version) == [1]
    shutil.rmtree(lake.path(STORES))
    delta.create(lake.path(STORES), catalog.table(STORES), lake.settings.snapshots.retention_days)
    assert written(lake, 5) == version
    assert units(lake, version) == [5]


def test_a_version_whose_entry_is_gone_is_not_read_from_what_was_opened(lake: Lake) -> None:
    version = written(lake, 1)
    assert units(lake, version) == [1]
    next(Path(lake.path(STORES)).glob(f"_delta_log/*{version}.json")).unlink()
    with pytest.raises(Exception, match="version"):
        lake._view(STORES, version)


def test_days_of_the_past_are_opened_in_the_session_that_compares_them(lake: Lake) -> None:
    version = written(lake, 1)
    past = Lake(lake.settings, now=lake)
    assert past._view(STORES, version) == lake._view(STORES, version)


def test_a_session_that_was_closed_takes_its_views_with_it(lake: Lake) -> None:
    version = written(lake, 1)
    assert units(lake, version) == [1]
    lake.close()
    assert units(lake, version) == [1]
