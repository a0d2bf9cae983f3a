"""MLflow on a home: its database is `mlflow.db`, its files lie in `mlartifacts`, and there is no server."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from sqlalchemy import column, create_engine, table, update

from lakehouse.errors import OtherSchema
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

_experiments = table("experiments", column("experiment_id"), column("artifact_location"))
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def quiet() -> None:
    """Has MLflow tell nobody of its use. To be called before it is imported: what it finds then counts as long as the process lives."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)


def connect(settings: Settings) -> MlflowClient:
    """A client of the home's registry, which the module-level functions of MLflow use from now on too. Raises `OtherSchema` where another MLflow wrote
    its database."""
    quiet()
    import mlflow
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)  # it tells of every migration and every missing `pip`
    settings.home.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(settings.mlflow_url)
    mlflow.set_registry_uri(settings.mlflow_url)
    try:
        return MlflowClient(settings.mlflow_url, settings.mlflow_url)
    except MlflowException as error:
        if "database schema" not in str(error):
            raise
        raise OtherSchema(
            f"another MLflow than this one ({mlflow.__version__}) wrote {settings.mlflow_url}: {str(error).partition('. ')[0]}. If that one was newer,"
            f" install the zeromargin which brought it; if it was older, take a backup, then: mlflow db upgrade {settings.mlflow_url}"
        ) from None


def experiment(client: MlflowClient, settings: Settings, name: str) -> str:
    """The id of a model's experiment, made on first use."""
    place = (settings.home / "mlartifacts").as_uri()
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, artifact_location=place))
    if found.artifact_location != place:
        # The home was moved. MLflow has no call for that, and would write the next model where the home was.
        engine = create_engine(settings.mlflow_url)
        with engine.begin() as connection:
            connection.execute(
                update(_experiments).where(_experiments.c.experiment_id == int(found.experiment_id)).values(artifact_location=place)
            )
        engine.dispose()
    return str(found.experiment_id)
