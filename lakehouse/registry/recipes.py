"""How each model is made and asked, by its name: its feature service, its frames, its trainer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from lakehouse.errors import UnknownName
from lakehouse.models.bundle import Answering, Bundle
from lakehouse.models.evaluation import Evaluation
from lakehouse.models.interface import Json
from lakehouse.tables import Lake

if TYPE_CHECKING:
    import pandas as pd

NAMES = ("demand", "segments", "recommendations")


@dataclass(frozen=True)
class Trained:
    """A model, how it was judged, and questions whose answers are to be kept with it."""

    model: Answering
    evaluation: Evaluation
    questions: list[dict[str, Json]]
    parameters: dict[str, Json]


@dataclass(frozen=True)
class Recipe:
    """`reads`: the tables that a training reads, which are pinned for it.

    `train`: on what the lake reads, after the version approved before; raises `NotEnoughData`. `ask`: every entity's features at a moment."""

    service: str
    reads: tuple[str, ...]
    train: Callable[[Lake, Bundle | None], Trained]
    ask: Callable[[Lake, datetime], pd.DataFrame]


def recipe(name: str) -> Recipe:
    """Raises `UnknownName` for a model that is not one of the three."""
    if name == "demand":
        return _demand()
    if name == "segments":
        return _segments()
    if name == "recommendations":
        return _recommendations()
    raise UnknownName("model", name, NAMES)


def _demand() -> Recipe:
    from lakehouse.models import demand_frame
    from lakehouse.models.demand_training import DemandParameters, DemandTrainer

    def train(lake: Lake, before: Bundle | None) -> Trained:
        trainer, frame = DemandTrainer(DemandParameters.of(lake.settings.models)), demand_frame.training_frame(lake)
        return Trained(trainer.fit(frame), trainer.evaluate(frame), trainer.golden(frame), trainer.parameters)

    return Recipe(demand_frame.SERVICE, ("silver.sales", "features.product_sales"), train, demand_frame.asking_frame)


def _segments() -> Recipe:
    from lakehouse.models import segments_frame
    from lakehouse.models.segments import SegmentsModel
    from lakehouse.models.segments_training import SegmentsParameters, SegmentsTrainer

    def train(lake: Lake, before: Bundle | None) -> Trained:
        previous = before.model if before is not None and isinstance(before.model, SegmentsModel) else None
        trainer, frame = SegmentsTrainer(SegmentsParameters.of(lake.settings.models), previous), segments_frame.training_frame(lake)
        # Names are handed on, so training again needs the model that they came from.
        parameters = trainer.parameters | {"names_from": None if before is None else before.digest}
        model, evaluation = trainer.trained(frame)
        return Trained(model, evaluation, trainer.golden(frame), parameters)

    return Recipe(segments_frame.SERVICE, ("silver.sales", "features.customer_history"), train, segments_frame.asking_frame)


def _recommendations() -> Recipe:
    from lakehouse.models import recommendations_frame
    from lakehouse.models.recommendations_training import RecommendationsParameters, RecommendationsTrainer

    def train(lake: Lake, before: Bundle | None) -> Trained:
        trainer = RecommendationsTrainer(RecommendationsParameters.of(lake.settings.models))
        frame = recommendations_frame.training_frame(lake)
        return Trained(trainer.fit(frame), trainer.evaluate(frame), trainer.golden(frame), trainer.parameters)

    reads = ("silver.sales", "gold.products", "features.customer_history")
    return Recipe(recommendations_frame.SERVICE, reads, train, recommendations_frame.asking_frame)
