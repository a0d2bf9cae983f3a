"""Quantities, prices and amounts: texts and numbers to decimals, the same from every kind of file.

A value becomes a double, times 10^scale, rounded half away from zero; as an integer of 10^-scale it is exact from there on. What something costs is
made from its price as it was read (1000 screws of 0.00125 cost 1.25, though .0013 is what is kept of their price), to eight places.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.ingest.source_parts import Format
from lakehouse.ingest.times import Ints, Mask

QUANTITY_SCALE, MONEY_SCALE = 3, 4
_FINE_SCALE = 8
_PRECISION = 18
_LIMIT, _FINE_LIMIT = 10.0**_PRECISION, 1e15  # beyond the latter a double's own error is seen in its eighth place
BEHIND = r"^([0-9.,].*)-$"  # a number whose minus stands behind it
BRACKETED = r"^\((.*)\)$"  # one that is in parentheses for being below zero
_AWAY = "half_towards_infinity"


@dataclass(frozen=True)
class Scaled:
    """Values as integers of 10^-scale, 0 where there is none: `missing` had nothing there, `bad` no number, or one of too many digits or
    too small to be told from zero. `finer`: of money, the units of 10^-8 where they say more than `units` do, else 0; None where no value does."""

    units: Ints
    missing: Mask
    bad: Mask
    finer: Ints | None = None


def scaled(column: pa.Array, scale: int, form: Format, is_logarithm: bool = False) -> Scaled:
    """Stripped texts (null where there is none) or numbers, or their natural logarithms, as integers of 10^-scale."""
    missing = column.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_string(column.type):
        doubles = _from_texts(column, form)
    else:
        doubles = _doubles(column.cast(pa.float64(), safe=False))
        if pa.types.is_floating(column.type):
            missing = missing | np.isnan(doubles)
    with np.errstate(over="ignore"):  # what overflows is infinite, and has too many digits
        values = (np.exp(doubles) if is_logarithm else doubles) * 10.0**scale
    found = _rounded(values, missing)
    bad = found.bad | (~missing & (found.units == 0) & (np.abs(values) > 0))
    # A logarithm was itself written to a few places: what it comes to behind them is its rounding and no price.
    finer = None if scale != MONEY_SCALE or is_logarithm else _finer(values, found.units, missing | bad)
    return Scaled(found.units, missing, bad, finer)


def times(quantity: Scaled, price: Scaled) -> Scaled:
    """Quantity times unit price, exactly, rounded half away from zero to the scale of money."""
    product = pc.multiply(decimals(quantity.units, QUANTITY_SCALE), decimals(price.units, MONEY_SCALE))
    missing = quantity.missing | price.missing | quantity.bad | price.bad
    size = np.abs(quantity.units.astype(np.float64) * price.units) / 10.0**QUANTITY_SCALE
    bad = ~missing & (size >= _LIMIT - 1)
    product = pc.if_else(pa.array(missing | bad), pa.scalar(None, product.type), product)
    if price.finer is not None:
        finer = pc.multiply(decimals(quantity.units, QUANTITY_SCALE), decimals(price.finer, _FINE_SCALE))
        product = pc.if_else(pa.array((price.finer != 0) & ~(missing | bad)), finer, product.cast(finer.type))
    rounded = pc.round(product, MONEY_SCALE, _AWAY).cast(pa.decimal128(_PRECISION, MONEY_SCALE))
    return Scaled(_units(rounded), missing, bad)


def per_unit(amount: Scaled, quantity: Scaled) -> Scaled:
    """What one unit cost, where a line says its total alone; none where nothing was sold."""
    missing = amount.missing | quantity.missing | amount.bad | quantity.bad | (quantity.units == 0)
    divisor = np.where(missing, 1, quantity.units).astype(np.float64)
    return _rounded(amount.units.astype(np.float64) * 10.0**QUANTITY_SCALE / divisor, missing)


def taken_back(found: Scaled, lines: Mask) -> Scaled:
    """The same, below zero in these lines."""
    return Scaled(np.where(lines, -np.abs(found.units), found.units), found.missing, found.bad)


def decimals(units: Ints, scale: int, valid: Mask | None = None) -> pa.Array:
    """Integers of 10^-scale as DECIMAL(18, scale), null where not valid."""
    halves = np.empty((len(units), 2), dtype=np.int64)
    halves[:, 0] = units
    halves[:, 1] = units >> 63
    found = pa.Array.from_buffers(pa.decimal128(_PRECISION, scale), len(units), [None, pa.py_buffer(halves)])
    return found if valid is None else pc.if_else(pa.array(valid), found, pa.scalar(None, found.type))


def _from_texts(column: pa.Array, form: Format) -> npt.NDArray[np.float64]:
    if form.currency_mark is not None:
        mark = re.escape(form.currency_mark)
        column = pc.replace_substring_regex(column, rf"^([+\-(]?)[\s\x{{a0}}\x{{202f}}]*{mark}[\s\x{{a0}}\x{{202f}}]*([^\s].*)$", r"\1\2")
        column = pc.replace_substring_regex(column, rf"^(.*[0-9.,\-])[\s\x{{a0}}\x{{202f}}]*{mark}(\)?)$", r"\1\2")
    if form.minus != "front":
        column = pc.replace_substring_regex(column, BEHIND if form.minus == "behind" else BRACKETED, r"-\1")
    # Judged before any mark is taken out: 1.50 without its mark would be 150.
    is_number = pc.match_substring_regex(column, _number(form))
    if form.thousands is not None:
        column = pc.replace_substring(column, form.thousands, "")
    if form.decimal != ".":
        column = pc.replace_substring(column, form.decimal, ".")
    return _doubles(pc.if_else(is_number, column, pa.scalar(None, pa.string())).cast(pa.float64()))


def _number(form: Format) -> str:
    """What a number looks like that is written with the marks of the source, or without a thousands mark."""
    whole, mark = "[0-9]+", re.escape(form.decimal)
    if form.thousands is not None:
        whole = f"(?:[1-9][0-9]{{0,2}}(?:{re.escape(form.thousands)}[0-9]{{3}})+|{whole})"
    return f"^[+-]?(?:{whole}(?:{mark}[0-9]*)?|{mark}[0-9]+)(?:[eE][+-]?[0-9]+)?$"


def _doubles(column: pa.Array) -> npt.NDArray[np.float64]:
    """NaN for null."""
    found: npt.NDArray[np.float64] = pc.fill_null(column, float("nan")).to_numpy(zero_copy_only=False)
    return found


def _rounded(values: npt.NDArray[np.float64], missing: Mask) -> Scaled:
    good = ~missing & (np.abs(values) < _LIMIT)  # a NaN is smaller than nothing
    whole = pc.round(pa.array(np.where(good, values, 0.0)), 0, _AWAY).to_numpy()
    return Scaled(whole.astype(np.int64), missing, ~(good | missing))


def _finer(values: npt.NDArray[np.float64], units: Ints, without: Mask) -> Ints | None:
    """Of values that are multiples of 10^-4, the integers of 10^-8 where these are not those of `units`, else 0."""
    fine = values * 10.0 ** (_FINE_SCALE - MONEY_SCALE)
    told = _rounded(fine, without | ~(np.abs(fine) < _FINE_LIMIT)).units
    says_more = (told != 0) & (told != units * 10 ** (_FINE_SCALE - MONEY_SCALE))
    return np.where(says_more, told, 0) if says_more.any() else None


def _units(column: pa.Array) -> Ints:
    """The integers under a DECIMAL(18, …) without nulls in view, 0 for null."""
    filled = pc.fill_null(column, pa.scalar(0, column.type))
    halves = np.frombuffer(filled.buffers()[1], dtype=np.int64)[2 * filled.offset : 2 * (filled.offset + len(filled))]
    found: Ints = halves[::2].copy()
    return found
