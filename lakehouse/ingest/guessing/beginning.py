"""The beginning of an unknown file: its columns with their first values, and how it is written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from lakehouse.errors import InputError

Found = TypeVar("Found")
ROWS = 2_000
_TOP = 20  # rows among which the columns' names are looked for
_NUMBER = r"[+-]?[0-9][0-9.,' \u00a0\u202f]*(?:[eE][+-]?[0-9]+)?"
_TIME = r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}.*|[0-9]{1,2}[- /][A-Za-z]{3}[- /][0-9]{2,4}.*|[A-Za-z]{3} [0-9]{1,2},? [0-9]{4}.*|[0-9]{8,14}"
_LONG = re.compile(rf"{_TIME}|[0-9]{{5,}}")  # no name of a column
_VALUE = re.compile(rf"{_TIME}|{_NUMBER}")


@dataclass(frozen=True)
class Row:
    """Fields of a row, and the number of the line (in a sheet the row) with which it ends, the first being 1."""

    cells: Sequence[str]
    end: int


@dataclass(frozen=True)
class Beginning:
    """Columns by name, with their first values as text, empty ones left out. `texts` are those that are texts in the file too, and some from all over
    it: they tell how numbers and times are written. `form` is what differs from a format's defaults; `times` and `numbers` are columns that hold
    real ones, not texts; `is_named` where the names are the file's own."""

    ending: str
    form: Mapping[str, object]
    columns: Mapping[str, Sequence[str]]
    texts: Mapping[str, Sequence[str]]
    times: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    is_named: bool = True
    remarks: tuple[str, ...] = ()

    def written(self, name: str) -> Sequence[str]:
        """A column's values, from all over the file where they are texts in it; none where there is no such column."""
        return self.texts.get(name) or self.columns.get(name, ())


@dataclass(frozen=True)
class Table:
    """Rows as a table: where they begin, what the columns are called, and what of a format says so."""

    columns: Mapping[str, Sequence[str]]
    places: Mapping[str, int]
    first: int  # which of the rows is the first with values
    form: Mapping[str, object] = field(default_factory=dict)
    is_named: bool = True
    remarks: tuple[str, ...] = ()


def no_columns(name: str) -> InputError:
    return InputError(f"{name} has no columns that can be told apart. Say in sources.yml how it is written, and check again")


def tabulated(rows: Sequence[Row], blank_above: bool = True) -> Table:
    """Which row names the columns, if any does. `blank_above`: whether blank rows above the names have to be counted for the reader."""
    width = Counter(len(row.cells) for row in rows if any(row.cells)).most_common(1)
    if not width:
        return Table({}, {}, 0)
    wide = width[0][0]
    at = next((at for at, row in enumerate(rows[:_TOP]) if 2 * sum(map(bool, row.cells)) > wide), 0)
    above = rows[at - 1].end if at else 0
    counts = above and (blank_above or any(any(row.cells) for row in rows[:at]))
    form: dict[str, object] = {"above": above} if counts else {}
    remarks = [f"what stands above the table is passed over (above: {above})"] if counts else []
    below = [row.cells for row in rows[at + 1 :]]
    if _is_data(rows[at].cells, below):
        names = [f"field_{number}" for number in range(1, max(wide, len(rows[at].cells)) + 1)]
        remarks.append(
            "the file has no row of column names: columns are told by their values; look at each, and give them names of your own"
        )
        return _table(names, [row.cells for row in rows[at:]], at, {**form, "header": names}, False, remarks)
    names = [cell.strip() for cell in rows[at].cells]
    spare = [cells for cells in below if len(cells) > len(names)]
    if spare and len(names) < wide and not any(any(cells[len(names) :]) for cells in spare):
        names += [""] * (wide - len(names))
    elif spare and len(names) < wide:
        remarks.append(
            f"most lines have {wide} fields and the header {len(names)}: a value that holds the delimiter must stand in quotation marks"
        )
    is_plain = len(set(names)) == len(names) == len(rows[at].cells) and rows[at].end == above + 1
    if is_plain:
        return _table(names, below, at + 1, form, True, remarks)
    unique = _unique(names)
    remarks.append(
        "the file's own row of column names has some that are empty, the same, or in several lines: they are renamed under header"
    )
    return _table(
        unique,
        below,
        at + 1,
        {**form, "above": rows[at].end, "header": unique},
        True,
        [note for note in remarks if "passed over" not in note],
    )


def _table(
    names: list[str], below: Sequence[Sequence[str]], first: int, form: Mapping[str, object], is_named: bool, remarks: Sequence[str]
) -> Table:
    values = {name: [row[place].strip() for row in below if place < len(row) and row[place].strip()] for place, name in enumerate(names)}
    return Table(values, {name: place for place, name in enumerate(names)}, first, form, is_named, tuple(remarks))


def with_rows(table: Table, rows: Iterable[Sequence[str]]) -> dict[str, list[str]]:
    """The table's columns with their values and those of more rows; rows of another width are passed over."""
    kept = [row for row in rows if len(row) == len(table.places)]
    more = {name: [row[place].strip() for row in kept if row[place].strip()] for name, place in table.places.items()}
    return {name: [*values, *more[name]] for name, values in table.columns.items()}


def spread(found: Sequence[Found], most: int) -> Sequence[Found]:
    """At most so many, from all over them."""
    return found[:: max(1, -(-len(found) // most))]


def _is_data(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether the first row is a line like those below it: it holds a time or a long number, or numbers where they do."""
    if any(_LONG.fullmatch(cell.strip()) for cell in first):
        return True
    alike = other = 0
    for place, cell in enumerate(first):
        values = [row[place].strip() for row in below if place < len(row) and row[place].strip()]
        if cell.strip() and all(_VALUE.fullmatch(value) for value in values) and (values or not below):
            is_value = _VALUE.fullmatch(cell.strip()) is not None
            alike, other = alike + is_value, other + (not is_value)
    return alike > other


def _unique(names: Sequence[str]) -> list[str]:
    found: list[str] = []
    for number, name in enumerate(names, 1):
        plain = " ".join(name.split()) or f"field_{number}"
        found.append(next(one for one in (plain, *(f"{plain}_{again}" for again in range(2, len(names) + 2))) if one not in found))
    return found
