"""Training once more: from a version's record, on a day of the past, with a model that is worse, in a home that was moved."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from lakehouse.models.bundle import read_bundle
from lakehouse.models.recommendations import RecommendationsModel
from lakehouse.privacy.secrets import verify_key
from lakehouse.registry import aliases, batch, tracking, training
from lakehouse.registry.gate import Decision
from lakehouse.registry.loading import Registry, open_registered
from lakehouse.registry.recipes import Recipe, recipe
from lakehouse.registry.recipes import Trained as TrainedModel
from lakehouse.registry.recorded import recorded
from lakehouse.registry.training import TrainingReport
from lakehouse.settings import Settings
from lakehouse.tables import Lake, StageLake, revision, snapshots
from tests.retrained import MODELS, as_recorded, contents, holders, manifest, stage, versions, with_models
from tests.trained import Trained

CHAMPIONS = {name: {"champion": "1"} for name in MODELS}
# Where it matters not how good a model is, few rounds are trained.
QUICK = {"demand": {"rounds": 2}, "segments": {"max_clusters": 3, "bootstraps": 2}}


@dataclass(frozen=True)
class Again:
    """A copy of the home in which each model was trained once more from its record."""

    settings: Settings
    reports: dict[str, TrainingReport]


@pytest.fixture(scope="module")
def again(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Again:
    settings = trained.copy(tmp_path_factory.mktemp("again") / "home")
    code = str(manifest(settings, "demand")["code"])
    with pytest.MonkeyPatch.context() as patched:
        # The commit is a part of the record: a model is trained again from the same one. Another may have been checked out meanwhile.
        patched.setattr(revision, "commit", lambda: code)
        reports = {}
        for name in MODELS:
            with as_recorded(settings, name) as lake:
                reports[name] = training.train(lake, name, force=True)
    return Again(settings, reports)


@pytest.mark.parametrize("name", MODELS)
def test_training_again_from_the_record_gives_the_same_digest(trained: Trained, again: Again, name: str) -> None:
    (first,) = versions(trained.settings, name)
    assert again.reports[name].digest == first.digest


@pytest.mark.parametrize("name", MODELS)
def test_the_same_digest_is_registered_once(again: Again, name: str) -> None:
    assert again.reports[name].version == "1"
    assert [one.version for one in versions(again.settings, name)] == ["1"]


def test_training_the_same_again_moves_no_alias(again: Again) -> None:
    assert holders(again.settings) == CHAMPIONS


@pytest.mark.parametrize("is_there", [True, False], ids=["changed", "gone"])
def test_a_champion_whose_files_are_not_what_was_signed_is_due_and_made_whole(trained: Trained, tmp_path: Path, is_there: bool) -> None:
    settings = trained.copy(tmp_path / "home")
    (first,) = versions(settings, "segments")
    damaged = first.folder / "segments.json"
    if is_there:
        damaged.write_bytes(damaged.read_bytes().replace(b"1", b"2", 1))
    else:
        shutil.rmtree(first.folder)
    code = str(manifest(trained.settings, "segments")["code"])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(revision, "commit", lambda: code)
        with stage(settings, "segments") as lake:
            assert training.is_due(lake, "segments").reason.startswith("the champion can't be relied on")
            report = training.train(lake, "segments")

    assert report.trained and report.champion
    champion = Registry(settings).by_alias("segments", aliases.CHAMPION)
    assert champion is not None
    open_registered(settings, champion)


def test_what_was_registered_before_its_run_was_broken_off_is_told_and_made_champion_by_the_one_that_goes_on(
    kept: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "_promote", ended)
    with pytest.raises(KeyboardInterrupt), StageLake(kept, "segments") as lake:
        training.train(lake, "segments", force=True)
    monkeypatch.undo()
    left = versions(kept, "segments")[-1]
    assert (left.version, left.aliases) == ("2", ())

    with StageLake(kept, "segments") as lake:
        report = training.train(lake, "segments")
        lake.finish(**report.result)
        assert training.train(lake, "segments").result == {"trained": False, "reason": "the last training is 0 moments old; it is due at 4"}

    assert (report.trained, report.version, report.digest, report.champion) == (True, "2", left.digest, True)
    with Lake(kept) as lake:
        assert [one.version for one in recorded(lake) if one.model == "segments"] == ["1", "2"]


def test_a_damaged_champion_that_nothing_may_replace_is_none_any_more(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = trained.copy(tmp_path / "home")
    damaged = versions(settings, "segments")[0].folder / "segments.json"
    damaged.write_bytes(b"{}")
    monkeypatch.setattr(training, "decide", lambda _: Decision(False, ("no better than naive",)))

    with stage(with_models(settings, **QUICK), "segments") as lake:
        report = training.train(lake, "segments")

    assert (report.trained, report.champion) == (True, False)
    assert Registry(settings).by_alias("segments", aliases.CHAMPION) is None
    with stage(settings, "predictions") as lake:
        assert batch.predict(lake).versions["segments"] == batch.BASELINE


@dataclass(frozen=True)
class LookedBack:
    """A home before and after a run as of four weeks before the newest snapshot. `predicted`: rows by table."""

    settings: Settings
    run: str
    before: dict[str, bytes]
    snapshots: tuple[int, int]
    reports: dict[str, TrainingReport]
    predicted: dict[str, int]


@pytest.fixture(scope="module")
def looked_back(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> LookedBack:
    settings = with_models(trained.copy(tmp_path_factory.mktemp("back") / "home"), **QUICK)
    tracking.connect(settings)
    before, reports, run = contents(settings.home), {}, ""
    with Lake(settings) as lake:
        published = len(snapshots.every(lake.ops))
    for name in MODELS:
        with stage(settings, name, "2024-04-08") as lake:
            reports[name] = training.train(lake, name)
            assert lake.run is not None
            run = lake.run.id
    with stage(settings, "predictions", "2024-04-08") as lake:
        predicted = batch.predict(lake).rows
        assert lake.publish() is None
        after = len(snapshots.every(lake.ops))
    return LookedBack(settings, run, before, (published, after), reports, predicted)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_back_test_registers_nothing(looked_back: LookedBack, name: str) -> None:
    report = looked_back.reports[name]
    assert (report.trained, report.version, report.champion) == (True, None, False)
    assert [one.version for one in versions(looked_back.settings, name)] == ["1"]


def test_a_back_test_moves_no_alias(looked_back: LookedBack) -> None:
    assert holders(looked_back.settings) == CHAMPIONS


def test_a_back_test_publishes_nothing(looked_back: LookedBack) -> None:
    assert looked_back.snapshots[0] == looked_back.snapshots[1]


@pytest.mark.parametrize("name", MODELS)
def test_a_back_test_leaves_a_signed_model_of_its_day_in_its_run_folder(looked_back: LookedBack, name: str) -> None:
    folder = looked_back.settings.home / "runs" / looked_back.run / "models" / name
    found = read_bundle(folder, verify_key(looked_back.settings))
    assert (found.digest, found.manifest["moment"]) == (looked_back.reports[name].digest, "2024-04-08T00:00:00")


def test_a_back_test_leaves_its_predictions_in_its_run_folder(looked_back: LookedBack) -> None:
    folder = looked_back.settings.home / "runs" / looked_back.run
    assert {path.stem for path in folder.glob("*.parquet")} == set(looked_back.predicted)


def test_a_back_test_writes_into_its_run_folder_and_the_record_of_runs_alone(looked_back: LookedBack) -> None:
    mine = (f"runs/{looked_back.run}/", "ops.db", "endpoint/")  # the endpoint's own log is nobody's data
    changed = {
        path
        for path, content in contents(looked_back.settings.home).items()
        if looked_back.before.get(path) != content and not path.startswith(mine)
    }
    assert changed == set()


def test_a_model_that_is_worse_than_a_naive_answer_is_registered_refused_and_the_champion_stays(trained: Trained, tmp_path: Path) -> None:
    settings = trained.copy(tmp_path / "home")
    # One tree says little more than the mean of all products.
    with stage(with_models(settings, demand={"rounds": 1}), "demand") as lake:
        report = training.train(lake, "demand", force=True)
    assert (report.version, report.champion) == ("2", False)
    assert {reason.rsplit(" ", 1)[-1] for reason in report.reasons} >= {"window_4w"}
    assert holders(settings) == CHAMPIONS
    first, second = versions(settings, "demand")
    assert (first.decision, second.decision, second.reasons) == ("approved", "refused", report.reasons)


def worse(name: str, metric: str) -> Recipe:
    """The recipe as it is, but for one figure of the evaluation, which is not a number."""
    real = recipe(name)

    def train(lake: Lake, champion: object) -> TrainedModel:
        made = real.train(lake, None)
        return replace(made, evaluation=replace(made.evaluation, metrics={**made.evaluation.metrics, metric: float("nan")}))

    return replace(real, train=train)


def test_a_model_of_which_a_figure_is_missing_is_not_let_through(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = with_models(trained.copy(tmp_path / "home"), **QUICK)
    monkeypatch.setattr(training, "recipe", lambda name: worse(name, "silhouette"))
    with stage(settings, "segments") as lake:
        report = training.train(lake, "segments", force=True)
    assert (report.champion, report.reasons) == (False, ("metric silhouette is missing",))
    assert holders(settings) == CHAMPIONS


def test_where_there_is_too_little_history_nothing_is_trained_and_the_report_says_why(trained: Trained, tmp_path: Path) -> None:
    settings = trained.copy(tmp_path / "home")
    with stage(settings, "segments", "2023-06-05") as lake:
        report = training.train(lake, "segments")
    assert (report.trained, report.digest) == (False, None)
    assert report.reason.endswith("load more history")


@dataclass
class Moved:
    """A home that was trained at another place, and then trained a second version of the recommendations where it is now."""

    old: Path
    old_before: set[str]
    settings: Settings
    version: str


@pytest.fixture(scope="module")
def moved(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Moved:
    old_before = set(contents(trained.home / "mlartifacts"))
    settings = trained.copy(tmp_path_factory.mktemp("moved") / "home")
    with stage(settings, "recommendations") as lake:
        report = training.train(lake, "recommendations", force=True)
    assert report.champion and report.version is not None
    return Moved(trained.home, old_before, settings, report.version)


def test_a_home_that_was_moved_trains_into_itself_and_not_into_its_old_place(moved: Moved) -> None:
    assert set(contents(moved.old / "mlartifacts")) == moved.old_before


def test_a_champion_that_was_trained_after_a_move_is_found_and_verified(moved: Moved) -> None:
    found = Registry(moved.settings).by_alias("recommendations", "champion")
    assert found is not None and found.version == moved.version
    with Lake(moved.settings) as lake:
        assert isinstance(open_registered(lake.settings, found).model, RecommendationsModel)


def test_the_champion_before_is_kept_as_previous(moved: Moved) -> None:
    assert holders(moved.settings)["recommendations"] == {"champion": moved.version, "previous": "1"}


@pytest.fixture
def client(trained: Trained, tmp_path: Path) -> MlflowClient:
    """The registry of a copy, with a second version of the demand model that nobody has promoted."""
    found = tracking.connect(trained.copy(tmp_path / "home"))
    found.create_model_version("demand", str(found.get_model_version("demand", "1").source))
    return found


def aliases_of(client: MlflowClient, name: str) -> dict[str, str]:
    return {alias: str(version) for alias, version in client.get_registered_model(name).aliases.items()}


def test_a_promotion_that_is_broken_off_has_kept_the_way_back(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    real = client.set_registered_model_alias

    def fails_at_champion(name: str, alias: str, version: str) -> None:
        if alias == "champion":
            raise OSError("the power went out")
        real(name, alias, version)

    monkeypatch.setattr(client, "set_registered_model_alias", fails_at_champion)
    with pytest.raises(OSError, match="the power went out"):
        aliases.promote(client, "demand", "2")
    assert aliases_of(client, "demand") == {"champion": "1", "previous": "1"}


def test_promoting_twice_is_promoting_once(client: MlflowClient) -> None:
    for _ in range(2):
        aliases.promote(client, "demand", "2")
    assert aliases_of(client, "demand") == {"champion": "2", "previous": "1"}


def test_a_challenger_that_becomes_champion_is_challenger_no_longer(client: MlflowClient) -> None:
    aliases.assign(client, "demand", "challenger", "2")
    aliases.promote(client, "demand", "2")
    assert aliases_of(client, "demand") == {"champion": "2", "previous": "1"}


def test_another_versions_challenge_is_left_when_the_champion_is_promoted_again(client: MlflowClient) -> None:
    aliases.assign(client, "demand", "challenger", "2")
    aliases.promote(client, "demand", "1")
    assert aliases_of(client, "demand") == {"champion": "1", "challenger": "2"}


def test_an_alias_that_nobody_has_can_be_withdrawn_without_an_error(client: MlflowClient) -> None:
    aliases.withdraw(client, "demand", "previous")
    assert aliases.version_of(client, "demand", "previous") is None
