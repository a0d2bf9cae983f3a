"""The past replayed through the runner: nothing of it is published, and nothing of it knows what came after."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from jobs.runner import run as run_stages
from lakehouse.registry.batch import BASELINE, IN_THE_RUN
from lakehouse.registry.loading import Registry
from lakehouse.settings import Settings
from lakehouse.tables import Lake, opening, runs
from tests.trained import Trained

DAY = "2024-03-04"


@pytest.fixture
def settings(trained: Trained, tmp_path: Path) -> Settings:
    return trained.copy(tmp_path / "home")


@pytest.mark.slow
def test_a_back_test_publishes_nothing_and_is_answered_by_what_could_be_known_then(settings: Settings) -> None:
    with Lake(settings) as lake:
        heads, before = {name: lake.head(name) for name in lake.catalog}, lake.snapshot()

    report = run_stages(settings, as_of=DAY)

    assert (report.back_test, report.published) == (True, False)
    assert {stage.name for stage in report.stages} >= {"demand", "predictions"}
    with Lake(settings) as lake:
        assert {name: lake.head(name) for name in lake.catalog} == heads
        assert lake.snapshot() == before
    champion = Registry(settings).by_alias("demand", "champion")
    assert champion is not None
    rows = pd.read_parquet(settings.home / "runs" / report.run / "predictions.forecasts.parquet")
    assert set(rows["as_of"]) == {pd.Timestamp(DAY, tz="UTC")}
    # The champion was trained nine weeks later.
    assert set(rows["version"]) <= {IN_THE_RUN, BASELINE}
    assert champion.digest not in set(rows["digest"])
    trained_then = next(stage for stage in report.stages if stage.name == "demand").result
    assert trained_then["reason"] == f"looked back to {DAY}"
    expected = {trained_then["digest"]} if not trained_then["refused"] else {None}
    assert set(rows["digest"]) == expected


def test_a_back_test_leaves_an_unfinished_run_as_it_is(settings: Settings) -> None:
    with Lake(settings) as lake, lake.lease("breaks off") as held:
        begun = opening.begin_or_resume(lake, "2024-05-13", held.token)
    looked_back = run_stages(settings, ["demand"], as_of=DAY)
    assert looked_back.back_test
    with Lake(settings) as lake:
        assert {one.id: one.state for one in runs.newest(lake.ops, 5)}[begun.id] == "open"
        with lake.lease("goes on") as held:
            # Not the back-test, though that is the newer one and open too.
            assert opening.begin_or_resume(lake, None, held.token, stages=("gold",)).id == begun.id
            again = opening.begin_or_resume(lake, DAY, held.token)
    assert (again.id, again.moment) == (looked_back.run, datetime(2024, 3, 4))
