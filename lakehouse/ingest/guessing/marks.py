"""Which marks stand in numbers, by the door's own reading of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakehouse.ingest import amounts
from lakehouse.ingest.source_parts import Format
from lakehouse.ingest.times import Mask

_MARKS = (  # decimal, thousands; the first of those that read the same is taken
    *((".", None), (".", ","), (",", "."), (",", " "), (".", "'"), (".", " ")),
    *((decimal, space) for decimal in ",." for space in "\u00a0\u202f"),
)
_CURRENCY = re.compile(r"[$€£¥]|(?<![A-Za-z])(?:EUR|USD|GBP|CHF)(?![A-Za-z])")
_ENOUGH = 0.8  # of a column's values
_CLOSE = 0.02

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Marks:
    """What of a format's marks differs from the default, and a remark where the values don't tell."""

    form: Mapping[str, str]
    remark: str | None


def guessed(columns: Mapping[str, Sequence[str]], logarithms: Sequence[str] = ()) -> Marks:
    """The marks with which every column (ours: texts) is numbers. Nothing is guessed where two ways of reading give other numbers."""
    if marks := {there for values in columns.values() for value in values for there in _CURRENCY.findall(value)}:
        found = guessed({name: [_CURRENCY.sub("", value).strip() for value in values] for name, values in columns.items()}, logarithms)
        several = f"numbers carry several currency marks ({', '.join(sorted(marks))}), and a lake has one currency"
        return Marks({**found.form, "currency_mark": min(marks)}, found.remark) if len(marks) == 1 else Marks({}, several)
    for minus, pattern in (("behind", amounts.BEHIND), ("parentheses", amounts.BRACKETED)):
        if any(re.search(pattern, value) for values in columns.values() for value in values):
            found = guessed({name: [re.sub(pattern, r"-\1", value) for value in values] for name, values in columns.items()}, logarithms)
            return Marks({**found.form, "minus": minus}, found.remark)
    readings = {marks: _read(columns, *marks) for marks in _MARKS}
    good = {marks: sum(int((~np.isnan(one)).sum()) for one in read.values()) for marks, read in readings.items()}
    fitting = [marks for marks in _MARKS if good[marks] == max(good.values()) and _all_fit(readings[marks])]
    if not fitting:
        listed = ", ".join(sorted(name for name, values in columns.items() if values))
        return Marks({}, f"no way of writing numbers fits {listed}: a currency sign, words?" if listed else None)
    if len(columns) == 3 and not logarithms:  # quantity, price and their product
        agreeing = [marks for marks in fitting if _agree(readings[marks])]
        fitting = agreeing or fitting
    first = readings[fitting[0]]
    others = [marks for marks in fitting if not _same(first, readings[marks])]
    if not others:
        decimal, thousands = fitting[0]
        return Marks(({"decimal": decimal} if decimal != "." else {}) | ({"thousands": thousands} if thousands else {}), None)
    shown = next(
        values[int(place)]
        for name, values in columns.items()
        for place in np.flatnonzero(np.any([_differ(first[name], readings[marks][name]) for marks in others], axis=0))[:1]
    )
    ways = " or ".join(dict.fromkeys(_shown(shown, *marks) for marks in fitting))
    default = _shown(shown, ".", None)
    told = f"as it stands it is {'refused' if default == 'nan' else f'read as {default}'}"
    return Marks({}, f'NUMBERS ARE AMBIGUOUS: is "{shown}" {ways}? Say decimal and thousands under formats; {told}')


def _shown(value: str, decimal: str, thousands: str | None) -> str:
    return f"{_number(value, decimal, thousands):.12g}"


def _read(columns: Mapping[str, Sequence[str]], decimal: str, thousands: str | None) -> dict[str, Doubles]:
    return {name: _numbers(values, decimal, thousands) for name, values in columns.items()}


def _numbers(values: Sequence[str], decimal: str, thousands: str | None) -> Doubles:
    """As the door reads them; NaN for what it refuses."""
    form = Format.model_validate({"kind": "csv", "decimal": decimal, "thousands": thousands})
    found = amounts.scaled(pa.array(values, pa.string()), amounts.MONEY_SCALE, form)
    return np.where(found.bad | found.missing, np.nan, found.units / 10.0**amounts.MONEY_SCALE)


def _number(value: str, decimal: str, thousands: str | None) -> float:
    return float(_numbers([value], decimal, thousands)[0])


def _all_fit(read: Mapping[str, Doubles]) -> bool:
    return any(map(len, read.values())) and all((~np.isnan(one)).sum() >= _ENOUGH * len(one) for one in read.values())


def _agree(read: Mapping[str, Doubles]) -> bool:
    quantity, price, amount = (read[name] for name in ("quantity", "unit_price", "amount"))
    if not len(quantity) == len(price) == len(amount):
        return False
    off = np.abs(quantity * price - amount)
    return bool((off <= _CLOSE * np.abs(amount) + _CLOSE).mean() >= _ENOUGH)


def _same(one: Mapping[str, Doubles], other: Mapping[str, Doubles]) -> bool:
    return not any(_differ(one[name], other[name]).any() for name in one)


def _differ(one: Doubles, other: Doubles) -> Mask:
    """Which values differ; two that are none do not."""
    found: Mask = (one != other) & ~(np.isnan(one) & np.isnan(other))
    return found
