"""Maintenance: what nothing needs goes, what is pinned or kept stays as it was, whenever it is broken off."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse.errors import LeaseHeld, StateError
from lakehouse.registry.verifying import verify
from lakehouse.tables import Lake, StageLake, delta, handles, maintenance, opening, pins, runs, snapshots
from lakehouse.tables.digests import Digest
from lakehouse.tables.maintenance import TablePlan
from tests.shop import STORES, Line, Shop, stores


@pytest.fixture
def shop(lake: Lake) -> Shop:
    """A lake that keeps, besides the last of each day, its newest snapshot alone."""
    few = lake.settings.snapshots.model_copy(update={"keep_newest": 1})
    lake.settings = lake.settings.model_copy(update={"snapshots": few})
    found = Shop(lake)
    found.land(Line("A", "2011-01-03T10:00:00"))
    return found


def planned(lake: Lake) -> TablePlan:
    return next(one for one in maintenance.plan(lake) if one.table == STORES)


def rewritten(shop: Shop, *units: int, as_of: str) -> list[int]:
    """Each a run that publishes store a with so many units. Returns the versions."""
    found = []
    for number in units:
        with shop.run(as_of) as run, StageLake(shop.lake.settings, "gold", run.id) as stage:
            stage.writer.merge(STORES, stores(stage, a=number))
            stage.publish(after=())
            stage.finish()
        found.append(shop.lake.version(STORES))
    return found


def units(lake: Lake, version: int) -> list[int]:
    return [int(row["units"]) for row in lake.read(STORES, version=version).toArrow().to_pylist()]


def test_pinned_versions_and_the_last_of_each_day_stay_and_the_others_go(shop: Shop) -> None:
    lake = shop.lake
    first = rewritten(shop, 1, 2, 3, as_of="2011-01-05")
    second = rewritten(shop, 4, 5, as_of="2011-01-12")
    lake.pin(STORES, first[0], "auditor", "a test")
    stay = {first[0]: 1, first[2]: 3, second[1]: 5}
    before = {version: lake.digest(STORES, version, full=True) for version in stay}
    plan = planned(lake)
    assert plan.deletes > 0

    done = maintenance.maintain(lake)

    assert next(one for one in done.tables if one.table == STORES) == plan
    assert {version: lake.digest(STORES, version, full=True) for version in stay} == before
    assert {version: units(lake, version) for version in stay} == {version: [number] for version, number in stay.items()}
    assert units(lake.at("2011-01-05"), first[2]) == [3]
    for version in (first[1], second[0]):
        with pytest.raises(StateError, match="neither pinned nor of a kept snapshot"):
            lake.read(STORES, version=version)
        with pytest.raises(StateError, match="neither pinned nor of a kept snapshot"):
            lake.sql(f"SELECT * FROM gold.stores VERSION AS OF {version}")
    assert (planned(lake).deletes, planned(lake).bytes) == (0, 0)
    # Deleting is a commit too: what is published is the newest version again, so that the next run and the next maintenance begin from it.
    newest = lake.snapshot()
    assert newest is not None
    assert (newest.id, newest.versions[STORES], newest.as_of.day) == (done.snapshot, lake.head(STORES), 12)


@pytest.mark.soak_on_jvm
def test_what_was_let_go_is_not_missed_once_more_is_to_be_kept(shop: Shop) -> None:
    lake = shop.lake
    rewritten(shop, 1, 2, 3, as_of="2011-01-05")
    maintenance.maintain(lake)
    many = lake.settings.snapshots.model_copy(update={"keep_newest": 20})
    lake.settings = lake.settings.model_copy(update={"snapshots": many})
    rewritten(shop, 4, as_of="2011-01-12")

    assert planned(lake).damage == ""
    assert [one for one in verify(lake, everything=True) if not one.whole] == []
    four = lake.version(STORES)
    rewritten(shop, 5, 6, as_of="2011-01-12")
    maintenance.maintain(lake)
    assert units(lake, four) == [4], "what came since is kept as is said now"
    Path(lake.path(STORES), delta.files(lake.path(STORES), four)[0]).unlink()
    assert "are not there" in planned(lake).damage


@pytest.mark.soak_on_jvm
def test_a_plan_changes_nothing(shop: Shop) -> None:
    versions = rewritten(shop, 1, 2, as_of="2011-01-05")
    first, again = maintenance.plan(shop.lake), maintenance.plan(shop.lake)
    assert first == again
    assert units(shop.lake, versions[0]) == [1]


@pytest.mark.soak_on_jvm
def test_a_pin_that_comes_while_files_are_deleted_is_refused_and_not_half_made(shop: Shop) -> None:
    lake = shop.lake
    first = rewritten(shop, 1, 2, 3, as_of="2011-01-05")
    refused = []

    def pin(_: object) -> None:
        other = Lake(lake.settings, endpoint=lake.endpoint)
        with pytest.raises(LeaseHeld, match='"maintenance".*Pin again when it is done') as error:
            other.pin(STORES, first[0], "auditor", "a test")
        refused.append(error)

    maintenance.maintain(lake, announce=pin)

    assert refused
    assert not pins.every(lake.ops)
    lake.pin(STORES, first[2], "auditor", "a test")


@pytest.mark.soak_on_jvm
def test_a_file_that_no_commit_ever_named_is_an_orphan_and_goes(shop: Shop) -> None:
    rewritten(shop, 1, as_of="2011-01-05")
    maintenance.maintain(shop.lake)
    left = Path(shop.lake.path(STORES)) / "part-00000-left-over.snappy.parquet"
    left.write_bytes(b"PAR1 and half a file")
    assert (planned(shop.lake).orphans, planned(shop.lake).bytes) == (1, left.stat().st_size)
    maintenance.maintain(shop.lake)
    assert not left.exists()
    assert units(shop.lake, shop.lake.version(STORES)) == [1]


@pytest.mark.soak_on_jvm
def test_small_files_become_one_and_are_published_with_the_same_rows(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = shop.lake
    for name in "abcde":
        shop.open_store(name, as_of="2011-01-05")
    # Without partitions more of them are left: a merge writes anew each file that has a row of its.
    assert delta.small_files(lake.path(STORES)) == 5 and not planned(lake).compacts
    monkeypatch.setattr(maintenance, "COMPACT_WHOLE_FROM", 5)
    published, before = lake.snapshot(), lake.digest(STORES, full=True)
    assert published is not None
    assert planned(lake).compacts

    done = maintenance.maintain(lake)

    newest = lake.snapshot()
    assert newest is not None
    assert (newest.id, newest.as_of, newest.moment) == (done.snapshot, published.as_of, published.moment)
    assert newest.versions[STORES] == lake.head(STORES) > published.versions[STORES]
    assert delta.size(lake.path(STORES)).files == 1
    assert lake.digest(STORES, full=True).digest == before.digest
    assert not planned(lake).compacts
    shop.open_store("f", as_of="2011-01-05")
    assert lake.read(STORES).count() == 6


@pytest.mark.soak_on_jvm
def test_what_a_run_has_not_published_is_not_published_by_maintenance_and_the_run_goes_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "CHECKPOINT_FROM", 0)
    monkeypatch.setattr(maintenance, "COMPACT_WHOLE_FROM", 4)
    lake = shop.lake
    for name in "abcd":
        shop.open_store(name, as_of="2011-01-05")
    with lake.lease("breaks off") as held:
        run = opening.begin_or_resume(lake, "2011-01-12", held.token)
        with StageLake(lake.settings, "gold", run.id) as stage:
            stage.writer.merge(STORES, stores(stage, unpublished=1))
            stage.finish()
    wrote, landed = lake.head(STORES), lake.head("bronze.sales")
    (Path(lake.path("bronze.sales")) / "part-00000-left-over.snappy.parquet").write_bytes(b"PAR1")
    maintenance.maintain(lake)
    assert lake.read(STORES).count() == 4
    assert lake.head(STORES) == wrote
    # What has landed gets its checkpoint, which is no commit.
    assert lake.head("bronze.sales") == landed
    assert list((Path(lake.path("bronze.sales")) / handles.LOG).glob("*.checkpoint*.parquet"))
    with shop.run("2011-01-12") as again:
        assert again.id == run.id
        with StageLake(lake.settings, "features", again.id) as stage:
            assert stage.read(STORES).count() == 5
            stage.publish(after=())
            stage.finish()
    assert lake.read(STORES).count() == 5


@pytest.mark.soak_on_jvm
def test_a_pin_that_comes_once_maintenance_has_deleted_what_it_names_is_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = shop.lake
    first = rewritten(shop, 1, 2, as_of="2011-01-05")[0]
    digest = lake.digest(STORES, first, full=True)

    def read_slowly(*_: object, **__: object) -> Digest:
        maintenance.maintain(lake)
        return digest

    monkeypatch.setattr(Lake, "digest", read_slowly)
    with pytest.raises(StateError, match=f"{STORES} version {first} can't be read any more"):
        lake.pin(STORES, first, "auditor", "a test")
    assert not pins.every(lake.ops)


@pytest.mark.soak_on_jvm
def test_broken_off_after_compaction_nothing_is_lost_and_it_is_done_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "COMPACT_WHOLE_FROM", 4)
    lake = shop.lake
    for name in "abcd":
        shop.open_store(name, as_of="2011-01-05")
    before = lake.digest(STORES, full=True)
    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "publish", _killed)
        with pytest.raises(KeyboardInterrupt):
            maintenance.maintain(lake)
    assert lake.digest(STORES, full=True) == before
    shop.open_store("e", as_of="2011-01-05")
    maintenance.maintain(lake)
    assert lake.read(STORES).count() == 5
    assert runs.newest(lake.ops)[0].state == "done"


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
