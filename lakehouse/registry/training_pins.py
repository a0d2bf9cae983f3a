"""Pins of what models were trained on: made before anybody can rely on a model, let go where nobody ever did."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from lakehouse.registry import loading
from lakehouse.registry.gate import APPROVED
from lakehouse.registry.recipes import NAMES
from lakehouse.registry.recorded import recorded
from lakehouse.tables import Lake, pins, runs
from lakehouse.tables.pins import Pin

PINS_LAST = timedelta(days=90)
RECENT, QUIET = timedelta(days=1), timedelta(days=7)
_OF_TRAINING = re.compile(rf"model ({'|'.join(NAMES)}) [0-9a-f]{{12}}")  # other owners are people's words, whatever they begin with


def owner(model: str, digest: str) -> str:
    """Whose the pins of a model's training are."""
    return f"model {model} {digest[:12]}"


def expired_pins(lake: Lake, now: datetime) -> list[Pin]:
    """Pins of what a model was trained on that the gate never let through, once they are 90 days old (wall clock, UTC).

    What they keep is deleted for good, so a clock that is far ahead must not make them old: they are as old as they were a week after the last that
    the lake recorded, what it recorded within the last day left out, which a wrong clock wrote too.
    """
    last = runs.last_recorded(lake.ops, now - RECENT)
    if last is None:
        return []
    now = min(now, last + QUIET)
    approved = {owner(one.name, one.digest) for one in loading.versions(lake.settings) if one.decision == APPROVED}
    approved |= {owner(one.model, one.digest) for one in recorded(lake) if one.approved}  # known to a registry that may have been lost
    old = [pin for pin in pins.every(lake.ops) if _OF_TRAINING.fullmatch(pin.owner) and now - pin.pinned_at > PINS_LAST]
    return [pin for pin in old if pin.owner not in approved]
