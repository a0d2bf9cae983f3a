"""A restore from the shell: the whole lake, its champions and what is told online."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime

import pytest

from jobs import processes
from jobs.cli import main
from jobs.runner import run as run_stages
from lakehouse.errors import StateError
from lakehouse.features import marker, popular
from lakehouse.features.online import OnlineFeatures
from lakehouse.features.popular import PopularProduct
from lakehouse.registry import aliases, champions, tracking
from lakehouse.registry.training import Due, is_due, train
from lakehouse.settings import Settings
from lakehouse.tables import Lake
from tests.inside import Output, told
from tests.retrained import holders, stage, versions, with_models


@pytest.fixture
def settings(kept: Settings) -> Settings:
    return kept


def test_what_a_restore_undid_is_no_champion_and_no_training_until_its_snapshot_counts_again(settings: Settings, capsys: Output) -> None:
    with stage(settings, "segments") as lake:
        assert train(lake, "segments", force=True).champion
        undone = lake.snapshots()[-1].id
    assert holders(settings)["segments"] == {"champion": "2", "previous": "1"}

    assert main(["restore", "1"]) == 0

    assert holders(settings)["segments"]["champion"] == "1"
    run_stages(settings, ["features", "segments"], as_of="2024-05-13")  # the moment at which the second was trained
    with stage(settings, "segments") as lake:
        due = is_due(lake, "segments")
    assert holders(settings)["segments"]["champion"] == "1"
    assert due == Due(False, "the last training is 1 moments old; it is due at 4")

    assert main(["restore", str(undone)]) == 0

    assert holders(settings)["segments"]["champion"] == "2"
    assert [one.undone for one in versions(settings, "segments")] == [None, None]


def test_going_back_in_two_steps_leaves_the_champion_that_one_step_would(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for bootstraps in (8, 9):
        with stage(with_models(settings, segments={"bootstraps": bootstraps}), "segments") as lake:
            train(lake, "segments", force=True)
    known = versions(settings, "segments")
    assert [one.decision for one in known] == 3 * ["approved"], [one.reasons for one in known]
    monkeypatch.setattr(champions, "_trained_on", lambda one: int(one.version))  # each on a snapshot of its own
    for newest in (1, 2, 3, 2, 1, 3):
        champions.answer_as_of(settings, range(1, newest + 1), datetime(2024, 5, 6))
        assert holders(settings)["segments"]["champion"] == f"{newest}"


def test_a_restore_leaves_a_version_that_was_not_champion_where_it_was(settings: Settings, capsys: Output) -> None:
    """Somebody puts the first version back by hand: going back and forth doesn't undo that."""
    with stage(settings, "segments") as lake:
        train(lake, "segments", force=True)
        newest = lake.snapshots()[-1].id
    aliases.assign(tracking.connect(settings), "segments", "champion", "1")

    for snapshot in (1, newest):
        assert main(["restore", str(snapshot)]) == 0
        assert holders(settings)["segments"]["champion"] == "1"


def test_a_restore_without_the_vaults_secret_changes_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    with Lake(settings) as lake:
        before = lake.snapshots()
    monkeypatch.setenv("ZEROMARGIN_VAULT__SECRET", "11" * 32)

    assert main(["restore", "1"]) == 1

    assert "secret" in capsys.readouterr().err
    with Lake(settings) as lake:
        assert lake.snapshots() == before


def test_a_restore_takes_the_late_file_out_and_puts_the_online_store_back_and_a_run_goes_on(settings: Settings, capsys: Output) -> None:
    with Lake(settings) as lake:
        before = [one for one in lake.snapshots() if one.as_of == datetime(2024, 5, 6)][-1]
        late = lake.snapshots()[-1]
        held = lake.digest("gold.products", before.versions["gold.products"])
    run_stages(settings, ["features"])
    liked = popular.read(settings.home)
    popular.write(settings.home, [PopularProduct("11111A", "of the days that are undone", 99.0), *liked])
    found = told(capsys, "restore", str(before.id))
    assert found["undone"][-1] >= late.id  # type: ignore[index]
    assert {one.product for one in popular.read(settings.home)} == {one.product for one in liked} - {"11111A"}
    assert isinstance(found["taken_out"], list)
    assert [(file["source"], file["lines"]) for file in found["taken_out"]] == [("canonical", 4)]
    online = marker.read(settings.home)
    assert online is not None
    assert (online.moment, online.snapshot) == (datetime(2024, 5, 6), found["published"])
    assert OnlineFeatures(settings).product("all", "11111A") is None
    with Lake(settings) as lake:
        assert lake.digest("gold.products").digest == held.digest
    assert run_stages(settings).snapshot is not None
    assert told(capsys, "verify")["whole"]


@pytest.mark.slow
def test_a_restore_killed_before_the_online_store_was_put_back_says_so_until_it_is_finished(settings: Settings, capsys: Output) -> None:
    run_stages(settings, ["features"])
    with Lake(settings) as lake:
        before = [one for one in lake.snapshots() if one.as_of == datetime(2024, 5, 6)][-1]
        newest = lake.snapshots()[-1]
    dies = "import os, sys; from jobs import keeping; keeping.publish_online = lambda lake: os._exit(9); from jobs.cli import main; main(sys.argv[1:])"
    killed = subprocess.run([sys.executable, "-c", dies, "restore", str(before.id)], cwd=processes.ROOT, check=False)
    assert killed.returncode == 9
    assert OnlineFeatures(settings).product("all", "11111A") is not None

    assert told(capsys, "status")["unfinished_restore"] == before.id
    assert main(["status"]) == 0
    assert f"nothing is written before it is finished: zeromargin restore {before.id}" in capsys.readouterr().out
    with pytest.raises(StateError, match=f"Finish it first: zeromargin restore {before.id}"):
        run_stages(settings)
    with Lake(settings) as lake:
        heads = {name: lake.head(name) for name in lake.catalog}

    found = told(capsys, "restore", str(before.id))

    assert found["undone"] == list(range(before.id + 1, newest.id + 1))
    assert [file["lines"] for file in found["taken_out"]] == [4]  # type: ignore[attr-defined]
    with Lake(settings) as lake:
        assert {name: lake.head(name) for name in lake.catalog} == heads  # what had been done was not done again
        published = lake.snapshots()[-1]
    assert published.id == found["published"] == newest.id + 1
    online = marker.read(settings.home)
    assert online is not None
    assert (online.moment, online.snapshot) == (datetime(2024, 5, 6), published.id)
    assert OnlineFeatures(settings).product("all", "11111A") is None
    assert told(capsys, "status")["unfinished_restore"] is None
    assert run_stages(settings).snapshot is not None
