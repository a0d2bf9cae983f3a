"""What the files that landed don't tell, and which parts are switched off for that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lakehouse.tables import Lake


@dataclass(frozen=True)
class SwitchedOff:
    """Parts that these files can't have, and why."""

    parts: tuple[str, ...]
    reason: str


def switched_off(lake: Lake) -> list[SwitchedOff]:
    """By what is published; nothing is switched off where nothing is."""
    if lake.snapshot() is None:
        return []
    rows = {state.name: state.rows for state in lake.tables()}
    return [] if not rows["silver.sales"] else list(_missing(rows))


def _missing(rows: Mapping[str, int]) -> list[SwitchedOff]:
    found = []
    if not rows["gold.customers"]:
        found.append(SwitchedOff(("segments", "recommendations", "gold.customers", "gold.customer_days"), "no line names its customer"))
    elif rows["gold.products"] == 1:
        found.append(SwitchedOff(("recommendations",), "there is one product only"))
    if not rows["gold.baskets"]:
        found.append(SwitchedOff(("gold.baskets",), "no line has the number of a receipt"))
    return found
