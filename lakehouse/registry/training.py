"""Training as a stage does it: when it is due, from frame to registered version, and who becomes champion.

    frame → evaluate → fit → signed folder in the run's folder → registered, pinned → gate → champion

What is registered is found again by its digest, so a stage that is repeated registers nothing twice.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lakehouse.errors import NotEnoughData, NothingPublished, RegistryAway, TamperedModel
from lakehouse.features.repository import feature_types
from lakehouse.models.bundle import MANIFEST, Bundle, Facts, write_bundle
from lakehouse.models.evaluation import Evaluation
from lakehouse.privacy.secrets import signing_key
from lakehouse.registry import aliases, tracking, training_pins
from lakehouse.registry.champions import dismiss
from lakehouse.registry.gate import APPROVED, Decision, decide
from lakehouse.registry.loading import DECISION, REASONS, Registered, Registry, is_whole, newest_approved, open_registered, versions
from lakehouse.registry.publishing import Registration, Source, register
from lakehouse.registry.recipes import Trained, recipe
from lakehouse.registry.recorded import Recorded, forgotten, recorded
from lakehouse.tables import Lake, revision
from lakehouse.tables.moments import grid

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Due:
    """Whether a model is to be trained now, and why, or why not."""

    due: bool
    reason: str


@dataclass(frozen=True)
class TrainingReport:
    """What a training did. `version` is the registered one, None where nothing was trained or a back-test registered nothing."""

    model: str
    trained: bool
    reason: str
    version: str | None = None
    digest: str | None = None
    champion: bool = False
    reasons: tuple[str, ...] = ()
    seconds: float = 0.0
    evaluation: Evaluation | None = None

    @property
    def result(self) -> dict[str, object]:
        """What a stage declares of it."""
        told: dict[str, object] = {"trained": self.trained, "reason": self.reason}
        if self.trained:
            told |= {"version": self.version, "digest": self.digest, "champion": self.champion, "refused": list(self.reasons)}
        return told


def is_due(lake: Lake, name: str) -> Due:
    """A model is trained when it has no champion, or none that can be opened, or its last training is `models.retrain_every` moments old or
    older. What a restore undid is no training."""
    assert lake.run is not None
    known = [version for version in versions(lake.settings, name) if not version.undone]
    present = next((version for version in known if aliases.CHAMPION in version.aliases), None)
    if present is None:
        again = next((version for version in known if _is_made_of_the_same(lake, version)), None)
        if again is not None:
            return Due(False, f"version {again.version}, made of the same versions at this moment, was refused: {'; '.join(again.reasons)}")
        lost = next((one for one in forgotten(lake) if one.model == name), None)
        return Due(True, "there is no champion" if lost is None else _lost(lost))
    try:
        open_registered(lake.settings, present)
    except TamperedModel as error:
        return Due(True, f"the champion can't be relied on: {error}")
    last = max(version.moment for version in known if version.moment is not None)
    passed, every = len(grid(last, lake.run.moment, lake.settings.features.every)), lake.settings.models.retrain_every
    if passed >= every:
        return Due(True, f"the last training is {passed} moments old")
    return Due(False, f"the last training is {passed} moments old; it is due at {every}")


def _lost(one: Recorded) -> str:
    return (
        f"there is no champion: the registry has lost version {one.version} ({one.digest[:12]}), which run {one.run} registered, or is another one. What is"
        " trained now gets its number; a backup has it (zeromargin restore-backup)"
    )


def train(lake: Lake, name: str, force: bool = False) -> TrainingReport:
    """Trains a model at the run's moment where that is due (or `force`), registers it and asks the gate.

    A back-test writes its signed folder into the run's folder, registers nothing and moves no alias. Where there is too little history,
    nothing is trained and the report says why: baselines answer until there is enough. A champion that can't be relied on doesn't stay one: if
    the gate lets nothing in its place, the newest version does that it had let through and that is whole, or none.
    """
    assert lake.run is not None
    report = _train(lake, name, force)
    if not lake.run.back_test:
        dismiss(lake.settings, name, lambda one: is_whole(lake.settings, one))
    return report


def _train(lake: Lake, name: str, force: bool) -> TrainingReport:
    assert lake.run is not None
    due = Due(True, f"looked back to {lake.run.moment:%Y-%m-%d}") if lake.run.back_test else is_due(lake, name)
    if not due.due and not force:
        return _left_over(lake, name) or TrainingReport(name, False, due.reason)
    began, made = time.monotonic(), recipe(name)
    try:
        trained = made.train(lake, _predecessor(lake, name))
    except NotEnoughData as error:
        return TrainingReport(name, False, str(error))
    decision = decide(trained.evaluation)
    folder = lake.home / "runs" / lake.run.id / "models" / name
    shutil.rmtree(folder, ignore_errors=True)
    facts = _facts(lake, name, made.service, trained)
    # Made where nothing was signed yet: with another than before, what was registered could not be trusted any more.
    key = signing_key(lake.settings, may_make=not versions(lake.settings))
    digest = write_bundle(folder, trained.model, facts, trained.questions, key)
    version, is_champion = None, False
    if not lake.run.back_test:
        version = _register(lake, name, folder, facts, decision)
        is_champion = _promote(lake, name, version, decision)
        shutil.rmtree(folder)  # the registry has it
    seconds = time.monotonic() - began
    return TrainingReport(name, True, due.reason, version, digest, is_champion, decision.reasons, seconds, trained.evaluation)


def _is_made_of_the_same(lake: Lake, one: Registered) -> bool:
    """Whether the gate refused a version that training now would only make once more."""
    assert lake.run is not None
    if one.decision == APPROVED or one.moment != lake.run.moment:
        return False
    try:
        manifest = open_registered(lake.settings, one).manifest
    except TamperedModel:
        return False
    return (manifest["tables"], manifest["code"], manifest["seed"]) == (
        versions_read(lake, one.name),
        revision.commit(),
        lake.settings.models.seed,
    )


def versions_read(lake: Lake, name: str) -> dict[str, int]:
    """The version of each table that a training of the model reads."""
    found = {}
    for table in recipe(name).reads:
        try:
            found[table] = lake.version(table)
        except NothingPublished:
            continue
    return found


def _predecessor(lake: Lake, name: str) -> Bundle | None:
    """The newest version that the gate approved at an earlier moment: the same whenever this moment is trained again."""
    assert lake.run is not None
    until = lake.run.moment
    found = newest_approved(versions(lake.settings, name), lambda moment: moment < until)
    try:
        return None if found is None else open_registered(lake.settings, found)
    except TamperedModel:
        return None


def champion(lake: Lake, name: str) -> Bundle | None:
    """The present champion, verified; None where there is none that can be opened."""
    try:
        found = Registry(lake.settings).by_alias(name, aliases.CHAMPION)
        return None if found is None else open_registered(lake.settings, found)
    except (RegistryAway, TamperedModel):
        return None


def _facts(lake: Lake, name: str, service: str, trained: Trained) -> Facts:
    assert lake.run is not None
    snapshot = lake.snapshot()
    return Facts(
        name=name,
        format=1,
        service=service,
        features=feature_types(service),
        snapshot=None if snapshot is None else snapshot.id,
        moment=lake.run.moment.isoformat(),
        tables=versions_read(lake, name),
        parameters=trained.parameters,
        seed=lake.settings.models.seed,
        code=revision.commit(),
        lock=hashlib.sha256((ROOT / "requirements.lock").read_bytes()).hexdigest(),
        metrics=trained.evaluation.metrics,
        baselines=trained.evaluation.baselines,
    )


def _register(lake: Lake, name: str, folder: Path, facts: Facts, decision: Decision) -> str:
    """Registers the folder, and pins what it was trained on before anybody can rely on it."""
    owner = training_pins.owner(name, hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest())
    for table, version in facts.tables.items():
        lake.pin(table, version, owner, "trained on it")
    assert lake.run is not None
    registration = Registration(
        name=name,
        folder=folder,
        moment=datetime.fromisoformat(facts.moment),
        parameters=facts.parameters,
        metrics=facts.metrics,
        baselines=facts.baselines,
        sources=tuple(Source(table, version, lake.path(table)) for table, version in facts.tables.items()),
        tags={DECISION: decision.word, REASONS: "\n".join(decision.reasons), "run": lake.run.id},
    )
    return register(lake.settings, registration)


def _left_over(lake: Lake, name: str) -> TrainingReport | None:
    """Of a run that was broken off after it had registered a version, and before its stage said so: the version, made champion where the gate let it
    through."""
    assert lake.run is not None
    told = {(one.version, one.digest) for one in recorded(lake) if one.model == name}
    known = (one for one in versions(lake.settings, name) if not one.undone and one.moment == lake.run.moment)
    left = max((one for one in known if (one.version, one.digest) not in told), key=lambda one: int(one.version), default=None)
    if left is None:
        return None
    decision = Decision(left.decision == APPROVED, left.reasons)
    is_champion = _promote(lake, name, left.version, decision)
    return TrainingReport(
        name, True, "it was registered before the run was broken off", left.version, left.digest, is_champion, left.reasons
    )


def _promote(lake: Lake, name: str, version: str, decision: Decision) -> bool:
    """Makes an approved version champion. One that is older than the champion stays what it is: it was made again, not made better."""
    client = tracking.connect(lake.settings)
    present = aliases.version_of(client, name, aliases.CHAMPION)
    if decision.approved and (present is None or int(present) <= int(version)):
        aliases.promote(client, name, version)
    return aliases.version_of(client, name, aliases.CHAMPION) == version
