"""What MLflow stores beside a signed folder, so that `mlflow.pyfunc.load_model` works: models from code, without a pickle.

MLflow runs this file when it loads the model. The folder is verified against this home's key before anything in it is parsed.
"""

from __future__ import annotations

from pathlib import Path

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from lakehouse import settings
from lakehouse.models.bundle import read_bundle
from lakehouse.privacy.secrets import verify_key


class SignedModel(PythonModel):
    """Answers questions as serving does: one JSON object per row in the column `question`, one answer each."""

    def load_context(self, context: PythonModelContext) -> None:
        self._model = read_bundle(Path(context.artifacts["model"]), verify_key(settings.load())).model

    def predict(  # type: ignore[override]  # MLflow looks at the signature, and takes one without a context
        self, model_input: pd.DataFrame
    ) -> list[dict[str, object]]:
        return [dict(self._model.answer(question)) for question in model_input["question"]]


mlflow.models.set_model(SignedModel())
