"""The grid of moments: Mondays 00:00, or every midnight, in shop wall time. Times here are naive."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Literal

from lakehouse.errors import WrongDay

Every = Literal["week", "day"]
# SQL over lines: when all that a line stands for has been sold. Of a weekly total that is the last day that it covers.
SOLD_BY = "CASE WHEN covers = 'week' THEN sold_at + INTERVAL '6' DAY ELSE sold_at END"
_ORIGIN = {"week": datetime(1970, 1, 5), "day": datetime(1970, 1, 1)}


def step(every: Every) -> timedelta:
    """The distance of two neighbouring moments."""
    return timedelta(days=7 if every == "week" else 1)


def floor_moment(when: datetime, every: Every) -> datetime:
    """The last moment at or before `when`."""
    origin, length = _ORIGIN[every], step(every)
    return origin + ((when - origin) // length) * length


def next_moment(when: datetime, every: Every) -> datetime:
    """The first moment after `when`."""
    return floor_moment(when, every) + step(every)


def grid(after: datetime, until: datetime, every: Every) -> list[datetime]:
    """Every moment after `after` up to `until`, in order."""
    found, moment = [], next_moment(after, every)
    while moment <= until:
        found.append(moment)
        moment += step(every)
    return found


def parse_day(text: str) -> datetime:
    """A day (YYYY-MM-DD) or a time (YYYY-MM-DDTHH:MM:SS) as people write it. Raises `WrongDay` for anything else."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise WrongDay(f'"{text}" is not a day. Expected YYYY-MM-DD, for example {date(2011, 12, 5)}') from None
    if found.tzinfo is not None:
        raise WrongDay(f'"{text}" has an offset. Days are the shop\'s own: write it without')
    return found
