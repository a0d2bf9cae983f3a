"""The grid of moments: Mondays 00:00, or every midnight, in shop wall time. Times here are naive."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from lakehouse.errors import WrongDay

Every = Literal["week", "day"]
# SQL over lines: when all that a line stands for has been sold. Of a weekly total that is the last day that it covers.
SOLD_BY = "CASE WHEN covers = 'week' THEN sold_at + INTERVAL '6' DAY ELSE sold_at END"
_MORE = {"time": ", or with a time, 2011-12-05 08:30:00"}
_TO_THE_SECOND = re.compile(r"\d:\d\d:\d\d(?![\d.,])")
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
    return _of_the_shop(_parsed(text, "day"), text)


def until(day: str | date) -> datetime:
    """What is asked for as of a day, as text or a `date`, reaches to its end; a time is meant as it is. Raises `WrongDay` for anything else."""
    if isinstance(day, datetime):
        return _of_the_shop(day, str(day))
    if isinstance(day, date):
        return datetime.combine(day, time.max)
    if not isinstance(day, str):
        raise WrongDay(f"{day!r} is not a day. Expected a date, or text such as {date(2011, 12, 5)}")
    found = parse_day(day)
    return datetime.combine(found, time.max) if _is_whole_day(day) else found


def written_by(when: str | date) -> datetime:
    """A time of the wall clock, in UTC where it says no offset. Text that ends with a second, as times are shown, means that second to its end. Raises
    `WrongDay` for anything else."""
    if isinstance(when, datetime):
        found = when
    elif isinstance(when, date):
        found = datetime.combine(when, time())
    elif isinstance(when, str):
        found = _parsed(when, "time")
        if _TO_THE_SECOND.search(when):
            found += timedelta(seconds=1, microseconds=-1)
    else:
        raise WrongDay(f"{when!r} is not a time. Expected a datetime, or text such as {datetime(2011, 12, 5, 8, 30)}")
    return found.replace(tzinfo=found.tzinfo or UTC)


def _parsed(text: str, what: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise WrongDay(f'"{text}" is not a {what}. Expected YYYY-MM-DD, for example {date(2011, 12, 5)}{_MORE.get(what, "")}') from None


def _of_the_shop(found: datetime, told: str) -> datetime:
    if found.tzinfo is not None:
        raise WrongDay(f'"{told}" has an offset. Days are the shop\'s own: write it without')
    return found


def _is_whole_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
