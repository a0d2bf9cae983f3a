"""The beginning of a file of each kind: text, Parquet, sheets."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.errors import InputError
from lakehouse.ingest import readers, sheets, texts
from lakehouse.ingest.columns import no_lines
from lakehouse.ingest.guessing import clocks, names
from lakehouse.ingest.guessing.beginning import ROWS, Beginning, Row, Table, no_columns, spread, tabulated, with_rows
from lakehouse.ingest.source_parts import Format

_BEGIN = 1 << 20  # bytes of a text that are looked at
_PARTS, _PART = 16, 1 << 16  # of what comes after them, and bytes of each
_FURTHEST, _EVERY = 100_000, 20  # rows of a sheet, and which of those that come after the first are looked at
_LINES = 60  # in which delimiters are counted
_FEWEST = 3  # lines that tell where fields of fixed width are
_MARKS, _LAST_MARKS = ",;\t|~^", ": "
_ALIKE = 0.6  # of the lines have as many fields


def beginning(path: Path) -> Beginning:
    """Raises `InputError` for a file of which not even columns can be made out, in the words of its reader."""
    ending = path.suffix.lstrip(".").lower()
    if not path.stat().st_size:
        raise readers.empty(path.name)
    if ending == "parquet":
        found = _of_parquet(path)
    elif ending == "xlsx":
        found = _of_sheets(path)
    else:
        found = _of_text(path, ending)
    if len(found.columns) < 2:
        raise no_columns(path.name)
    return found


# ---------------------------------------------------------------------- text


def _of_text(path: Path, ending: str) -> Beginning:
    encoding, lines, later = _lines(path)
    form: dict[str, object] = {} if ending == "csv" else {"kind": "csv"}
    form |= {"encoding": encoding} if encoding != "utf-8" else {}
    said = re.fullmatch(r'"?sep=(.)"?', lines[0]) if lines else None
    mark = said.group(1) if said else _delimiter(lines, _MARKS)
    table = tabulated(_records(path.name, lines, mark)) if mark else None
    if not said and (table is None or len(table.columns) <= 2):
        places = _of_places(lines, later, {"encoding": encoding} if encoding != "utf-8" else {}, ending)
        if places is not None:
            return places
    if table is None:  # by marks that stand in any text
        mark = _delimiter(lines, _LAST_MARKS)
        table = tabulated(_records(path.name, lines, mark)) if mark else None
        if table is None or not _has_time_and_number(table.columns):
            raise no_columns(path.name)
    form |= {"delimiter": mark} if mark != "," else {}
    written = with_rows(table, _beyond(lines, later, str(mark)))
    return Beginning(ending, {**form, **table.form}, table.columns, written, is_named=table.is_named, remarks=table.remarks)


def _lines(path: Path) -> tuple[str, list[str], list[list[str]]]:
    """The encoding, the first lines as far as they are whole, and parts of what comes after them."""
    with path.open("rb") as file:
        raw, is_whole = file.read(_BEGIN), not file.read(1)
        what = next((what for signature, what in texts.SIGNATURES.items() if raw.startswith(signature)), None)
        if what is not None:
            raise InputError(f"{path.name} is {what}, not text. Unpack it, save it as text or .xlsx, or give it the ending of what it is")
        if re.search(rb"[\x01-\x08\x0e-\x1f]", raw[:1_000]) or not raw.strip(b"\0"):
            raise InputError(f"{path.name} is neither text nor Parquet nor a workbook (.xlsx)")
        file.seek(0)
        texts.begun(file, path.name, Format(kind="csv"))
        raw = raw[file.tell() :]
        parts = [] if is_whole else _parts(file, path.stat().st_size)
    if not raw.strip():
        raise no_lines(path.name)
    if not is_whole:
        end = max(raw.rfind(b"\n"), raw.rfind(b"\r")) + 1
        if not end:
            raise InputError(f"{path.name} has no end of a line in its first {len(raw)} bytes, so it is not lines of text")
        raw = raw[:end]
    blocks = [raw, *parts]
    encoding = next(one for one in ("utf-8", "cp1252", "latin-1") if all(texts.decoded(block, (one,)) is not None for block in blocks))
    lines, *later = (block.decode(encoding).replace("\r\n", "\n").replace("\r", "\n").split("\n") for block in blocks)
    return encoding, lines, later


def _parts(file: BinaryIO, size: int) -> list[bytes]:
    """Whole lines from all over what comes after the beginning, up to the end."""
    found = []
    for part in range(1, _PARTS + 1):
        file.seek(_BEGIN + max(0, (size - _BEGIN) * part // _PARTS - _PART))
        raw = file.read(_PART)
        ends = [end.end() for end in re.finditer(rb"[\r\n]+", raw)]
        found += [raw[ends[0] : ends[-1]]] if ends else []
    return found


def _delimiter(lines: Sequence[str], marks: str) -> str | None:
    """The mark that makes most lines as wide as each other; of several, the one that makes most fields."""
    found: list[tuple[float, int, str]] = []
    for mark in marks:
        rows = _split(lines[:_LINES], mark)
        wide = Counter(len(row) for row in rows if row)
        if wide and (most := wide.most_common(1)[0])[0] > 1 and most[1] >= _ALIKE * wide.total():
            found.append((round(most[1] / wide.total(), 1), most[0], mark))
    return max(found, key=lambda one: one[:2])[2] if found else None


def _split(lines: Sequence[str], mark: str) -> list[list[str]]:
    """Nothing where that mark leaves a field without an end, or spaces are not single."""
    try:
        rows = list(csv.reader(lines, delimiter=mark))
    except csv.Error:
        return []
    return [] if mark == " " and any(not all(row) for row in rows) else rows


def _records(name: str, lines: Sequence[str], mark: str) -> list[Row]:
    reader = csv.reader(lines, delimiter=mark)
    try:
        return [Row(row, reader.line_num) for row in itertools.islice(reader, ROWS + 1)]
    except csv.Error:
        raise InputError(f"{name} can't be split into fields: a field is too long, or a quotation mark is never closed") from None


def _beyond(lines: Sequence[str], parts: Sequence[Sequence[str]], mark: str) -> Iterator[list[str]]:
    """Rows behind those that tell the columns. A part may begin within a field of several lines: what then comes of it has another width."""
    for part, passed in ((lines, ROWS + 1), *((part, 0) for part in parts)):
        try:
            rows = list(csv.reader(part, delimiter=mark))[passed:]
        except csv.Error:
            continue
        yield from spread(rows, ROWS if passed else ROWS // _PARTS)


def _has_time_and_number(columns: Mapping[str, Sequence[str]]) -> bool:
    timed = {name for name, values in columns.items() if clocks.written(values)}
    numbers = {
        name for name, values in columns.items() if values and all(re.fullmatch(r"-?[0-9]+(?:[.,][0-9]+)?", value) for value in values)
    }
    return bool(timed and numbers - timed)


def _of_places(lines: Sequence[str], later: Sequence[Sequence[str]], form: dict[str, object], ending: str) -> Beginning | None:
    """Fields of fixed width: one ends wherever every line has a space, after something in some line. None where no field of them is a time and
    none a number."""
    kept = [line for line in lines[:ROWS] if line.strip()]
    if len(kept) < _FEWEST:
        return None
    encoding = str(form.get("encoding", "utf-8"))
    in_bytes = len(set(map(len, kept))) > 1 and len({len(line.encode(encoding)) for line in kept}) == 1
    placed = [line.encode(encoding).decode("latin-1") for line in kept] if in_bytes else kept  # a byte as a character each
    length = max(map(len, placed))
    blank = [all(place >= len(line) or line[place] == " " for line in placed) for place in range(length)]
    ends = [place for place in range(1, length) if blank[place] and not blank[place - 1]] + [length]
    starts = [0, *ends[:-1]]
    fields = [f"field_{number}" for number in range(1, len(ends) + 1)]
    places = {name: (start, end) for name, start, end in zip(fields, starts, ends, strict=True)}
    columns = _cut(kept, places, encoding if in_bytes else None)
    if not _has_time_and_number(columns):
        return None
    more = [*spread(lines[ROWS:], ROWS), *(line for part in later for line in spread(part, ROWS // _PARTS))]
    written = _cut([*lines[:ROWS], *more], places, encoding if in_bytes else None)
    widths = [end - start for start, end in zip(starts, ends, strict=True)]
    form = {**({"widths_in": "bytes"} if in_bytes else {}), **form}
    remark = "fields are told by their places, and what they are by their values: look at each, and give them names of your own"
    return Beginning(
        ending, {"kind": "fixed", "header": fields, "widths": widths, **form}, columns, written, is_named=False, remarks=(remark,)
    )


def _cut(lines: Sequence[str], places: Mapping[str, tuple[int, int]], encoding: str | None) -> dict[str, list[str]]:
    """The fields that are not empty. `encoding`: places are of the bytes in it."""
    if encoding is None:
        values = {name: [line[start:end].strip() for line in lines] for name, (start, end) in places.items()}
    else:
        raw = [line.encode(encoding) for line in lines]
        values = {name: [line[start:end].decode(encoding, "replace").strip() for line in raw] for name, (start, end) in places.items()}
    return {name: [value for value in found if value] for name, found in values.items()}


# ---------------------------------------------------------------------- Parquet


def _of_parquet(path: Path) -> Beginning:
    try:
        file = pq.ParquetFile(path)
        table = next(file.iter_batches(batch_size=ROWS), None)
        later = _later_texts(file)
    except (pa.ArrowException, OSError):
        raise InputError(f"{path.name} is not a whole Parquet file: it has no readable footer. Was it cut off?") from None
    schema = file.schema_arrow
    times = frozenset(one.name for one in schema if pa.types.is_timestamp(one.type) or pa.types.is_date(one.type))
    numbers = frozenset(
        one.name for one in schema if pa.types.is_integer(one.type) or pa.types.is_floating(one.type) or pa.types.is_decimal(one.type)
    )
    values = {
        name: [] if table is None else [_text(value) for value in table.column(place).to_pylist() if value is not None]
        for place, name in enumerate(schema.names)
    }
    written = {name: [] if name in times | numbers else [*found, *later.get(name, [])] for name, found in values.items()}
    return Beginning("parquet", {}, values, written, times, numbers)


def _later_texts(file: pq.ParquetFile) -> dict[str, list[str]]:
    """Some texts from all over the file, by column."""
    names = [one.name for one in file.schema_arrow if pa.types.is_string(one.type) or pa.types.is_large_string(one.type)]
    groups = spread(range(file.num_row_groups), _PARTS)
    found: dict[str, list[str]] = {name: [] for name in names}
    if not names:
        return found
    for batch in file.iter_batches(batch_size=ROWS * 10, row_groups=list(groups), columns=names):
        few = batch.take(pa.array(spread(range(batch.num_rows), ROWS // _PARTS)))
        for name in names:
            found[name] += [value for value in few.column(name).to_pylist() if value]
    return {name: list(spread(values, 2 * ROWS)) for name, values in found.items()}


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


# ---------------------------------------------------------------------- sheets


def _of_sheets(path: Path) -> Beginning:
    """The sheet that has most of our columns; others are read too where they have the same ones."""
    with path.open("rb") as file, closing(sheets.opened(file, path.name)) as workbook:
        rows = {sheet.title: sheets.rows_of(workbook, sheet.title, f'{path.name}, sheet "{sheet.title}"') for sheet in workbook.worksheets}
        found = {title: list(itertools.islice(one, ROWS + 1)) for title, one in rows.items()}
        tables = {title: _of_cells(few) for title, few in found.items() if any(cell not in (None, "") for row in few for cell in row)}
        if not tables:
            raise InputError(f"{path.name} has no sheet with a cell. Expected a row of column names and lines of sales")
        main = max(tables, key=lambda title: (len(names.mapped(list(tables[title].columns))), len(tables[title].columns)))
        later = list(itertools.islice(rows[main], 0, _FURTHEST, _EVERY))
    table = tables[main]
    same = [title for title, one in tables.items() if _read_alike(one, table)]
    form, remarks = dict(table.form), list(table.remarks)
    if len(same) < len(tables):
        form["sheets"] = same
        others = ", ".join(f'"{title}"' for title in tables if title not in same)
        remarks.append(f"sheets that have other columns and are not read: {others}")
    lines = [*found[main][table.first :], *later]
    cells = {name: [row[place] for row in lines if place < len(row)] for name, place in table.places.items()}
    written = {name: [value.strip() for value in values if isinstance(value, str) and value.strip()] for name, values in cells.items()}
    only = {name: values for name, values in cells.items() if not written[name]}
    times = frozenset(name for name, values in only.items() if any(isinstance(value, date) for value in values))
    numbers = frozenset(name for name, values in only.items() if any(isinstance(value, int | float) for value in values))
    return Beginning("xlsx", form, table.columns, written, times, numbers, table.is_named, tuple(remarks))


def _read_alike(one: Table, other: Table) -> bool:
    """Whether one entry reads both sheets: names may stand in any order, fields that have none may not."""
    in_order = list(one.columns) == list(other.columns)
    return one.form == other.form and (in_order or ("header" not in one.form and one.columns.keys() == other.columns.keys()))


def _of_cells(rows: Sequence[sheets.Row]) -> Table:
    found = [[(sheets.text(cell) or "").strip() for cell in row] for row in rows]
    wide = max((place for row in found for place, cell in enumerate(row, 1) if cell), default=0)
    return tabulated([Row(row[:wide], number) for number, row in enumerate(found, 1)], blank_above=False)
