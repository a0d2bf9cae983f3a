"""A trained model's way into MLflow: one run with everything that was measured, one registered version of the signed folder.

A registration is found again by its manifest's digest, so a stage that is repeated makes no second version.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import StateError
from lakehouse.models.bundle import MANIFEST
from lakehouse.registry import tracking
from lakehouse.registry.loading import DIGEST, MOMENT, Registry, is_whole
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

NOTEBOOK = "notebook"
REQUIREMENTS = ("lightgbm", "numpy", "cryptography", "pydantic", "pyyaml", "mlflow")
_CODE = Path(__file__).with_name("pyfunc_model.py")
_LONGEST_PARAMETER = 6000


@dataclass(frozen=True)
class Source:
    """A table version that a model was trained on."""

    table: str
    version: int
    path: str


@dataclass(frozen=True)
class Registration:
    """What is registered: the signed folder, from when it is, and what was measured. Metrics that are not finite are told as such."""

    name: str
    folder: Path
    moment: datetime
    parameters: Mapping[str, object]
    metrics: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]
    sources: tuple[Source, ...]
    tags: Mapping[str, str] = field(default_factory=dict)


def digest_of(folder: Path) -> str:
    """A model's digest: the SHA-256 of its manifest. Raises `StateError` where there is none."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise StateError(f"{folder} holds no {MANIFEST}: it is not a signed model. Write it with lakehouse.models.bundle.write_bundle")
    return hashlib.sha256(manifest.read_bytes()).hexdigest()


def register(settings: Settings, registration: Registration) -> str:
    """The version under which the folder is registered: the one that has its digest already, else a new one. Where that one's files are not
    what was registered any more, these, which are, take their place."""
    client = tracking.connect(settings)
    digest = digest_of(registration.folder)
    known = find(client, registration.name, digest)
    if known is None:
        return _register_new(client, settings, registration, digest)
    registered = Registry(settings).by_version(registration.name, known)
    if not is_whole(settings, registered):
        shutil.rmtree(registered.folder, ignore_errors=True)
        shutil.copytree(registration.folder, registered.folder)
    return known


def find(client: MlflowClient, name: str, digest: str) -> str | None:
    """The version of a model that has this digest; None where none has."""
    found = client.search_model_versions(f"name = '{name}' and tags.{DIGEST} = '{digest}'")
    ready = sorted(int(version.version) for version in found if version.status == "READY")
    return str(ready[0]) if ready else None


def attach_notebook(settings: Settings, name: str, version: str, notebook: Path) -> None:
    """Add the executed notebook to the run behind a version, once. The copy is whole only after the stage, so its runner calls this."""
    client = tracking.connect(settings)
    run = str(client.get_model_version(name, version).run_id)
    if not client.list_artifacts(run, NOTEBOOK):
        client.log_artifact(run, str(notebook), NOTEBOOK)


def _register_new(client: MlflowClient, settings: Settings, registration: Registration, digest: str) -> str:
    import mlflow

    experiment = tracking.experiment(client, settings, registration.name)
    tags = {**registration.tags, DIGEST: digest, MOMENT: registration.moment.isoformat()}
    tags |= {f"table:{source.table}": str(source.version) for source in registration.sources}
    name = f"{registration.name} {registration.moment:%Y-%m-%d} {digest[:8]}"
    with mlflow.start_run(experiment_id=experiment, run_name=name, tags=tags), tempfile.TemporaryDirectory() as place:
        mlflow.log_params({key: str(value)[:_LONGEST_PARAMETER] for key, value in registration.parameters.items()})
        mlflow.log_metrics(dict(_figures(registration)))
        for source in registration.sources:
            _log_source(source)
        # MLflow names what it copies after the folder.
        folder = Path(shutil.copytree(registration.folder, Path(place) / "model"))
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(_CODE),
            artifacts={"model": str(folder)},
            pip_requirements=[f"{package}=={installed(package)}" for package in REQUIREMENTS],
        )
    # Tags come with the version, in one transaction: a version without its digest would never be found again.
    registered = mlflow.register_model(logged.model_uri, registration.name, tags=tags)
    return str(registered.version)


def _figures(registration: Registration) -> Iterator[tuple[str, float]]:
    """Finite figures; baselines as `<baseline>/<metric>`. What is missing is missing here too, as the gate sees it."""
    for metric, value in registration.metrics.items():
        if math.isfinite(value):
            yield metric, float(value)
    for baseline, figures in registration.baselines.items():
        for metric, value in figures.items():
            if math.isfinite(value):
                yield f"{baseline}/{metric}", float(value)


def _log_source(source: Source) -> None:
    import mlflow
    import pandas as pd
    from mlflow.data.delta_dataset_source import DeltaDatasetSource

    # An empty frame: the version says which rows they were, and a copy of them is nobody's business here.
    where = DeltaDatasetSource(path=source.path, delta_table_version=source.version)
    dataset = mlflow.data.from_pandas(  # type: ignore[attr-defined]
        pd.DataFrame(), source=where, name=source.table, digest=f"v{source.version}"
    )
    mlflow.log_input(dataset, context="training", tags={"version": str(source.version)})
