"""What a run does with its stages: order, resumption, failures, retries. The notebooks are small; everything else is the real thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs import pipeline
from jobs.pipeline import stage_names
from jobs.progress import Event
from jobs.runner import RunReport
from jobs.runner import run as run_stages
from lakehouse.errors import CommitLost, GateFailed, LeaseHeld, StageFailed, UnknownName
from lakehouse.settings import Settings
from lakehouse.tables import Lake, runs
from tests.pages import page
from tests.shop import Line, Shop

BEGIN = 'import lakehouse\nlake = lakehouse.stage("{stage}", run=run, as_of=as_of)'
FINISH = 'lake.finish(stage="{stage}")'


class Pages:
    """The notebooks of all stages, each doing nothing but begin and finish until a test says otherwise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for stage in stage_names():
            self.does(stage, "pass")

    def does(self, stage: str, code: str) -> None:
        page(self.folder / f"{stage}.ipynb", BEGIN.format(stage=stage), code, FINISH.format(stage=stage))

    def fails(self, stage: str, error: str) -> None:
        self.does(stage, f"from lakehouse import errors\nraise errors.{error}")

    def fails_once(self, stage: str, error: str) -> None:
        flag = self.folder / "failed"
        self.does(
            stage,
            f"import pathlib\nfrom lakehouse import errors\nflag = pathlib.Path({str(flag)!r})\nfirst = not flag.exists()\nflag.touch()\n"
            f"if first:\n    raise errors.{error}",
        )


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pages:
    monkeypatch.setattr(pipeline, "NOTEBOOKS", tmp_path / "pages")
    return Pages(tmp_path / "pages")


@pytest.fixture
def shop(lake: Lake, pages: Pages) -> Shop:
    """A lake in which one line has landed."""
    found = Shop(lake)
    found.land(Line("A", "2011-01-04T10:00:00"))
    return found


def ran(report: RunReport) -> list[str]:
    return [stage.name for stage in report.stages if not stage.skipped]


def test_every_stage_runs_once_in_the_pipelines_order_and_the_run_is_done(shop: Shop, settings: Settings) -> None:
    report = run_stages(settings)

    assert ran(report) == list(stage_names())
    assert report.stages[0].result == {"stage": "silver"}
    assert all(stage.notebook.is_file() for stage in report.stages)
    assert runs.newest(shop.lake.ops)[0].state == "done"


def test_a_run_without_a_day_is_told_the_day_after_the_newest_sale(shop: Shop, settings: Settings) -> None:
    assert run_stages(settings).as_of.isoformat() == "2011-01-05T00:00:00"


def test_a_run_is_told_the_day_that_was_asked_for(shop: Shop, settings: Settings) -> None:
    report = run_stages(settings, as_of="2011-02-01")

    assert (report.as_of.isoformat(), report.moment.isoformat()) == ("2011-02-01T00:00:00", "2011-01-31T00:00:00")


def test_after_a_run_that_is_done_the_next_is_a_new_one(shop: Shop, settings: Settings) -> None:
    first, second = run_stages(settings), run_stages(settings)

    assert first.run != second.run
    assert ran(second) == list(stage_names())


def test_a_stage_that_fails_names_the_cell_the_message_and_the_executed_notebook(shop: Shop, pages: Pages, settings: Settings) -> None:
    pages.does("gold", "int('seven')")

    with pytest.raises(StageFailed) as failed:
        run_stages(settings)

    message = str(failed.value)
    notebook = next((settings.home / "runs").glob("*/gold.ipynb"))
    assert "stage gold failed in cell" in message
    assert "(int('seven'))" in message
    assert "invalid literal for int()" in message
    assert str(notebook) in message
    assert shop.lake.snapshot() is None


def test_running_again_goes_on_with_the_stage_that_failed(shop: Shop, pages: Pages, settings: Settings) -> None:
    pages.does("gold", "int('seven')")
    with pytest.raises(StageFailed):
        run_stages(settings)
    pages.does("gold", "pass")

    report = run_stages(settings)

    assert [stage.name for stage in report.stages if stage.skipped] == ["silver"]
    assert ran(report) == list(stage_names())[1:]


def test_what_landed_in_between_begins_a_new_run(shop: Shop, pages: Pages, settings: Settings) -> None:
    pages.does("gold", "int('seven')")
    with pytest.raises(StageFailed):
        run_stages(settings)
    pages.does("gold", "pass")
    shop.land(Line("B", "2011-01-05T10:00:00"))

    assert ran(run_stages(settings)) == list(stage_names())


def test_stages_by_name_leave_what_landed_meanwhile_to_the_next_run_and_say_so(shop: Shop, pages: Pages, settings: Settings) -> None:
    pages.does("features", "import lakehouse\nlake = lakehouse.stage('features', run=run)\nlake.publish(after=())\nlake.finish()")
    assert run_stages(settings, ["features"]).waiting == 0
    shop.land(Line("B", "2011-01-04T10:00:00"))

    assert run_stages(settings, ["features"]).waiting == 1
    assert run_stages(settings).waiting == 0


