"""Sheets (.xlsx): the rows of every sheet as lines, counted through from the first sheet to the last.

Cells hold values, not texts, and a column may hold several kinds: codes that are numbers among codes that are not, times that were typed in as
text among real ones. Codes become the text that people see. Lines whose time is text and lines whose time is one are batches of their own.
"""

from __future__ import annotations

import itertools
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, BinaryIO
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
from openpyxl.cell.cell import ERROR_CODES
from openpyxl.reader.excel import ExcelReader
from openpyxl.utils.exceptions import InvalidFileException

from lakehouse.errors import InputError
from lakehouse.ingest.columns import match_columns, no_lines, refuse_other_names
from lakehouse.ingest.lines import RAGGED, UNREADABLE
from lakehouse.ingest.raw import BAD_CODE, BAD_CUSTOMER, RawBatch
from lakehouse.ingest.source_parts import Format
from lakehouse.ingest.sources import CODES, FLAGS, NUMBERS, Source
from lakehouse.privacy.numbers import EXACT_FLOAT

if TYPE_CHECKING:
    from openpyxl import Workbook

Row = tuple[object, ...]
Line = tuple[int, dict[str, object]]  # its number, and its values by our names

# What the parsers below openpyxl raise for an archive or a document that is not whole.
_DAMAGED = (BadZipFile, ParseError, KeyError, ValueError, TypeError, IndexError, EOFError, OSError, RuntimeError, struct.error, zlib.error)


@dataclass(frozen=True)
class Sheet:
    """Which sheet lines are of: its title, the names of its columns, and what is added to a line's number for the row that people see."""

    title: str
    header: tuple[str, ...]
    offset: int


def read(file: BinaryIO, name: str, source: Source, form: Format, batch_rows: int) -> Iterator[RawBatch]:
    """The lines of the workbook's sheets (`form.sheets`, by default all that have a cell). Raises `InputError` for a file that is no
    workbook, a sheet that is missing, and one that does not begin with the source's columns."""
    return (batch for _, batch in by_sheet(file, name, source, form, batch_rows))


def by_sheet(file: BinaryIO, name: str, source: Source, form: Format, batch_rows: int) -> Iterator[tuple[Sheet, RawBatch]]:
    """`read`, and of which sheet each batch is."""
    with closing(opened(file, name)) as workbook:
        titles, before = _titles(workbook, name, form), 0
        for title in titles:
            label = f'{name}, sheet "{title}"'
            rows = itertools.islice(rows_of(workbook, title, label), form.above, None)
            row, header = (0, list(form.header)) if form.header else _header(rows)
            if not header:
                continue
            here = Sheet(title, tuple(header), form.above + row - before)
            try:
                matched = match_columns(label, header, source)
            except InputError as error:
                hint = (
                    ". If that sheet holds no sales, name those that do in sources.yml (formats, xlsx, sheets)" if len(titles) > 1 else ""
                )
                raise InputError(f"{error}{hint}") from None
            places = {ours: header.index(theirs) for ours, theirs in matched.items()}
            while block := list(itertools.islice(rows, batch_rows)):
                for batch in _batches(block, before, places, len(header), form):
                    refuse_other_names(label, batch.numbers, batch.columns, matched, source)
                    yield here, batch
                before += len(block)
        if not before:
            raise no_lines(name)


def opened(file: BinaryIO, name: str) -> Workbook:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about styles and extensions, of which nothing is read
            reader = ExcelReader(file, read_only=True, data_only=True, keep_links=False)
            reader.read()
    except (*_DAMAGED, InvalidFileException):
        raise InputError(
            f"{name} is not a whole workbook (.xlsx). Was it cut off, or is it another kind of file? Nothing of it was loaded"
        ) from None
    # openpyxl passes over a sheet that the workbook lists and the archive lacks.
    lost = [sheet.name for sheet in reader.parser.sheets if sheet.name not in reader.wb.sheetnames]
    if lost:
        raise InputError(f'{name} is damaged: its sheet "{lost[0]}" is not in it. Nothing of it was loaded')
    return reader.wb


