"""Each model's frame, trainer and feature service, by the model's name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from lakehouse.errors import UnknownName
from lakehouse.models.bundle import Answering
from lakehouse.models.interface import Json
from lakehouse.tables import Lake

if TYPE_CHECKING:
    import pandas as pd

    from lakehouse.models.evaluation import Evaluation
    from lakehouse.settings import Settings

NAMES = ("demand", "segments", "recommendations")


class AnyTrainer(Protocol):
    """A trainer of any of the models. Frames are the model's own."""

    @property
    def parameters(self) -> dict[str, Json]: ...

    def fit(self, frame: pd.DataFrame) -> Answering: ...

    def evaluate(self, frame: pd.DataFrame) -> Evaluation: ...

    def golden(self, frame: pd.DataFrame) -> list[dict[str, Json]]: ...


@dataclass(frozen=True)
class Recipe:
    """How a model is made: its frames, and its trainer, which may be told the champion that it is to follow."""

    service: str
    training_frame: Callable[[Lake], pd.DataFrame]
    asking_frame: Callable[[Lake, datetime], pd.DataFrame]
    trainer: Callable[[Settings, Answering | None], AnyTrainer]


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

    def trainer(settings: Settings, previous: Answering | None) -> AnyTrainer:
        return DemandTrainer(DemandParameters.of(settings.models))

    return Recipe(demand_frame.SERVICE, demand_frame.training_frame, demand_frame.asking_frame, trainer)


def _segments() -> Recipe:
    from lakehouse.models import segments_frame
    from lakehouse.models.segments import SegmentsModel
    from lakehouse.models.segments_training import SegmentsParameters, SegmentsTrainer

    def trainer(settings: Settings, previous: Answering | None) -> AnyTrainer:
        return SegmentsTrainer(SegmentsParameters.of(settings.models), previous if isinstance(previous, SegmentsModel) else None)

    return Recipe(segments_frame.SERVICE, segments_frame.training_frame, segments_frame.asking_frame, trainer)


def _recommendations() -> Recipe:
    from lakehouse.models import recommendations_frame
    from lakehouse.models.recommendations_training import RecommendationsParameters, RecommendationsTrainer

    def trainer(settings: Settings, previous: Answering | None) -> AnyTrainer:
        return RecommendationsTrainer(RecommendationsParameters.of(settings.models))

    return Recipe(recommendations_frame.SERVICE, recommendations_frame.training_frame, recommendations_frame.asking_frame, trainer)
