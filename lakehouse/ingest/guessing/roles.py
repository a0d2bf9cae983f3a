"""Which column is which: by its name, and where names don't tell, by its values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lakehouse.ingest.guessing import clocks, names
from lakehouse.ingest.guessing.beginning import Beginning

_DECIMAL = r"[+-]?[0-9.,' ]*[0-9][.,][0-9]{1,2}"
_RETURNS = {
    "return",
    "returns",
    "returned",
    "refund",
    "refunded",
    "void",
    "cancelled",
    "canceled",
    "cancellation",
    "retoure",
    "storno",
    "rückgabe",
}
_FEW = 8  # words that a column of kinds has at most
_NEEDED = {"product_code": ": of one kind of goods say it under constants", "quantity": "", "sold_at": ""}


@dataclass(frozen=True)
class Roles:
    """Theirs to ours; constants that stand for what no column says; which are logarithms; remarks."""

    columns: dict[str, str]
    constants: dict[str, str]
    logarithms: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def given(self) -> dict[str, str]:
        """Ours to theirs."""
        return {ours: theirs for theirs, ours in self.columns.items()}


def told(found: Beginning) -> Roles:
    columns, remarks = names.mapped(list(found.columns)) if found.is_named else {}, []
    by_values = _by_values(found, columns)
    columns |= by_values
    columns |= _kinds(found, columns)
    columns |= _years(found, columns)
    if found.is_named:
        remarks += [f'"{theirs}" is taken for {ours} by its values: is it?' for theirs, ours in by_values.items()]
    given = {ours: theirs for theirs, ours in columns.items()}
    if not found.is_named and "amount" in given:
        remarks.append(f"{given['amount']} is taken for what a line costs (amount): if it is the price of one, map it to unit_price")
    constants: dict[str, str] = {}
    if "quantity" not in given and "unit_price" not in given and "amount" in given:
        columns[given["amount"]] = "quantity"
        given["quantity"] = given.pop("amount")
        constants["unit_price"] = "1"
        remarks.append(f'no column counts pieces: "{given["quantity"]}", which is money, is taken for the quantity, at a unit price of 1')
    elif "quantity" in given and not {"unit_price", "amount"} & given.keys():
        constants["unit_price"] = "1"
        remarks.append("no column looks like unit_price or amount: a constant of 1 stands for the price, so amounts are pieces")
    remarks += [f"no column looks like {ours}{hint}" for ours, hint in _NEEDED.items() if ours not in given]
    if not {"unit_price", "amount"} & (given.keys() | constants.keys()):
        remarks.append("no column looks like unit_price or amount")
    if "product_code" not in given:
        constants = {"product_code": "GOODS", "description": "all goods"} | constants
        if "description" in given:
            del constants["description"]
    ordered = {theirs: columns[theirs] for theirs in found.columns if theirs in columns}
    logarithms = tuple(
        ours
        for theirs, ours in ordered.items()
        if found.is_named and names.is_logarithm(theirs) and ours in ("quantity", "unit_price", "amount")
    )
    remarks += [f'"{given[ours]}" is taken for the natural logarithm of {ours}' for ours in logarithms]
    return Roles(ordered, constants, logarithms, tuple(remarks))


def returns(values: Sequence[str]) -> list[str]:
    """Those of a few words that tell a return."""
    words = set(values)
    return sorted(word for word in words if word.casefold() in _RETURNS) if len(words) <= _FEW else []


def _kinds(found: Beginning, known: Mapping[str, str]) -> dict[str, str]:
    """The column that tells returns from sales, as a status."""
    if "status" in known.values():
        return {}
    return dict([(name, "status") for name in found.columns if name not in known and returns(found.written(name))][:1])


def _years(found: Beginning, known: Mapping[str, str]) -> dict[str, str]:
    """The column of the year that weeks are numbered in."""
    weeks = next((name for name, ours in known.items() if ours == "sold_at" and names.is_weekly(name)), None)
    if weeks is None or not _all(r"0?[1-9]|[1-4][0-9]|5[0-3]", [value.removesuffix(".0") for value in found.columns[weeks]]):
        return {}
    free = [name for name in found.columns if name not in known and names.is_year(name) and found.columns[name]]
    return dict([(name, "year") for name in free if _all(r"(19|20)[0-9]{2}(\.0)?", found.columns[name])][:1])


def _by_values(found: Beginning, known: dict[str, str]) -> dict[str, str]:
    """Theirs to ours, of what `known` lacks. Of a file with names only what can hardly be anything else: times, and the only column of decimals."""
    taken: dict[str, str] = {}
    missing = {"sold_at", "amount", "quantity", "customer", "product_code"} - set(known.values())
    free = [name for name, values in found.columns.items() if values and name not in known]

    def take(ours: str, fits: Callable[[str, Sequence[str]], bool], among: Sequence[str], alone: bool = False) -> None:
        fitting = [name for name in among if name in free and fits(name, found.columns[name])] if ours in missing else []
        if fitting and not (alone and len(fitting) > 1):
            taken[fitting[0]] = ours
            free.remove(fitting[0])

    take("sold_at", lambda name, values: name in found.times or clocks.written(values) is not None, free)
    if found.is_named:
        if "unit_price" not in known.values():
            take("amount", lambda _, values: _all(_DECIMAL, values), free, alone=True)
        return taken
    take("amount", lambda name, values: _all(_DECIMAL, values) or (name in found.numbers and any("." in one for one in values)), free[::-1])
    take("quantity", lambda _, values: _all(r"-?[0-9]{1,4}(\.0)?", values) and not _counts_up(values), free)
    take("product_code", lambda _, values: _all(r"[0-9]*[A-Za-z][A-Za-z0-9_-]*", values), free)
    take("customer", lambda _, values: _all(r"[0-9]{3,}", values), free[::-1] if "product_code" in taken.values() else free)
    return taken


def _all(pattern: str, values: Sequence[str]) -> bool:
    return all(re.fullmatch(pattern, value) for value in values)


def _counts_up(values: Sequence[str]) -> bool:
    """Whether they are numbers of lines or receipts rather than of pieces."""
    numbers = [float(value) for value in values]
    return len(numbers) > 2 and all(one < other for one, other in pairwise(numbers))
