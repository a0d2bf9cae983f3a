"""Times as files write them, to shop wall time in microseconds since 1970.

Texts are matched by regular expressions rather than by strptime, which takes 2011-02-31 for the third of March.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Self
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SECOND = 1_000_000
_DAY = 86_400 * SECOND
_QUARTER = 900 * SECOND  # no zone has changed its offset at any other moment since 1970
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_FIRST, _LAST = -62_135_596_800, 253_402_300_799  # seconds of the years 1 to 9999
_EPOCH = datetime(1970, 1, 1)
_INNER = ((_FIRST + 366 * 86_400) * SECOND, (_LAST - 366 * 86_400) * SECOND)  # a year from either end
_FOUR_DIGITS = 1_000
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_GROUPS = {
    "Y": r"(?P<Y>[0-9]{4})",
    "y": r"(?P<y>[0-9]{2})",
    "m": r"(?P<m>[0-9]{1,2})",
    "d": r"(?P<d>[0-9]{1,2})",
    "G": r"(?P<G>[0-9]{4})",
    "V": r"(?P<V>[0-9]{1,2})",
    "u": r"(?P<u>[1-7])",
    "b": rf"(?P<b>(?i:{'|'.join(_MONTHS)}))",
    "H": r"(?P<H>[0-9]{1,2})",
    "I": r"(?P<I>[0-9]{1,2})",
    "p": r"(?P<p>(?i:am|pm))",
    "M": r"(?P<M>[0-9]{2})",
    "S": r"(?P<S>[0-9]{2})",
    "f": r"(?P<f>[0-9]{1,6})[0-9]{0,3}",
    "z": r"(?:[Zz]|(?P<zs>[+-])(?P<zh>[0-9]{2}):?(?P<zm>[0-9]{2}))",
    "%": "%",
}
_DIGITS = frozenset("YymdGVuHIMSf")


@dataclass(frozen=True)
class Parsed:
    """Moments in microseconds since 1970, and which lines have none: `missing` had nothing there, `bad` had something else."""

    micros: Ints
    missing: Mask
    bad: Mask


@dataclass(frozen=True)
class TimeFormat:
    """A format of directives (%Y-%m-%d %H:%M:%S), as a regular expression over the whole text."""

    text: str
    pattern: str
    directives: frozenset[str]

    @property
    def has_offset(self) -> bool:
        return "z" in self.directives

    @property
    def is_number(self) -> bool:
        """Whether such times are written in digits alone, as a column of whole numbers holds them."""
        return not re.sub("|".join(f"%{one}" for one in _DIGITS), "", self.text)

    @classmethod
    @cache
    def of(cls, text: str) -> Self:
        """Raises `ValueError` for a directive that is not known, or a format that leaves the day open."""
        parts = re.split(r"%(.)", text)
        found = parts[1::2]
        for directive in found:
            if directive not in _GROUPS:
                known = " ".join(f"%{name}" for name in _GROUPS)
                raise ValueError(f'%{directive} in "{text}" is not a part of times. Known: {known}')
        once = [directive for directive in found if directive != "%"]
        chosen = frozenset(once)
        is_day, is_week = {"Y", "y"} & chosen and {"m", "b"} & chosen and "d" in chosen, {"G", "V"} <= chosen
        if len(once) != len(chosen) or not (is_week if chosen & set("GVu") else is_day) or (is_week and chosen & set("Yymbd")):
            raise ValueError(
                f'"{text}" must have a year, a month and a day, or the year and the week of ISO 8601 (%G and %V), each part once'
            )
        pattern = "".join(_group(parts, place) if place % 2 else re.escape(part) for place, part in enumerate(parts))
        return cls(text, f"^{pattern}$", chosen)


def _group(parts: Sequence[str], place: int) -> str:
    """What a directive matches. Next to other digits nothing tells where a number of one digit ends: there it must have two."""
    group = _GROUPS[parts[place]]
    beside = [parts[at] for at, between in ((place - 2, place - 1), (place + 2, place + 1)) if 0 <= at < len(parts) and not parts[between]]
    return group.replace("{1,2}", "{2}") if _DIGITS.intersection(beside) else group


def from_texts(column: pa.Array, formats: tuple[str, ...], zone: str | None, given_in: str | None) -> Parsed:
    """Times of stripped texts (null where there is none), each by the first format that fits it."""
    missing = column.is_null().to_numpy(zero_copy_only=False)
    micros, good = np.zeros(len(column), dtype=np.int64), np.zeros(len(column), dtype=bool)
    for text in formats:
        rest = ~(missing | good)
        if not rest.any():
            break
        form = TimeFormat.of(text)
        found, fits = _read(column.filter(pa.array(rest)), form)
        given = "UTC" if form.has_offset else given_in
        places = np.flatnonzero(rest)[fits]
        micros[places] = _to_shop(found[fits], given, zone)
        good[places] = True
    return Parsed(micros, missing, ~(good | missing))


def from_moments(column: pa.Array, zone: str | None, given_in: str | None) -> Parsed:
    """Times of a column of timestamps or dates. Timestamps with a zone are moments, and `zone` must be given for them."""
    missing = column.is_null().to_numpy(zero_copy_only=False)
    kind = column.type
    if pa.types.is_date(kind):
        values, per_second = _ints(column.cast(pa.date32()).cast(pa.int32())) * 86_400, 1
        given_in = None
    else:
        values, per_second = _ints(column.cast(pa.int64())), _PER_SECOND[kind.unit]
        given_in = "UTC" if kind.tz is not None else given_in
    bad = ~missing & ((values // per_second < _FIRST) | (values // per_second > _LAST))
    values = np.where(missing | bad, 0, values)
    micros = values * (SECOND // per_second) if per_second <= SECOND else values // (per_second // SECOND)
    return Parsed(_to_shop(micros, given_in, zone), missing, bad)


def from_counted(column: pa.Array, days: int, number: int, day: date, has_time: bool = False) -> Parsed:
    """Days that are numbered, as stripped texts or numbers: `number` is `day`, and the next one is `days` later. `has_time`: a fraction is the time
    of the day, to the second; else it is no such number."""
    missing = column.is_null().to_numpy(zero_copy_only=False)
    counted = _numbers(column)
    bad = ~missing & ~(np.abs(counted) < 1_000_000)
    if not has_time:
        bad |= ~missing & (counted != np.trunc(counted))
    counted = np.where(missing | bad, number, counted)
    whole = np.floor(counted)
    found = (day - _EPOCH.date()).days + (whole.astype(np.int64) - number) * days
    bad |= ~missing & ((found < _FIRST // 86_400) | (found > _LAST // 86_400))
    seconds = np.round((counted - whole) * 86_400).astype(np.int64)
    return Parsed(np.where(bad, 0, found * _DAY + seconds * SECOND), missing, bad)


def from_weeks(weeks: pa.Array, years: pa.Array) -> Parsed:
    """The Mondays of the weeks of years, by ISO 8601: the first week of a year is that of its fourth of January. Missing where either is."""
    missing = pc.or_(weeks.is_null(), years.is_null()).to_numpy(zero_copy_only=False)
    week, year = _numbers(weeks), _numbers(years)
    whole = ~missing & (week == np.trunc(week)) & (year == np.trunc(year)) & (year >= _FOUR_DIGITS)  # 24 may be any century's
    monday = np.ones(len(whole), dtype=np.int64)
    found, good = _days_of_weeks(np.where(whole, year, 0).astype(np.int64), np.where(whole, week, 0).astype(np.int64), monday)
    return Parsed(np.where(good, found, 0) * _DAY, missing, ~(good | missing))


def first_of_weeks(last: Parsed) -> Parsed:
    """The first days of weeks that are told by their last, six days later."""
    return Parsed(np.where(last.missing | last.bad, 0, last.micros - 6 * _DAY), last.missing, last.bad)


def _first_monday(year: Ints) -> Ints:
    """Days from 1970 to the Monday of the week of the fourth of January."""
    fourth: Ints = (year - 1970).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64) + 3
    return fourth - (fourth + 3) % 7


def _numbers(column: pa.Array) -> npt.NDArray[np.float64]:
    """Stripped texts or numbers as such; NaN for what is none of at most six digits before the point, real dates too."""
    if pa.types.is_temporal(column.type):
        return np.full(len(column), np.nan)
    if pa.types.is_string(column.type):
        column = pc.if_else(pc.match_substring_regex(column, r"^-?[0-9]{1,6}(\.[0-9]*)?$"), column, pa.scalar(None, pa.string()))
    found: npt.NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return found


def _read(column: pa.Array, form: TimeFormat) -> tuple[Ints, Mask]:
    """Microseconds since 1970 in whatever zone the text is in (UTC where it has an offset), and which texts are such times."""
    parts = pc.extract_regex(column, form.pattern)
    fits: Mask = parts.is_valid().to_numpy(zero_copy_only=False)

    def number(name: str, default: int = 0) -> Ints:
        if f"(?P<{name}>" not in form.pattern:
            return np.full(len(column), default, dtype=np.int64)
        field = parts.field(name)
        return _ints(pc.if_else(pc.equal(field, ""), None, field).cast(pa.int64()), default)

    year = number("Y")
    if "y" in form.directives:
        short = number("y")
        year = np.where(short < 69, 2000, 1900) + short
    month = number("m", 1)
    if "b" in form.directives:
        month = _ints(pc.index_in(pc.utf8_lower(parts.field("b")), pa.array(_MONTHS)), -1) + 1
    day, hour = number("d", 1), number("H")
    if "I" in form.directives:
        twelve = number("I", 12)
        fits &= (twelve >= 1) & (twelve <= 12)
        hour = twelve % 12
    if "p" in form.directives:
        after_noon = pc.equal(pc.utf8_lower(parts.field("p")), "pm").to_numpy(zero_copy_only=False)
        hour = hour % 12 + 12 * after_noon.astype(np.int64)
    minute, second = number("M"), number("S")
    fits &= (hour <= 23) & (minute <= 59) & (second <= 59)
    if "V" in form.directives:
        days, is_one = _days_of_weeks(number("G"), number("V"), number("u", 1))
    else:
        days, is_one = _days_of_months(year, month, day)
    fits &= is_one
    micros = (days * 86_400 + hour * 3_600 + minute * 60 + second) * SECOND
    if "f" in form.directives:
        micros = micros + _ints(pc.utf8_rpad(parts.field("f"), 6, "0").cast(pa.int64()))
    if form.has_offset:
        sign = np.where(pc.equal(parts.field("zs"), "-").to_numpy(zero_copy_only=False), -1, 1)
        hours, minutes = number("zh"), number("zm")
        fits &= (hours <= 15) & (minutes <= 59)
        micros = micros - sign * (hours * 3_600 + minutes * 60) * SECOND
    return micros, fits


def _days_of_months(year: Ints, month: Ints, day: Ints) -> tuple[Ints, Mask]:
    """Days since 1970, and which are on the calendar."""
    good = (year >= 1) & (month >= 1) & (month <= 12)
    months = np.where(good, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    first = months.astype("datetime64[D]").astype(np.int64)
    after = (months + 1).astype("datetime64[D]").astype(np.int64)
    return first + day - 1, good & (day >= 1) & (day <= after - first)


def _days_of_weeks(year: Ints, week: Ints, day: Ints) -> tuple[Ints, Mask]:
    """The same of the weeks of years by ISO 8601; day 1 is Monday."""
    good = (year >= 1) & (year < 9999) & (week >= 1)
    whole = np.where(good, year, 1970)
    monday = _first_monday(whole) + (week - 1) * 7
    return monday + day - 1, good & (monday < _first_monday(whole + 1))


def _to_shop(micros: Ints, given_in: str | None, zone: str | None) -> Ints:
    """Wall time in `given_in` as wall time in `zone`; as it is where either is left out. What would leave the calendar stays at its end."""
    if given_in is None or zone is None or given_in == zone:
        return micros
    utc = micros if given_in == "UTC" else micros - _offsets(micros, ZoneInfo(given_in), are_utc=False)
    found = utc if zone == "UTC" else utc + _offsets(utc, ZoneInfo(zone), are_utc=True)
    kept: Ints = np.clip(found, _FIRST * SECOND, _LAST * SECOND)
    return kept


def _offsets(micros: Ints, zone: ZoneInfo, are_utc: bool) -> Ints:
    """The zone's offset at each moment. Of a wall time that a clock showed twice, the first is meant."""
    quarters, places = np.unique(micros // _QUARTER, return_inverse=True)
    found = np.empty(len(quarters), dtype=np.int64)
    for place, quarter in enumerate(quarters):
        # At the calendar's ends, where Python's time would leave it, the offset is that of a year within.
        wall = _EPOCH + timedelta(microseconds=min(max(int(quarter) * _QUARTER, _INNER[0]), _INNER[1]))
        offset = (wall.replace(tzinfo=UTC).astimezone(zone) if are_utc else wall.replace(tzinfo=zone)).utcoffset()
        found[place] = int((offset or timedelta()).total_seconds()) * SECOND
    shifted: Ints = found[places]
    return shifted


def _ints(column: pa.Array, default: int = 0) -> Ints:
    found: Ints = pc.fill_null(column.cast(pa.int64()), default).to_numpy(zero_copy_only=False)
    return found
