"""What segments are called, and what is said of them: from their numbers alone, so that it holds for any shop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from lakehouse.models import metrics
from lakehouse.models.segments import LAPSED, Segment

SAME = 0.3  # a segment keeps the name of the one before that shares so much of its members (Jaccard)
NEW_DAYS = 120
ROMAN = ("", " II", " III", " IV", " V", " VI", " VII", " VIII")
USES = {
    "newcomers": "Welcome them: a second purchase soon is what makes them stay.",
    "regulars": "Keep them: first to hear of new products, no discounts needed.",
    "occasionals": "Bring them back sooner: recommend what goes with their last purchase.",
    "fading regulars": "Win them back now: they used to come often.",
    "quiet customers": "Ask them back once, with what they used to buy.",
    "one-timers": "Remind them rarely and cheaply.",
}


@dataclass(frozen=True)
class Profile:
    """Medians of a segment's members in plain units, the share of units returned, and the share of active customers that it holds."""

    recency: float
    frequency: float
    spend: float
    tenure: float
    breadth: float
    return_rate: float
    share: float

    @property
    def text(self) -> str:
        return (
            f"{self.share:.0%} of active customers. Typically bought on {self.frequency:.0f} {'day' if round(self.frequency) == 1 else 'days'} "
            f"in the past year, last {self.recency:.0f} days ago, spent {self.spend:,.0f} on {self.breadth:.0f} different products so far, "
            f"customer for {self.tenure:.0f} days, returned {self.return_rate:.1%} of units."
        )


def kind(profile: Profile, everybody: Profile) -> str:
    """The kind of customers a profile describes, beside everybody's."""
    often, lately = profile.frequency > everybody.frequency, profile.recency <= everybody.recency
    if profile.tenure <= NEW_DAYS:
        return "newcomers"
    if often:
        return "regulars" if lately else "fading regulars"
    if lately:
        return "occasionals"
    return "one-timers" if profile.frequency < 2 else "quiet customers"


def named(
    profiles: Sequence[Profile],
    everybody: Profile,
    members: Sequence[frozenset[str]],
    before: Sequence[tuple[Segment, frozenset[str]]] = (),
) -> tuple[Segment, ...]:
    """A segment per profile. One whose members mostly bore a name before bears it again; the others are called by their kind, the one
    that spends most first. `before`: the segments of the model before, with those of the same customers that it puts there."""
    kept: dict[int, Segment] = {}
    if before and members:
        alike = np.nan_to_num([[metrics.jaccard(mine, theirs) for _, theirs in before] for mine in members])
        for mine, theirs in zip(*linear_sum_assignment(-alike), strict=True):
            if alike[mine][theirs] >= SAME:
                kept[int(mine)] = before[int(theirs)][0]
    taken = {segment.name for segment in kept.values()} | {LAPSED}
    segments: dict[int, Segment] = {}
    for place in sorted(range(len(profiles)), key=lambda place: -profiles[place].spend):
        if place in kept:
            segments[place] = Segment(kept[place].name, profiles[place].text, kept[place].use)
            continue
        word = kind(profiles[place], everybody)
        name = next(name for name in (f"{word}{number}" for number in (*ROMAN, *map(str, range(9, 99)))) if name not in taken)
        taken.add(name)
        segments[place] = Segment(name, profiles[place].text, USES[word])
    return tuple(segments[place] for place in range(len(profiles)))
