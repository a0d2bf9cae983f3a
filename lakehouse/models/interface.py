"""What the three models have in common: feature rows in, answers out; fit, predict, evaluate, save, load.

A *model* is data: it answers and can be saved as named bytes. A *trainer* makes one from a frame, and judges how well it does so. They live
in modules of their own, so that what answers needs neither pandas nor scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from lakehouse.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from lakehouse.models.evaluation import Evaluation

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Floats = NDArray[np.float64]
Moments = NDArray[np.datetime64]
Values = Sequence[object] | NDArray[np.generic]

EPOCH = np.datetime64("1970-01-01", "D")


@dataclass(frozen=True)
class Rows:
    """Feature values of n entities, each at a moment of its own.

    Values are what Feast gives: numbers as int, float or Decimal, days as date, datetime or ISO text, arrays as lists; None or NaN is
    missing. They are converted here, once, for training and serving alike. Raises `InputError` for a missing or unreadable column.
    """

    columns: Mapping[str, Values]
    moments: Moments

    @classmethod
    def of_frame(cls, frame: pd.DataFrame) -> Self:
        """The rows of a training frame, whose moments are its `event_timestamp`."""
        moments = frame["event_timestamp"].dt.tz_localize(None).to_numpy().astype("datetime64[s]")
        return cls({str(name): frame[name].to_numpy() for name in frame.columns}, moments)

    @classmethod
    def of_question(cls, question: Mapping[str, Json]) -> Self:
        """The one row of a question as serving asks and logs it: `{"moment": ISO text, "features": {name: value}}`."""
        moment, features = question.get("moment"), question.get("features")
        if not isinstance(moment, str) or not isinstance(features, dict):
            raise InputError('a question needs "moment" (ISO text) and "features" (an object of values)')
        try:
            return cls.of_one(features, datetime.fromisoformat(moment))
        except ValueError:
            raise InputError(f'the question\'s "moment" is {moment!r}, expected ISO text such as 2011-11-07T00:00:00') from None

    @classmethod
    def of_one(cls, features: Mapping[str, object], moment: datetime) -> Self:
        return cls({name: [value] for name, value in features.items()}, np.array([moment.replace(tzinfo=None)], dtype="datetime64[s]"))

    def __len__(self) -> int:
        return len(self.moments)

    def numbers(self, name: str) -> Floats:
        """A column as float64, NaN where missing."""
        values = self._column(name)
        try:
            return np.asarray(values, dtype=object).astype(np.float64) if not _is_numeric(values) else np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"feature {name} holds something that is not a number: {error}") from None

    def days(self, name: str) -> Floats:
        """A column of days as days since 1970-01-01, NaN where missing. A number is taken for such a count already."""
        values = self._column(name)
        if isinstance(values, np.ndarray) and values.dtype.kind == "M":
            return np.where(np.isnat(values), np.nan, (values.astype("datetime64[D]") - EPOCH).astype(np.float64))
        if _is_numeric(values):
            return np.asarray(values, dtype=np.float64)
        try:
            return np.array([_day(value) for value in values], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"feature {name} holds something that is not a day: {error}") from None

    def ages(self, name: str) -> Floats:
        """Days from a column's day to each row's moment, NaN where missing; a day after the moment counts as today. Feature rows hold the
        day and not its age, which changes with every moment while the row stays."""
        return np.maximum(self.moment_days() - self.days(name), 0.0)

    def lists(self, name: str) -> list[list[object]]:
        """A column of arrays, empty where missing."""
        return [[] if value is None or isinstance(value, float) else _listed(name, value) for value in self._column(name)]

    def moment_days(self) -> Floats:
        """Each row's moment as days since 1970-01-01, with its part of a day."""
        return np.asarray((self.moments.astype("datetime64[s]") - EPOCH.astype("datetime64[s]")).astype(np.float64) / 86_400)

    def _column(self, name: str) -> Values:
        try:
            return self.columns[name]
        except KeyError:
            raise InputError(f"feature {name} is missing; there are {', '.join(sorted(self.columns)) or 'none'}") from None


def _is_numeric(values: Values) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind in "iufb"


def _day(value: object) -> float:
    if value is None or value != value:  # NaN and NaT alone differ from themselves
        return float("nan")
    if isinstance(value, int | float | np.number):
        return float(value)
    text = value if isinstance(value, str) else str(value)
    return float((np.datetime64(text[:10], "D") - EPOCH).astype(int))


def _listed(name: str, value: object) -> list[object]:
    if isinstance(value, np.ndarray):
        return list(value.tolist())
    if isinstance(value, list | tuple):
        return list(value)
    raise InputError(f"feature {name} holds a {type(value).__name__}, expected a list")


Answers = TypeVar("Answers", covariant=True)


class Model(Protocol[Answers]):
    """What answers. `name` and `format` are in the manifest; `needs` are the features that it reads."""

    name: ClassVar[str]
    format: ClassVar[int]
    needs: ClassVar[tuple[str, ...]]

    def predict(self, rows: Rows) -> Answers:
        """Answers for many entities, in the order of the rows."""
        ...

    def answer(self, question: Mapping[str, Json]) -> dict[str, Json]:
        """The answer for one entity as plain JSON: a pure function of the question, so that a logged answer can be made again."""
        ...

    def save(self) -> dict[str, bytes]:
        """The model as files; equal models give equal bytes."""
        ...

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> Self: ...


Trained = TypeVar("Trained", covariant=True)


class Trainer(Protocol[Trained]):
    """What makes a model from a frame: one row per entity and `event_timestamp`, features as Feast gives them, labels beside them."""

    def fit(self, frame: pd.DataFrame) -> Trained: ...

    def evaluate(self, frame: pd.DataFrame) -> Evaluation:
        """How a model made by `fit` from the older part of the frame does on the newest part, beside its baselines."""
        ...

    def golden(self, frame: pd.DataFrame) -> list[dict[str, Json]]:
        """Questions whose answers are kept with the model. They hold nobody's personal data."""
        ...

    @property
    def parameters(self) -> dict[str, Json]: ...
