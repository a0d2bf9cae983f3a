"""Going back to a snapshot: the whole lake, bronze too; broken off, gone back on, and refused where it can't be done."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from lakehouse.errors import NothingPublished, StateError
from lakehouse.tables import Lake, delta, handles, maintenance, opening, restoring, runs, snapshots
from lakehouse.tables.restoring import BRONZE
from tests.featured import FeaturedShop, prepared
from tests.shop import STORES, Line, Shop

MONDAY, TUESDAY = "2011-01-03T10:00:00", "2011-01-11T10:00:00"


def two_snapshots(shop: Shop) -> None:
    """Two files and two snapshots: as of the fifth with store one, as of the twelfth with store two beside it."""
    shop.land(Line("A", MONDAY))
    shop.open_store("one", as_of="2011-01-05")
    shop.land(Line("B", TUESDAY), Line("C", TUESDAY))
    shop.open_store("two", as_of="2011-01-12")


@pytest.fixture
def shop(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> FeaturedShop:
    return prepared(lake, tmp_path_factory, two_snapshots)


def opened(lake: Lake) -> list[str]:
    return sorted(lake.read(STORES).select("store").toArrow().column(0).to_pylist())


def landed(lake: Lake) -> list[str]:
    return sorted(lake.read(BRONZE).select("product_code").toArrow().column(0).to_pylist())


def test_every_table_is_what_the_snapshot_published_and_the_later_ones_are_undone(shop: FeaturedShop) -> None:
    first, second = shop.lake.snapshots()
    before = shop.lake.digest(STORES, first.versions[STORES], full=True)

    found = restoring.restore(shop.lake, first.id)

    assert (found.snapshot, found.undone, found.as_of, found.moment) == (first.id, (second.id,), datetime(2011, 1, 5), datetime(2011, 1, 3))
    assert [(file.source, file.lines) for file in found.taken_out] == [("test", 2)]
    assert (opened(shop.lake), landed(shop.lake)) == (["one"], ["A"])
    assert shop.lake.digest(STORES, full=True).digest == before.digest
    assert [one.id for one in shop.lake.snapshots()] == [first.id, found.published]
    assert opened(shop.lake.at("2011-12-31")) == ["one"]


@pytest.mark.soak_on_jvm
def test_what_was_taken_out_may_land_again_and_a_run_goes_on_from_there(shop: Shop) -> None:
    restoring.restore(shop.lake, 1)
    shop.land(Line("B", TUESDAY), moment="2011-01-03")
    shop.open_store("three", as_of="2011-01-19")
    assert (opened(shop.lake), landed(shop.lake)) == (["one", "three"], ["A", "B"])


@pytest.mark.soak_on_jvm
def test_a_restore_can_be_gone_back_on(shop: Shop) -> None:
    restoring.restore(shop.lake, 1)
    found = restoring.restore(shop.lake, 2)
    assert (opened(shop.lake), landed(shop.lake)) == (["one", "two"], ["A", "B", "C"])
    assert (found.as_of, list(found.taken_out)) == (datetime(2011, 1, 12), [])


@pytest.mark.soak_on_jvm
def test_going_back_on_a_restore_brings_back_the_days_between(shop: FeaturedShop) -> None:
    shop.open_store("three", as_of="2011-01-19")
    days = {one.as_of: one.id for one in shop.lake.snapshots()}
    first, second, third = days.values()
    restoring.restore(shop.lake, first)
    found = restoring.restore(shop.lake, third)
    assert (found.undone, found.again) == ((third + 1,), (second, third))
    at = {day: shop.lake.at(day).snapshot() for day in days}
    assert {day: one and one.id for day, one in at.items()} == {**days, datetime(2011, 1, 19): found.published}
    assert [opened(shop.lake.at(day)) for day in days] == [["one"], ["one", "two"], ["one", "three", "two"]]

    found = restoring.restore(shop.lake, second)
    assert (found.undone, found.again) == ((third, third + 2), ())


@pytest.mark.soak_on_jvm
def test_what_a_restore_undid_is_kept_as_long_as_it_can_be_gone_back_on(shop: FeaturedShop) -> None:
    shop.open_store("three", as_of="2011-01-19")
    first, second, third = (one.id for one in shop.lake.snapshots())
    made = restoring.restore(shop.lake, first).published
    kept = {newest: [one.id for one in maintenance.kept_snapshots(shop.lake.ops, newest)] for newest in (0, 1, 2)}
    assert kept == {0: [made], 1: [made], 2: [first, second, third, made]}


@pytest.mark.soak_on_jvm
def test_broken_off_nothing_is_written_before_it_is_finished(shop: FeaturedShop, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "publish", _killed)
        with pytest.raises(KeyboardInterrupt):
            restoring.restore(shop.lake, 1)
    assert opened(shop.lake) == ["one", "two"]
    with pytest.raises(StateError, match="Finish it first: zeromargin restore 1"), shop.run():
        pytest.fail("a run began in a lake that was restored by half")
    found = restoring.restore(shop.lake, 1)
    assert [file.lines for file in found.taken_out] == [2]
    assert (opened(shop.lake), landed(shop.lake)) == (["one"], ["A"])
    shop.open_store("three", as_of="2011-01-19")


@pytest.mark.soak_on_jvm
def test_an_open_run_is_given_up(shop: Shop) -> None:
    with shop.lake.lease("breaks off") as held:
        opening.begin_or_resume(shop.lake, "2011-01-19", held.token)
    restoring.restore(shop.lake, 2)
    assert runs.newest(shop.lake.ops)[0].state == "abandoned"


@pytest.mark.parametrize("how", ["a file is missing", "an entry was emptied"])
@pytest.mark.soak_on_jvm
def test_a_snapshot_that_is_damaged_is_refused_before_anything_is_changed(shop: FeaturedShop, how: str) -> None:
    path, version = shop.lake.path(STORES), shop.lake.snapshots()[0].versions[STORES]
    heads = {name: shop.lake.head(name) for name in shop.lake.catalog}
    if how == "a file is missing":
        for uri in handles.open_table(path, version).file_uris():
            Path(uri.removeprefix("file://")).unlink()
        wrong = f"1 of the 1 files of {STORES} version {version} are not there"
    else:
        (Path(path) / handles.LOG / f"{version:020}.json").write_text("", encoding="utf-8")
        wrong = f"the log of {STORES} was damaged: version {version} consisted of 1 files, and now it names 0"
    with pytest.raises(StateError, match=f"{STORES} version {version} can't be gone back to: {wrong}.*Nothing was changed"):
        restoring.restore(shop.lake, 1)
    assert {name: shop.lake.head(name) for name in shop.lake.catalog} == heads
    shop.land(Line("D", TUESDAY))


@pytest.mark.soak_on_jvm
def test_a_snapshot_from_before_a_file_of_bronze_was_lost_is_gone_back_to(shop: FeaturedShop) -> None:
    path, first = shop.lake.path(BRONZE), shop.lake.snapshots()[0].versions[BRONZE]
    for lost in set(delta.files(path)) - set(delta.files(path, first)):
        (Path(path) / lost).unlink()
    found = restoring.restore(shop.lake, 1)
    assert [(file.source, file.lines) for file in found.taken_out] == [("test", 2)]
    assert landed(shop.lake) == ["A"] and snapshots.unfinished_restore(shop.lake.ops) is None


@pytest.mark.slow
@pytest.mark.soak_on_jvm
def test_a_table_that_can_not_be_opened_is_named_before_a_restore_is_noted(shop: FeaturedShop) -> None:
    newest = Path(shop.lake.path(STORES)) / handles.LOG / f"{shop.lake.head(STORES):020}.json"
    newest.write_text(newest.read_text(encoding="utf-8")[:40], encoding="utf-8")
    with pytest.raises(StateError, match="can't be opened"):
        restoring.restore(shop.lake, 1)
    assert snapshots.unfinished_restore(shop.lake.ops) is None


@pytest.mark.soak_on_jvm
def test_a_snapshot_that_there_is_not_is_refused(shop: Shop) -> None:
    with pytest.raises(NothingPublished, match="no snapshot 9"):
        restoring.restore(shop.lake, 9)


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
