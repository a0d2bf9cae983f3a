"""Snapshots: the only publication; runs that begin, break off, and are resumed."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from lakehouse import settings as settings_module
from lakehouse.errors import InputError, LeaseHeld, NothingPublished, StateError
from lakehouse.tables import Lake, StageLake, opening, runs
from tests.conftest import SECRET
from tests.shop import STORES, Line, Shop, stores

MONDAY, TUESDAY, WEDNESDAY = "2011-01-03T10:00:00", "2011-01-04T10:00:00", "2011-01-05T10:00:00"


@pytest.fixture
def shop(lake: Lake) -> Shop:
    return Shop(lake)


def opened(lake: Lake) -> list[str]:
    """The stores that there are."""
    return sorted(lake.read(STORES).select("store").toArrow().column(0).to_pylist())


def write(stage: StageLake, name: str) -> None:
    stage.writer.merge(STORES, stores(stage, **{name: 1}))


@pytest.mark.soak_on_jvm
def test_before_the_first_snapshot_a_table_says_that_nothing_is_published(shop: Shop) -> None:
    shop.land(Line("A", MONDAY))
    with pytest.raises(NothingPublished, match="nothing published yet"):
        shop.lake.read(STORES)
    assert shop.lake.read("bronze.sales").count() == 1


@pytest.mark.soak_on_jvm
def test_a_run_in_an_empty_lake_says_what_to_load(shop: Shop) -> None:
    with pytest.raises(StateError, match="zeromargin load"), shop.run():
        pytest.fail("a run began without sales")


def test_a_run_that_breaks_off_publishes_nothing_and_the_next_begins_from_the_snapshot(shop: Shop) -> None:
    shop.land(Line("A", MONDAY))
    shop.open_store("one")
    before = shop.lake.digest(STORES, full=True)
    shop.land(Line("B", TUESDAY), moment="2011-01-03")
    with shop.lake.lease("breaks off") as held:
        broken = opening.begin_or_resume(shop.lake, None, held.token)
        with StageLake(shop.lake.settings, "gold", broken.id) as stage:
            write(stage, "broken")
    assert opened(shop.lake) == ["one"]
    assert shop.lake.digest(STORES, full=True).digest == before.digest
    shop.land(Line("C", TUESDAY), moment="2011-01-03")
    shop.open_store("two")
    assert opened(shop.lake) == ["one", "two"]


@pytest.mark.soak_on_jvm
def test_an_unfinished_run_is_resumed_when_nothing_has_changed_and_its_stage_starts_clean(shop: Shop) -> None:
    shop.land(Line("A", MONDAY))
    with shop.lake.lease("breaks off") as held:
        broken = opening.begin_or_resume(shop.lake, None, held.token)
        with StageLake(shop.lake.settings, "gold", broken.id) as stage:
            write(stage, "one")
    with shop.run() as run:
        assert run.id == broken.id
        with StageLake(shop.lake.settings, "gold", run.id) as stage:
            assert stage.read(STORES).count() == 0
            write(stage, "again")
            stage.publish(after=())
            stage.finish()
    assert opened(shop.lake) == ["again"]


@pytest.mark.soak_on_jvm
def test_a_landed_file_makes_a_new_run_of_an_unfinished_one(shop: Shop) -> None:
    shop.land(Line("A", MONDAY))
    with shop.lake.lease("breaks off") as held:
        broken = opening.begin_or_resume(shop.lake, None, held.token)
    shop.land(Line("B", MONDAY))
    with shop.run() as run:
        assert run.id != broken.id
    assert [found.state for found in runs.newest(shop.lake.ops, 2)] == ["done", "abandoned"]


@pytest.mark.soak_on_jvm
def test_stages_by_name_go_on_with_the_open_run_only_while_nothing_has_landed_that_it_does_not_read(shop: Shop) -> None:
    shop.land(Line("A", MONDAY))
    with shop.lake.lease("first") as held:
        first = opening.begin_or_resume(shop.lake, "2011-01-05", held.token)
    with shop.lake.lease("by name") as held:
        assert opening.begin_or_resume(shop.lake, None, held.token, stages=("gold",)).id == first.id
    shop.land(Line("B", TUESDAY))
    with shop.lake.lease("by name") as held:
        assert opening.begin_or_resume(shop.lake, None, held.token, stages=("gold",)).id != first.id


@pytest.mark.soak_on_jvm
def test_what_lands_after_a_run_has_published_is_the_next_runs_and_stages_by_name_go_on(shop: Shop) -> None:
    shop.land(Line("A", MONDAY))
    with shop.lake.lease("first") as held:
        first = opening.begin_or_resume(shop.lake, "2011-01-05", held.token)
        with StageLake(shop.lake.settings, "gold", first.id) as stage:
            write(stage, "one")
            stage.publish(after=())
            stage.finish()
    shop.land(Line("B", TUESDAY))
    with shop.lake.lease("by name") as held:
        assert opening.begin_or_resume(shop.lake, None, held.token, stages=("features", "demand")).id == first.id
        assert opening.begin_or_resume(shop.lake, None, held.token, stages=("silver", "gold")).id != first.id


@pytest.mark.soak_on_jvm
@pytest.mark.parametrize("change", [{"features": {"every": "day"}}, {"models": {"seed": 8}}, {"vault": {"keys": "random"}}])
def test_other_settings_begin_a_new_run_by_name_too(shop: Shop, change: dict[str, object]) -> None:
    shop.land(Line("A", MONDAY))
    with shop.lake.lease("first") as held:
        first = opening.begin_or_resume(shop.lake, "2011-01-05", held.token)
    told = {"engine": shop.lake.settings.engine, "vault": {"keys": "derived", "secret": SECRET}} | change
    other = Lake(settings_module.load(shop.lake.home, "test", told, environ={}), endpoint=shop.lake.endpoint)
    with other, other.lease("by name") as held:
        assert opening.begin_or_resume(other, None, held.token, stages=("gold",)).id != first.id


@pytest.mark.soak_on_jvm
def test_what_the_gate_has_not_judged_in_this_run_is_not_published(shop: Shop) -> None:
    shop.land(Line("A", MONDAY))
    with shop.run("2011-01-05") as run:
        for name in ("silver", "gold", "features"):
            with StageLake(shop.lake.settings, name, run.id) as stage:
                if name == "features":
                    with pytest.raises(StateError, match="has not done quality"):
                        stage.publish()
                stage.finish()
    assert shop.lake.snapshot() is None


@pytest.mark.soak_on_jvm
def test_a_stage_that_runs_again_after_it_was_published_is_still_known_to_have_written_what_was(shop: Shop) -> None:
    shop.land(Line("A", MONDAY))
    with shop.run("2011-01-05") as run:
        for _ in range(2):
            with StageLake(shop.lake.settings, "gold", run.id) as stage:
                write(stage, "one")
                stage.publish(after=())
                stage.finish()
    first = shop.lake.snapshots()[0].versions[STORES]
    version = next(one for one in shop.lake.history(STORES) if one.version == first)
    assert (version.run, version.stage) == (run.id, "gold")


@pytest.mark.soak_on_jvm
def test_a_lost_lease_can_not_publish(shop: Shop) -> None:
    shop.land(Line("A", MONDAY))
    with shop.lake.lease("first") as held:
        run = opening.begin_or_resume(shop.lake, "2011-01-05", held.token)
        stage = StageLake(shop.lake.settings, "gold", run.id)
    with shop.lake.lease("another"), pytest.raises(LeaseHeld, match="was lost"):
        stage.publish(after=())
    stage.close()
    assert shop.lake.snapshot() is None


def test_a_kernel_left_over_from_before_a_takeover_can_not_commit(shop: Shop) -> None:
    shop.land(Line("A", MONDAY))
    with shop.lake.lease("first") as held:
        run = opening.begin_or_resume(shop.lake, None, held.token)
        left_over = StageLake(shop.lake.settings, "gold", run.id)
    with shop.run() as resumed:
        assert resumed.id == run.id
        with pytest.raises(LeaseHeld):
            write(left_over, "left over")
    left_over.close()


def test_the_lake_at_a_day_is_the_last_publication_up_to_it(shop: Shop) -> None:
    shop.land(Line("A", MONDAY))
    shop.open_store("one", as_of="2011-01-05")
    shop.open_store("two", as_of="2011-01-12")
    assert opened(shop.lake.at("2011-01-11")) == ["one"]
    assert opened(shop.lake.at("2011-01-12")) == ["one", "two"]
    assert opened(shop.lake.at(date(2011, 1, 12))) == ["one", "two"]
    with pytest.raises(NothingPublished, match="first snapshot is of 2011-01-05"):
        shop.lake.at("2011-01-04")


@pytest.mark.soak_on_jvm
def test_a_day_of_the_past_and_today_are_compared_in_one_query_and_closing_the_one_leaves_the_other(shop: Shop) -> None:
    shop.land(Line("A", MONDAY))
    shop.open_store("one", as_of="2011-01-05")
    shop.open_store("two", as_of="2011-01-12")
    today = Lake(shop.lake.settings)
    with today.at("2011-01-05") as then:
        came = today.read(STORES).join(then.read(STORES), "store", "left_anti")
        assert [row.store for row in came.collect()] == ["two"]
    assert opened(today) == ["one", "two"]
    today.close()


@pytest.mark.soak_on_jvm
def test_left_out_the_day_of_a_run_is_the_one_after_the_newest_line_and_never_goes_back(shop: Shop) -> None:
    shop.land(Line("A", MONDAY), Line("B", WEDNESDAY), Line("X", "2031-01-01T00:00:00"), Line("Y", "2011-01-20T00:00:00", reasons=("bad",)))
    with shop.run() as run:
        assert (run.as_of, run.moment) == (datetime(2011, 1, 6), datetime(2011, 1, 3))
        with StageLake(shop.lake.settings, "gold", run.id) as stage:
            write(stage, "one")
            stage.publish(after=())
            stage.finish()
    with shop.run(as_of="2011-02-01"), StageLake(shop.lake.settings, "gold", runs.newest(shop.lake.ops)[0].id) as stage:
        stage.publish(after=())
        stage.finish()
    with shop.run() as run:
        assert run.as_of == datetime(2011, 2, 1)


@pytest.mark.soak_on_jvm
def test_a_day_before_the_newest_snapshots_moment_is_a_back_test_that_writes_no_table(shop: Shop) -> None:
    shop.land(Line("A", MONDAY), Line("B", WEDNESDAY))
    shop.open_store("one", as_of="2011-01-20")
    with shop.run(as_of="2011-01-04") as run:
        assert run.back_test
        with StageLake(shop.lake.settings, "gold", run.id) as stage:
            with pytest.raises(StateError, match="looks back"):
                stage.writer.delete(STORES, stage.read(STORES).select("store"))
            assert stage.publish(after=()) is None
    assert opened(shop.lake) == ["one"]


@pytest.mark.soak_on_jvm
def test_another_grid_than_the_first_snapshots_is_refused(shop: Shop) -> None:
    shop.land(Line("A", MONDAY))
    shop.open_store("one")
    daily = settings_module.load(home=shop.lake.home, profile="test", overrides={"features": {"every": "day"}})
    other = Shop(Lake(daily, endpoint=shop.lake.endpoint))
    with pytest.raises(InputError, match="first snapshot fixed a grid of every week"), other.run():
        pytest.fail("a run began on another grid")
    other.lake.close()


def test_history_names_the_run_and_the_stage_of_each_version(shop: Shop) -> None:
    shop.land(Line("A", MONDAY))
    shop.open_store("one")
    newest = shop.lake.history(STORES)[0]
    assert (newest.run, newest.stage, newest.published) == (runs.newest(shop.lake.ops)[0].id, "gold", True)


def test_bare_names_in_sql_read_the_snapshot_not_the_head(shop: Shop) -> None:
    shop.land(Line("A", MONDAY))
    shop.open_store("one")
    with shop.run() as run, StageLake(shop.lake.settings, "gold", run.id) as stage:
        write(stage, "two")
        stage.finish()
    assert shop.lake.sql("SELECT count(*) AS n FROM gold.stores").toArrow().column("n")[0].as_py() == 1
