"""What a run tells while it goes on. Whoever shows it takes these events; the runner knows nothing of terminals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Step = Literal["prepared", "started", "skipped", "again", "done", "failed"]


@dataclass(frozen=True)
class Event:
    """Stage `number` of `total` of a run; none yet where something is `prepared`. `message` says what, or why a stage is tried again or failed."""

    step: Step
    stage: str = ""
    number: int = 0
    total: int = 0
    seconds: float = 0.0
    message: str = ""


Progress = Callable[[Event], None]


def silent(event: Event) -> None:
    """Tells nobody."""
