"""Lists of records that show themselves: a table in a notebook, aligned columns in a terminal."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Record = TypeVar("Record", bound=DataclassInstance)
else:
    Record = TypeVar("Record")

LONGEST = 60
_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#1b1f24}"
    "h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem;border-bottom:1px solid #d0d7de}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.25rem .7rem;border-bottom:1px solid #eaeef2;vertical-align:top}"
    "th{color:#57606a;font-weight:600}td{overflow-wrap:break-word}td:last-child{overflow-wrap:anywhere}"
    "footer{margin-top:2rem;color:#57606a}"
    "summary{cursor:pointer;margin-top:1rem}summary h2{display:inline;border:0}.stop{color:#b3261e}.open{color:#1a7f37}"
)


class Listing(list[Record], Generic[Record]):
    """A list of one kind of frozen dataclass, a column per field (or per one of `columns`). It is a list in all but how it is shown."""

    def __init__(self, records: Iterable[Record], empty: str = "nothing", columns: Sequence[str] | None = None) -> None:
        super().__init__(records)
        self.empty = empty
        self.columns = columns

    def __repr__(self) -> str:
        if not self:
            return self.empty
        head, rows, numbers = self._shown()
        cut = [[_cut(cell) for cell in row] for row in rows]
        widths = [max(len(cell) for cell in column) for column in zip(head, *cut, strict=True)]
        lines = [head, ["-" * width for width in widths], *cut]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if number else cell.ljust(width) for cell, width, number in zip(line, widths, numbers, strict=True)
            ).rstrip()
            for line in lines
        )

    def _repr_html_(self) -> str:
        if not self:
            return f"<p>{html.escape(self.empty)}</p>"
        head, rows, numbers = self._shown()
        top = "".join(f"<th{_align(number)}>{html.escape(name)}</th>" for name, number in zip(head, numbers, strict=True))
        body = "".join(
            "<tr>" + "".join(f"<td{_align(number)}>{html.escape(cell)}</td>" for cell, number in zip(row, numbers, strict=True)) + "</tr>"
            for row in rows
        )
        return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"

    def _shown(self) -> tuple[list[str], list[list[str]], list[bool]]:
        """Headings, cells as text, and which columns are numbers."""
        names = list(self.columns or [field.name for field in fields(self[0])])
        values = [[getattr(record, name) for name in names] for record in self]
        numbers = [all(_is_number(row[place]) for row in values) for place in range(len(names))]
        return [name.replace("_", " ") for name in names], [[shown(value) for value in row] for row in values], numbers


def shown(value: object) -> str:
    """A value as people read it: nothing for None, yes or no, thousands apart, times to the second."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, Decimal):
        return f"{value:,.2f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d}" if value == datetime(value.year, value.month, value.day) else f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, date):
        return f"{value:%Y-%m-%d}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {shown(below)}" for name, below in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(shown(below) for below in value)
    return str(value)


def page(title: str, body: str) -> str:
    """A page of HTML that needs nothing else, from anywhere: listings, paragraphs, titles of the second rank."""
    named = html.escape(title)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{named}</title><style>{_STYLE}</style></head><body>'
        f"<h1>{named}</h1>{body}</body></html>"
    )


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float | Decimal) and not isinstance(value, bool))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _align(number: bool) -> str:
    return ' style="text-align: right"' if number else ' style="text-align: left"'
