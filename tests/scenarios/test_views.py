"""A version that a stage has opened is not opened again, and is never another one's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pyspark.sql import DataFrame

from lakehouse.tables import Lake, StageLake, catalog, delta, handles, views
from lakehouse.tables.views import Views
from tests.shop import STORES, Line, Shop, stores


def written(lake: Lake, units: int) -> int:
    with lake.lease("test"):
        return lake.writer.merge(STORES, stores(lake, a=units))


class Counted:
    """The views of a lake, and which versions they opened."""

    def __init__(self, lake: Lake) -> None:
        self.lake, self.opened = lake, list[int]()
        self.views = Views(self._open, lake.path)

    def _open(self, name: str, version: int) -> DataFrame:
        self.opened.append(version)
        return self.lake._opened(name, version)

    def units(self, version: int) -> list[int]:
        view = self.views.of(STORES, version)
        assert view is not None
        return [int(row["units"]) for row in self.lake.spark.table(view).toArrow().to_pylist()]


@pytest.mark.soak_on_jvm
def test_a_version_is_opened_once(lake: Lake) -> None:
    first, second, seen = written(lake, 1), written(lake, 2), Counted(lake)
    assert [seen.units(version) for version in (first, second, first)] == [[1], [2], [1]]
    assert seen.opened == [first, second]


@pytest.mark.soak_on_jvm
def test_a_table_that_was_made_anew_is_opened_anew(lake: Lake) -> None:
    version, seen = written(lake, 1), Counted(lake)
    assert seen.units(version) == [1]
    shutil.rmtree(lake.path(STORES))
    delta.create(lake.path(STORES), catalog.table(STORES), lake.settings.snapshots.retention_days)
    assert written(lake, 5) == version
    assert seen.units(version) == [5]


@pytest.mark.soak_on_jvm
def test_a_version_whose_entry_is_gone_has_no_view(lake: Lake) -> None:
    version, seen = written(lake, 1), Counted(lake)
    assert seen.units(version) == [1]
    (Path(lake.path(STORES)) / handles.LOG / f"{version:020}.json").unlink()
    assert seen.views.of(STORES, version) is None


@pytest.mark.soak_on_jvm
def test_after_a_while_a_view_is_made_again_by_the_same_name_since_the_session_may_have_lost_it(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, seen = written(lake, 1), Counted(lake)
    view = seen.views.of(STORES, version)
    assert view is not None
    frame = lake.spark.table(view)
    lake.spark.catalog.dropTempView(view)
    monkeypatch.setattr(views, "LASTS_S", -1)
    assert seen.views.of(STORES, version) == view
    assert frame.count() == 1


def test_a_stage_reads_through_its_views_what_it_wrote_itself_too(lake: Lake) -> None:
    shop = Shop(lake)
    shop.land(Line("A", "2011-01-03T10:00:00"))
    with shop.run() as run, StageLake(shop.lake.settings, "gold", run.id) as stage:
        for number in (1, 2):
            stage.writer.merge(STORES, stores(stage, a=number))
            for _ in range(2):
                assert [int(row["units"]) for row in stage.read(STORES).toArrow().to_pylist()] == [number]
        assert len(stage._views._opened) == 2
        stage.finish()
