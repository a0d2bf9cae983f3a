"""Whether a trained version may become champion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lakehouse.models.evaluation import Evaluation, beats_naive
from lakehouse.models.interface import Json

APPROVED, REFUSED = "approved", "refused"


@dataclass(frozen=True)
class Decision:
    """A gate's word, and its reasons where that is no."""

    approved: bool
    reasons: tuple[str, ...]

    @property
    def word(self) -> str:
        return APPROVED if self.approved else REFUSED


def evaluation_of(manifest: Mapping[str, Json]) -> Evaluation:
    """What a signed manifest says that its evaluation found. On how many rows it does not say; figures on none are not finite, and missing."""
    metrics, baselines = manifest["metrics"], manifest["baselines"]
    assert isinstance(metrics, dict) and isinstance(baselines, dict)
    return Evaluation(str(manifest["name"]), _figures(metrics), {name: _figures(found) for name, found in baselines.items()}, 1, ())


def _figures(found: Json) -> dict[str, float]:
    """Those that are numbers: what was not finite is null in a manifest, and missing here."""
    assert isinstance(found, dict)
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def decide(evaluation: Evaluation) -> Decision:
    """No where a metric or a baseline is missing, or a naive answer is as good."""
    reasons = tuple(beats_naive(evaluation))
    return Decision(not reasons, reasons)
