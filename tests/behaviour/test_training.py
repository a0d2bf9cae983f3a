"""What a run leaves behind of each model that it trained, and when it trains the next one. On the trained home, which nobody changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.models.bundle import SIGNATURE
from lakehouse.registry import aliases, tracking, training
from lakehouse.registry.gate import REFUSED
from lakehouse.registry.loading import DECISION, REASONS, Registry
from lakehouse.registry.recipes import recipe
from lakehouse.tables import Lake, pins
from tests.conftest import SECRET
from tests.retrained import MODELS, later, manifest, mlflow_run, stage, versions
from tests.trained import Trained

ROOT = Path(__file__).resolve().parents[2]
# The most that a model's figure may be of a naive one, or the least where more is better. Measured on this home, and on like samples of seed 11
# and, with 250 customers, 12: demand .897, .857, .895 (window_4w); recommendations 1.071, 1.051, 1.018 (own purchases) and 1.40, 1.24, 1.29
# (popularity); segments 1.14, 1.07, 1.34. With seed 5 the gate refuses demand and segments: a shop of 80 products is small.
MARGINS = [
    ("demand", "wape", "naive", 0.85),
    ("demand", "wape", "window_4w", 0.96),
    ("demand", "wape", "window_13w", 0.92),
    ("segments", "eta_squared", "recency_groups", 1.02),
    ("recommendations", "ndcg_all", "own_purchases", 1.008),
    ("recommendations", "ndcg_all", "popularity", 1.15),
]


@pytest.mark.parametrize(("name", "metric", "baseline", "margin"), MARGINS)
def test_a_model_beats_a_naive_answer_by_a_margin(trained: Trained, name: str, metric: str, baseline: str, margin: float) -> None:
    measured = mlflow_run(trained.settings, name).data.metrics
    ratio = measured[metric] / measured[f"{baseline}/{metric}"]
    assert ratio <= margin if margin < 1 else ratio >= margin


def test_segments_beat_groups_by_recency_with_fewer_groups_than_those(trained: Trained) -> None:
    measured = mlflow_run(trained.settings, "segments").data.metrics
    assert measured["groups"] < measured["recency_groups/groups"]


def test_eight_of_ten_weeks_are_meant_to_lie_within_the_interval_and_more_than_six_do(trained: Trained) -> None:
    assert 0.6 < mlflow_run(trained.settings, "demand").data.metrics["coverage"] < 0.95


@pytest.mark.parametrize("name", MODELS)
def test_the_first_version_that_the_gate_lets_through_is_champion(trained: Trained, name: str) -> None:
    client = tracking.connect(trained.settings)
    assert str(client.get_model_version_by_alias(name, "champion").version) == "1"
    assert client.get_model_version(name, "1").tags["decision"] == "approved"


@pytest.mark.parametrize("name", MODELS)
def test_a_version_is_tagged_with_its_digest_its_moment_its_run_and_the_tables_it_was_made_from(trained: Trained, name: str) -> None:
    tags = tracking.connect(trained.settings).get_model_version(name, "1").tags
    tables = manifest(trained.settings, name)["tables"]
    assert isinstance(tables, dict)
    assert tags["digest"] == next(stage.result["digest"] for stage in trained.report.stages if stage.name == name)
    assert (tags["moment"], tags["run"]) == (trained.report.moment.isoformat(), trained.report.run)
    assert {key: value for key, value in tags.items() if key.startswith("table:")} == {
        f"table:{table}": str(version) for table, version in tables.items()
    }


@pytest.mark.parametrize("name", MODELS)
def test_a_run_in_mlflow_has_the_parameters_of_the_manifest(trained: Trained, name: str) -> None:
    told = manifest(trained.settings, name)["parameters"]
    assert isinstance(told, dict)
    assert mlflow_run(trained.settings, name).data.params == {key: str(value) for key, value in told.items()}


@pytest.mark.parametrize("name", MODELS)
def test_a_run_in_mlflow_has_the_figures_of_the_model_and_of_its_baselines(trained: Trained, name: str) -> None:
    told = manifest(trained.settings, name)
    figures, baselines = told["metrics"], told["baselines"]
    assert isinstance(figures, dict) and isinstance(baselines, dict)
    expected = figures | {f"{baseline}/{metric}": value for baseline, found in baselines.items() for metric, value in found.items()}
    known = {metric: value for metric, value in expected.items() if value is not None}
    assert mlflow_run(trained.settings, name).data.metrics == pytest.approx(known)


@pytest.mark.parametrize("name", MODELS)
def test_a_run_in_mlflow_names_the_table_versions_as_its_inputs(trained: Trained, name: str) -> None:
    inputs = mlflow_run(trained.settings, name).inputs
    assert inputs is not None
    found = {one.dataset.name: {tag.key: tag.value for tag in one.tags}["version"] for one in inputs.dataset_inputs}
    tables = manifest(trained.settings, name)["tables"]
    assert isinstance(tables, dict)
    assert found == {table: str(version) for table, version in tables.items()}


@pytest.mark.parametrize("name", MODELS)
def test_the_table_versions_that_a_model_was_made_from_are_pinned_for_it(trained: Trained, name: str) -> None:
    with Lake(trained.settings) as lake:
        pinned = {(pin.table, pin.version) for pin in pins.every(lake.ops) if pin.owner.startswith(f"model {name} ")}
    tables = manifest(trained.settings, name)["tables"]
    assert isinstance(tables, dict)
    assert set(tables) == set(recipe(name).reads)
    assert pinned == set(tables.items())


@pytest.mark.parametrize("name", MODELS)
def test_a_manifest_names_the_features_of_its_service_that_the_model_needs(trained: Trained, name: str) -> None:
    told = manifest(trained.settings, name)
    features = told["features"]
    assert isinstance(features, dict)
    with Lake(trained.settings) as lake:
        champion = training.champion(lake, name)
    assert champion is not None
    assert set(champion.model.needs) <= set(features)  # type: ignore[attr-defined]


def test_what_is_registered_holds_no_pickle(trained: Trained) -> None:
    files = [path for path in (trained.home / "mlartifacts").rglob("*") if path.is_file()]
    assert files
    written = [path for path in files if path.name != SIGNATURE]  # its bytes are any
    assert [path for path in written if path.suffix in {".pkl", ".pickle", ".joblib"} or path.read_bytes()[:1] == b"\x80"] == []


ASK = """
import json, sys
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
for name in sys.argv[2:]:
    model = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    questions = json.loads(sys.stdin.readline())
    print("ANSWERS", json.dumps(model.predict(pd.DataFrame({"question": questions}))), flush=True)
