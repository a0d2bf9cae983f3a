"""Whether a trained version may become champion."""

from __future__ import annotations

from dataclasses import dataclass

from lakehouse.models.evaluation import Evaluation, beats_naive

APPROVED, REFUSED = "approved", "refused"


@dataclass(frozen=True)
class Decision:
    """A gate's word, and its reasons where that is no."""

    approved: bool
    reasons: tuple[str, ...]

    @property
    def word(self) -> str:
        return APPROVED if self.approved else REFUSED


def decide(evaluation: Evaluation) -> Decision:
    """No where a metric or a baseline is missing, or a naive answer is as good."""
    reasons = tuple(beats_naive(evaluation))
    return Decision(not reasons, reasons)