def _titles(workbook: Workbook, name: str, form: Format) -> list[str]:
    found = [sheet.title for sheet in workbook.worksheets]
    missing = [title for title in form.sheets or () if title not in found]
    if missing:
        listed = ", ".join(f'"{title}"' for title in found)
        raise InputError(f'{name} has no sheet "{missing[0]}", which sources.yml names. Sheets found: {listed}. Nothing of it was loaded')
    return list(form.sheets or found)


def rows_of(workbook: Workbook, title: str, label: str) -> Iterator[Row]:
    sheet = workbook[title]
    sheet.reset_dimensions()  # what the file says about its size may be wrong
    rows = sheet.iter_rows(values_only=True)
    while True:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                row = next(rows, None)
        except _DAMAGED:
            raise InputError(f"{label} is damaged: a part of it can't be read. Nothing of it was loaded") from None
        if row is None:
            return
        yield row


def _header(rows: Iterator[Row]) -> tuple[int, list[str]]:
    """The first row that has a cell, as names, and which row that is (the first is 1); no names where the sheet is empty."""
    row, first = next(((number, cells) for number, cells in enumerate(map(_trimmed, rows), 1) if cells), (0, ()))
    return row, [(text(cell) or "").strip() for cell in first]


def _batches(block: Sequence[Row], before: int, places: Mapping[str, int], width: int, form: Format) -> Iterator[RawBatch]:
    """The block's rows: those with a time in one batch, those with a text in its place in another. Blank rows count but are nothing."""
    timed: list[Line] = []
    others: list[Line] = []
    refused: list[tuple[int, str]] = []
    for number, row in enumerate(block, before + 1):
        cells = _trimmed(row)
        if not cells:
            continue
        line = {ours: cells[place] if place < len(cells) else None for ours, place in places.items()}
        if len(cells) > width:
            refused.append((number, RAGGED))
        elif any(isinstance(value, str) and value in ERROR_CODES for value in line.values()):
            refused.append((number, UNREADABLE))
        elif any(_is_made_up(line.get(ours)) for ours in CODES):
            refused.append((number, BAD_CODE))
        elif _is_made_up(line.get("customer")):
            refused.append((number, BAD_CUSTOMER))
        else:
            (timed if isinstance(line["sold_at"], date) else others).append((number, line))
    yield _batch(timed, tuple(refused), places, form)
    if others:
        yield _batch(others, (), places, form)


def _batch(lines: Sequence[Line], refused: tuple[tuple[int, str], ...], places: Iterable[str], form: Format) -> RawBatch:
    numbers = np.array([number for number, _ in lines], dtype=np.int64)
    return RawBatch(numbers, {ours: _array(ours, [line[ours] for _, line in lines], form) for ours in places}, refused)


def _array(ours: str, values: Sequence[object], form: Format) -> pa.Array:
    if ours == "sold_at" and any(isinstance(value, date) for value in values):
        moments = [datetime.combine(value, time()) if type(value) is date else value for value in values]
        return pa.array(moments, pa.timestamp("us"))
    if ours in FLAGS and all(value is None or isinstance(value, bool) for value in values):
        return pa.array(values, pa.bool_())
    if ours in NUMBERS:
        if all(value is None or _is_number(value) for value in values):
            return pa.array(values, pa.float64())
        # Texts among numbers are read as the source writes its numbers, so numbers among texts are written so.
        values = [str(value).replace(".", form.decimal) if _is_number(value) else value for value in values]
    return pa.array([text(value) for value in values], pa.string())


def text(value: object) -> str | None:
    """A cell as the text that people see in it: 17850 for 17850.0. A number with more digits than a cell keeps stays in a float's form, in which
    no customer is accepted."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT_FLOAT:
        return str(int(value))
    return str(value)


def _is_made_up(value: object) -> bool:
    """Whether a program made it of a code: of 3-12 a date, of TRUE a yes."""
    return isinstance(value, bool | date | time | timedelta)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _trimmed(row: Row) -> Row:
    """Without the empty cells at its end."""
    end = len(row)
    while end and (row[end - 1] is None or row[end - 1] == ""):
        end -= 1
    return row[:end]