"""


def test_mlflow_loads_a_registered_model_without_pickles_and_it_answers_its_golden_questions(trained: Trained) -> None:
    golden = {name: manifest(trained.settings, name)["golden"] for name in MODELS}
    asked = "".join(json.dumps([one["question"] for one in found]) + "\n" for found in golden.values() if isinstance(found, list))
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("ZEROMARGIN_", "MLFLOW_"))}
    environ |= {"ZEROMARGIN_HOME": str(trained.home), "ZEROMARGIN_PROFILE": "test", "ZEROMARGIN_VAULT__SECRET": SECRET}
    environ |= {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    script = [sys.executable, "-c", ASK, trained.settings.mlflow_url, *MODELS]
    done = subprocess.run(script, input=asked, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line.removeprefix("ANSWERS ")) for line in done.stdout.splitlines() if line.startswith("ANSWERS ")]
    assert told == [[one["answer"] for one in found] for found in golden.values() if isinstance(found, list)]


@pytest.mark.parametrize(("weeks", "due"), [(0, False), (3, False), (4, True), (9, True)])
def test_training_is_due_again_after_as_many_moments_as_the_settings_say(trained: Trained, weeks: int, due: bool) -> None:
    with later(trained.settings, weeks) as lake:
        found = training.is_due(lake, "demand")
    assert found.due is due
    assert f"the last training is {weeks} moments old" in found.reason


def test_a_home_that_retrains_more_often_is_due_sooner(trained: Trained) -> None:
    models = trained.settings.models.model_copy(update={"retrain_every": 2})
    with later(trained.settings.model_copy(update={"models": models}), 2) as lake:
        assert training.is_due(lake, "demand").due


def test_training_that_is_not_due_trains_nothing_and_says_why(trained: Trained) -> None:
    with later(trained.settings, 3) as lake:
        report = training.train(lake, "demand")
    assert report.result == {"trained": False, "reason": "the last training is 3 moments old; it is due at 4"}
    assert len(versions(trained.settings, "demand")) == 1


def test_without_a_champion_training_is_due_though_it_was_trained_just_now(trained: Trained, tmp_path: Path) -> None:
    settings = trained.copy(tmp_path / "home")
    aliases.withdraw(tracking.connect(settings), "demand", "champion")
    with later(settings, 0) as lake:
        assert training.is_due(lake, "demand") == training.Due(True, "there is no champion")


def test_the_executed_notebook_lies_beside_the_version_that_it_registered(trained: Trained) -> None:
    client = tracking.connect(trained.settings)
    run = client.get_model_version("demand", "1").run_id
    assert [artifact.path for artifact in client.list_artifacts(str(run), "notebook")] == ["notebook/demand.ipynb"]


def test_what_was_registered_is_there_once_and_no_longer_in_its_runs_folder(trained: Trained) -> None:
    assert list((trained.home / "runs").rglob(SIGNATURE)) == []
    assert len(list((trained.home / "mlartifacts").rglob(SIGNATURE))) == len(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_what_the_service_reads_of_the_registry_is_what_mlflow_says(trained: Trained, name: str) -> None:
    found = Registry(trained.settings).by_alias(name, "champion")
    client = tracking.connect(trained.settings)
    told = client.get_model_version_by_alias(name, "champion")
    assert found is not None
    assert (found.version, found.digest, found.decision) == (str(told.version), told.tags["digest"], told.tags["decision"])
    assert found.aliases == tuple(sorted(told.aliases))
    assert found.metrics == pytest.approx(client.get_run(str(told.run_id)).data.metrics)
    assert found.folder.samefile(
        Path(client.get_model_version_download_uri(name, told.version).removeprefix("file://")) / "artifacts" / "model"
    )


@pytest.mark.slow
def test_a_version_that_was_refused_is_not_made_again_of_the_same(trained: Trained, tmp_path: Path) -> None:
    settings = trained.copy(tmp_path / "home")
    client = tracking.connect(settings)
    aliases.withdraw(client, "demand", "champion")
    client.set_model_version_tag("demand", "1", DECISION, REFUSED)
    client.set_model_version_tag("demand", "1", REASONS, "wape 0.9 is not below the 0.8 of naive")
    with stage(settings, "demand") as lake:
        report = training.train(lake, "demand")
        assert (report.trained, [pin for pin in pins.every(lake.ops) if pin.owner.startswith("model demand ")] != []) == (False, True)
        assert "was refused: wape 0.9 is not below" in report.reason
        assert training.train(lake, "demand", force=True).trained