def test_a_stage_that_fails_after_the_run_has_published_says_that_this_stands(shop: Shop, pages: Pages, settings: Settings) -> None:
    pages.does(
        "predictions",
        "import lakehouse\nlake = lakehouse.stage('predictions', run=run)\nlake.publish(after=())\n"
        "try:\n    int('one')\nexcept ValueError as error:\n    raise RuntimeError('no plot') from error",
    )

    with pytest.raises(StageFailed) as failed:
        run_stages(settings)

    assert "Snapshot 1, which this run has published, stands. Running again goes on" in str(failed.value)
    assert "(raise RuntimeError('no plot') from error): no plot" in str(failed.value)


def test_a_gate_that_fails_stops_the_run_as_a_gate(shop: Shop, pages: Pages, settings: Settings) -> None:
    pages.fails("quality", "GateFailed('rule key_unique: 3 rows')")

    with pytest.raises(GateFailed, match="stage quality failed in cell .* rule key_unique: 3 rows"):
        run_stages(settings)

    assert {stage.name: stage.state for stage in runs.stage_runs(shop.lake.ops, runs.newest(shop.lake.ops)[0].id)} == {
        "silver": "done",
        "gold": "done",
        "quality": "failed",
    }


def test_what_may_pass_on_a_second_try_is_tried_again(shop: Shop, pages: Pages, settings: Settings) -> None:
    pages.fails_once("gold", "CommitLost('somebody was faster')")
    events: list[Event] = []

    run_stages(settings, progress=events.append)

    assert [(event.step, event.message) for event in events if event.stage == "gold"] == [
        ("started", ""),
        ("again", "somebody was faster"),
        ("started", ""),
        ("done", ""),
    ]


def test_it_is_tried_again_only_as_often_as_the_settings_say(shop: Shop, pages: Pages, settings: Settings) -> None:
    pages.fails("gold", "CommitLost('somebody was faster')")
    events: list[Event] = []

    with pytest.raises(CommitLost, match="somebody was faster"):
        run_stages(settings, progress=events.append)

    assert [event.step for event in events if event.stage == "gold"].count("started") == 1 + settings.runner.retries


@pytest.mark.parametrize("error", ["GateFailed('no')", "StateError('no')", "InputError('no')"])
def test_what_will_not_pass_is_not_tried_again(shop: Shop, pages: Pages, settings: Settings, error: str) -> None:
    pages.fails_once("gold", error)

    with pytest.raises((StageFailed, GateFailed)):
        run_stages(settings)


def test_a_part_of_the_stages_runs_by_name_and_the_rest_goes_on_later(shop: Shop, settings: Settings) -> None:
    first = run_stages(settings, ["silver"])
    second = run_stages(settings, ["gold"])
    rest = run_stages(settings)

    assert (ran(first), ran(second), ran(rest)) == (["silver"], ["gold"], list(stage_names())[2:])
    assert first.run == second.run == rest.run


def test_a_stage_by_name_brings_what_it_needs_first(shop: Shop, settings: Settings) -> None:
    assert ran(run_stages(settings, ["quality"])) == ["silver", "gold", "quality"]


def test_an_early_stage_run_again_makes_the_later_ones_run_again(shop: Shop, settings: Settings) -> None:
    run_stages(settings, ["gold"])
    again = run_stages(settings, ["silver"])
    rest = run_stages(settings)

    assert (ran(again), ran(rest)) == (["silver"], list(stage_names())[1:])


def test_an_unknown_stage_starts_nothing(shop: Shop, settings: Settings) -> None:
    with pytest.raises(UnknownName, match='Did you mean "silver"'):
        run_stages(settings, ["silvr"])

    assert runs.newest(shop.lake.ops) == []


def test_while_somebody_writes_a_run_is_refused_and_told_who_it_is(shop: Shop, settings: Settings) -> None:
    with shop.lake.lease("load sales.csv"), pytest.raises(LeaseHeld, match='"load sales.csv"'):
        run_stages(settings)

    assert runs.newest(shop.lake.ops) == []


def test_a_stage_that_declares_no_result_has_failed(shop: Shop, pages: Pages, settings: Settings) -> None:
    page(pages.folder / "gold.ipynb", BEGIN.format(stage="gold"))

    with pytest.raises(StageFailed, match="without declaring a result"):
        run_stages(settings)


def test_an_endpoint_that_dies_is_started_again_and_the_run_comes_through(
    shop: Shop, pages: Pages, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPARK_REMOTE")
    flag = pages.folder / "killed"
    pages.does(
        "gold",
        "import os, pathlib, psutil\n"
        "lake.spark.sql('SELECT 1').collect()\n"
        "port = int(os.environ['SPARK_REMOTE'].rsplit(':', 1)[1])\n"
        f"flag = pathlib.Path({str(flag)!r})\n"
        "if not flag.exists():\n"
        "    flag.touch()\n"
        "    owner = [c.pid for c in psutil.net_connections('inet') if c.laddr.port == port and c.status == 'LISTEN']\n"
        "    psutil.Process(owner[0]).kill()\n"
        "lake.spark.sql('SELECT 1').collect()",
    )
    events: list[Event] = []

    report = run_stages(settings, progress=events.append)

    assert ran(report) == list(stage_names())
    assert [event.stage for event in events if event.step == "again"] == ["gold"]
