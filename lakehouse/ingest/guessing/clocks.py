"""How times are written, by their values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.ingest import times
from lakehouse.ingest.times import Mask

_DAYS = (  # of those that fit as many values, the first is taken
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%m/%d/%Y", "%m-%d-%Y", "%m.%d.%Y"),
    *("%d.%m.%y", "%d/%m/%y", "%d-%m-%y", "%m/%d/%y", "%m-%d-%y", "%y-%m-%d", "%y/%m/%d", "%y.%m.%d"),
    *("%d %b %Y", "%d-%b-%Y", "%d/%b/%Y", "%d %b %y", "%d-%b-%y", "%b %d, %Y", "%b %d %Y", "%Y-%b-%d"),
)
WEEKS = (
    "%G-W%V",
    "%GW%V",
    "%G W%V",
    "%G/W%V",
    "%G_W%V",
    "%G-KW%V",
    "%G KW%V",
    *(f"{word}%V{mark}%G" for word in ("W", "KW", "KW ") for mark in " -/"),
)
_CLOCKS = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p", "%I:%M%p", "%I:%M:%S%p", "%H.%M", "%H.%M.%S")
_BETWEEN = (" ", "T", ", ")
_COMPACT = ("%Y%m%d", "%Y%m%d%H%M", "%Y%m%d%H%M%S", "%Y%m%d %H:%M", "%Y%m%d %H:%M:%S", "%Y%m%dT%H%M%S", "%Y%m%dT%H%M%S%z")
_FIRST, _LAST = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * times.SECOND for year in (1970, 2100))
SERIAL_ZERO = date(1899, 12, 30)
_MOST = 3  # formats of one column
_ENOUGH = 0.8  # of the values
_FAR, _MANY = 100, 10  # so many times as long a span is not meant, where so many different values say so


@dataclass(frozen=True)
class Written:
    """The formats that fit, the best first; those of `or_else` fit as well, and take days for months or years."""

    formats: tuple[str, ...]
    or_else: tuple[str, ...]

    @property
    def has_offset(self) -> bool:
        return any("%z" in text for text in self.formats)

    @property
    def open_parts(self) -> tuple[str, ...]:
        """Of day, month and year those that stand in one place in one format and in another in another."""
        orders = [_order(text) for text in (self.formats[0], *self.or_else)]
        return tuple(name for name in ("day", "month", "year") if len({order.index(name[0]) for order in orders}) > 1)


def written(values: Sequence[str]) -> Written | None:
    """How times are written; None where no format fits four of five values."""
    candidates = [text for shape in sorted({_shape(value) for value in values}) for text in _formats().get(shape, ())]
    column = pa.array(values, pa.string())
    fits = {text: fit for text in sorted(candidates, key=_rank) if (fit := _fits(column, text)).any()}
    if not fits:
        return None
    best, or_else = _best(column, fits)
    order, formats, rest = _order(best), [best], ~fits[best]
    while rest.any() and len(formats) < _MOST:
        following = max(fits, key=lambda text: int((fits[text] & rest).sum()) if _order(text) == order else 0)
        if not (fits[following] & rest).any() or _order(following) != order:
            break
        formats.append(following)
        rest &= ~fits[following]
    return Written(tuple(formats), or_else) if (~rest).sum() >= _ENOUGH * len(values) else None


def is_seconds(values: Sequence[str]) -> bool:
    """Whether they look like seconds (or milliseconds) since 1970."""
    return bool(values) and all(re.fullmatch(r"1[0-9]{9}([0-9]{3})?", value) for value in values)


@dataclass(frozen=True)
class SerialDays:
    """Days as spreadsheets number them: which are the first and the last, and whether fractions say a time of day."""

    first: date
    last: date
    has_time: bool


def serial_days(values: Sequence[str]) -> SerialDays | None:
    """None where not all of the values are such numbers, of the years that sales can be of."""
    if not values or not all(re.fullmatch(r"[0-9]{5}([.,][0-9]+)?", value) for value in values):
        return None
    numbers = [float(value.replace(",", ".")) for value in values]
    first, last = (SERIAL_ZERO + timedelta(days=int(number)) for number in (min(numbers), max(numbers)))
    if not 1970 <= first.year <= last.year < 2100:
        return None
    return SerialDays(first, last, any(number % 1 for number in numbers))


def _best(column: pa.Array, fits: Mapping[str, Mask]) -> tuple[str, tuple[str, ...]]:
    """The format that fits most values, and those of another order that fit the same. Whether a year of two digits stands first or last is told by
    how far apart the days then lie: twenty days of one month would else be one day of twenty years."""
    best = max(fits, key=lambda text: int(fits[text].sum()))
    same: dict[str, str] = {}
    for text, fit in fits.items():
        if (fit == fits[best]).all():
            same.setdefault(_order(text), text)
    turned = same.get("ymd")
    if turned is None or turned == best:
        return best, tuple(text for order, text in same.items() if order != _order(best))
    spans = {text: _span(column, text) for text in (best, turned)}
    if spans[turned] < spans[best]:
        best = turned
    elif spans[turned] > _FAR * spans[best] and pc.count_distinct(column).as_py() >= _MANY:
        del same["ymd"]
    return best, tuple(text for order, text in same.items() if order != _order(best))


def _span(column: pa.Array, text: str) -> int:
    """Microseconds from the first to the last of the times that are so written."""
    found = times.from_texts(column, (text,), "UTC", None)
    good = found.micros[~(found.missing | found.bad)]
    return int(good.max() - good.min())


def _fits(column: pa.Array, text: str) -> Mask:
    """Which values are such times, of a year that sales can be of."""
    found = times.from_texts(column, (text,), "UTC", None)
    fits: Mask = ~(found.missing | found.bad) & (found.micros >= _FIRST) & (found.micros < _LAST)
    return fits


def _order(text: str) -> str:
    """In which order year, month and day stand."""
    return "".join(re.findall(r"%([Yymbd])", text)).lower().replace("b", "m")


@cache
def _formats() -> Mapping[str, list[str]]:
    """Formats by the shape of what they write."""
    clocks = [f"{between}{clock}{offset}" for between in _BETWEEN for clock in _CLOCKS for offset in ("", "%z", " %z")]
    found: dict[str, list[str]] = {}
    for text in (*(day + clock for day in _DAYS for clock in ("", *clocks)), *_COMPACT, *WEEKS, "%G-W%V-%u"):
        shape = _shape(datetime(2011, 12, 13, 14, 15, 16, 171819, UTC).strftime(text.replace("%z", "+0000")))
        for same in {shape, *(shape.removesuffix("+9") + offset for offset in ("+9:9", "-9", "-9:9", "a") if shape.endswith("+9"))}:
            found.setdefault(same, []).append(text)
    return found


@cache
def _rank(text: str) -> int:
    return next((place for place, day in enumerate(_DAYS) if text.startswith(day)), len(_DAYS)) * 1_000 + len(text)


def _shape(text: str) -> str:
    return re.sub(r"[0-9]+", "9", re.sub(r"[^\W\d_]+", "a", text))
