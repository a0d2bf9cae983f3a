"""Trainings on copies of the trained home: as a stage does them, at any day, and from a version's record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.registry import tracking
from lakehouse.registry.loading import Registered, Registry
from lakehouse.settings import Settings
from lakehouse.tables import Lake, StageLake, runs, snapshots

if TYPE_CHECKING:
    from mlflow.entities import Run

MODELS = ("demand", "segments", "recommendations")


def versions(settings: Settings, name: str | None = None) -> list[Registered]:
    return Registry(settings).versions(name)


def holders(settings: Settings) -> dict[str, dict[str, str]]:
    """Which version has each alias, by model."""
    return {name: {alias: one.version for one in versions(settings, name) for alias in one.aliases} for name in MODELS}


def manifest(settings: Settings, name: str, version: str = "1") -> dict[str, object]:
    """What a registered version's manifest says, unverified."""
    folder = Registry(settings).by_version(name, version).folder
    found: dict[str, object] = json.loads((folder / "manifest.json").read_bytes())
    return found


def mlflow_run(settings: Settings, name: str, version: str = "1") -> Run:
    """The run behind a registered version, as MLflow's own client tells it."""
    client = tracking.connect(settings)
    return client.get_run(str(client.get_model_version(name, version).run_id))


def with_models(settings: Settings, **sections: Mapping[str, object]) -> Settings:
    """The settings with other values in sections of `models`, say `demand={"rounds": 1}`."""
    models = settings.models
    changed = {name: getattr(models, name).model_copy(update=dict(values)) for name, values in sections.items()}
    return settings.model_copy(update={"models": models.model_copy(update=changed)})


@contextmanager
def stage(settings: Settings, name: str, as_of: str = "") -> Iterator[StageLake]:
    """A stage of a run as of a day (left out: the day of the newest snapshot), opened as a notebook by hand opens it, and finished."""
    with StageLake(settings, name, as_of=as_of) as lake:
        yield lake
        lake.finish()


def later(settings: Settings, weeks: int) -> Lake:
    """The lake as a run sees it whose moment is some weeks after the trained home's only run. Nothing is started."""
    with Lake(settings) as lake:
        newest = snapshots.newest(lake.ops)
        assert newest is not None
        run = runs.get(lake.ops, newest.run)
        return Lake(settings, run=replace(run, moment=run.moment + timedelta(weeks=weeks)))


def as_recorded(settings: Settings, name: str, version: str = "1") -> Lake:
    """The lake as it was read when a version was trained: its snapshot, and the run that trained it."""
    told = manifest(settings, name, version)["snapshot"]
    assert isinstance(told, int)
    with Lake(settings) as lake:
        fixed = snapshots.by_id(lake.ops, told)
        return Lake(settings, run=runs.get(lake.ops, fixed.run), fixed=fixed)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
