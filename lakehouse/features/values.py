"""The values of one entity as serving gets them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

Value = None | float | int | str | list[str] | list[int] | list[float]


@dataclass(frozen=True)
class FeatureValues:
    """What the online store holds of one entity: JSON values by feature, days as ISO text.

    `moment`: of the row; `marker`: the moment up to which the store is published, None where a publication never ended.
    """

    view: str
    values: Mapping[str, Value]
    moment: datetime
    marker: datetime | None

    @property
    def as_of(self) -> datetime:
        """The moment at which these values hold, and from which ages count: the later of the marker and the row's own."""
        return self.moment if self.marker is None else max(self.moment, self.marker)

    def is_stale(self, newest: datetime, step: timedelta) -> bool:
        """Whether the store is more than one moment behind the newest snapshot's; the row's own moment says nothing about that."""
        return is_behind(self.marker, newest, step)


def is_behind(marker: datetime | None, newest: datetime, step: timedelta) -> bool:
    """Whether the online store is more than one moment of the grid behind. A store that was never published is."""
    return marker is None or newest - marker > step
