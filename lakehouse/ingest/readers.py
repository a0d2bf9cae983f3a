"""Readers: a file as batches of its lines, a column of ours each, as they were written. Memory is bounded by `batch_rows`.

What is wrong with the whole file is an `InputError`; what is wrong with a line is said beside the lines, and no text of it is kept.
Messages of the parsers are never passed on: they quote what they could not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.errors import InputError
from lakehouse.ingest import texts
from lakehouse.ingest.columns import match_columns, no_lines
from lakehouse.ingest.lines import UNREADABLE, Ints
from lakehouse.ingest.raw import RawBatch, number_texts
from lakehouse.ingest.source_parts import Format
from lakehouse.ingest.sources import FLAGS, NUMBERS, TEXTS, Source
from lakehouse.ingest.times import TimeFormat


def format_of(ending: str, source: Source, file: str) -> Format:
    """The format of files with that ending. Raises `InputError` for one that the source does not have."""
    found = source.formats.get(ending)
    if found is None:
        endings = ", ".join(f".{known}" for known in sorted(source.formats))
        raise InputError(f'{file} ends in ".{ending}", which source "{source.name}" does not read. Endings: {endings}')
    return found


def read(file: BinaryIO, name: str, source: Source, form: Format, batch_rows: int) -> Iterator[RawBatch]:
    """The file's lines. Raises `InputError`, possibly only at the end, for what is wrong with the whole file."""
    start = file.read(4)
    if not start:
        raise empty(name)
    file.seek(0)
    if form.kind == "parquet":
        yield from _parquet(file, name, source, form, batch_rows)
    elif form.kind == "xlsx":
        from lakehouse.ingest import sheets  # openpyxl is an eighth of what a command imports

        yield from sheets.read(file, name, source, form, batch_rows)
    elif form.kind == "fixed":
        yield from texts.fixed(file, name, source, form, batch_rows)
    else:
        yield from texts.delimited(file, name, source, form, batch_rows)


def header(file: BinaryIO, name: str, form: Format) -> tuple[list[str], int]:
    """The names of the file's columns, and what is added to a line's number for the one that an editor shows; nothing of a workbook, whose sheets
    have each their own. Leaves the file at its beginning. Raises `InputError` for what is no such file."""
    if form.kind in ("csv", "fixed"):
        found, above = texts.header(file, name, form), form.above + (form.header is None)
    else:
        found, above = [], 0
    if form.kind == "parquet":
        found = _opened(file, name).schema_arrow.names
    file.seek(0)
    return found, above


def empty(name: str) -> InputError:
    return InputError(f"{name} is empty (0 bytes). Expected a header and lines of sales; nothing of it was loaded")


# ---------------------------------------------------------------------- Parquet


def _parquet(file: BinaryIO, name: str, source: Source, form: Format, batch_rows: int) -> Iterator[RawBatch]:
    opened = _opened(file, name)
    schema = opened.schema_arrow
    matched = match_columns(name, schema.names, source)
    for ours, theirs in matched.items():
        _check_type(name, theirs, ours, schema.field(theirs).type, source)
    if not opened.metadata.num_rows:
        raise no_lines(name)
    done, wanted = 0, list(matched.values())
    batches = opened.iter_batches(batch_size=batch_rows, columns=wanted)
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError):
            raise InputError(f"{name} is damaged after its line {done}: that part can't be read. Nothing of it was loaded") from None
        if batch is None:
            break
        numbers = np.arange(done + 1, done + batch.num_rows + 1, dtype=np.int64)
        done += batch.num_rows
        yield _readable(numbers, {ours: batch.column(name) for ours, name in matched.items()}, form)
    if done != opened.metadata.num_rows:
        raise InputError(f"{name} says that it has {opened.metadata.num_rows} lines, and {done} were found. Nothing of it was loaded")


def _opened(file: BinaryIO, name: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError):
        raise InputError(
            f"{name} is not a whole Parquet file: it has no readable footer. Was it cut off? Nothing of it was loaded"
        ) from None


def _check_type(file: str, theirs: str, ours: str, kind: pa.DataType, source: Source) -> None:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    is_text = _is_text(plain) or pa.types.is_null(plain)
    is_number = pa.types.is_integer(plain) or pa.types.is_floating(plain) or pa.types.is_decimal(plain)
    if ours == "sold_at":
        is_counted = is_number and source.times.counted is not None
        is_written = pa.types.is_integer(plain) and any(TimeFormat.of(text).is_number for text in source.times.formats)
        fits = is_text or is_counted or is_written or pa.types.is_timestamp(plain) or pa.types.is_date(plain)
        expected = 'times or text (days such as 20240131 are read where times.formats in sources.yml has "%Y%m%d")'
        if pa.types.is_timestamp(plain) and plain.tz is not None and source.times.zone is None:
            raise InputError(
                f'{file}: times in "{theirs}" carry an offset ({plain}). Say in sources.yml (source "{source.name}", times.zone) which'
                " zone's wall time the shop keeps"
            )
    elif ours in NUMBERS:
        fits, expected = is_text or is_number, "numbers or text"
    elif ours in FLAGS:
        fits, expected = is_text or is_number or pa.types.is_boolean(plain), "true and false, 1 and 0, or text"
    else:
        fits, expected = is_text or is_number or pa.types.is_boolean(plain), "text or numbers"
    if not fits:
        raise InputError(f'{file}: column "{theirs}" ({ours}) holds {plain}. Expected {expected}; nothing of it was loaded')


def _readable(numbers: Ints, columns: dict[str, pa.Array], form: Format) -> RawBatch:
    """The lines whose texts can be read, text columns as strings."""
    unreadable = np.zeros(len(numbers), dtype=bool)
    for ours, column in columns.items():
        plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        if _is_text(plain.type):
            plain = _strings(plain, form, unreadable)
        elif pa.types.is_null(plain.type):
            plain = plain.cast(pa.string())
        elif ours in TEXTS or ours in ("customer", "year") or (ours == "sold_at" and pa.types.is_integer(plain.type)):
            plain = number_texts(plain)
        columns[ours] = plain
    if not unreadable.any():
        return RawBatch(numbers, columns, ())
    keep = pa.array(~unreadable)
    return RawBatch(
        numbers[~unreadable],
        {ours: column.filter(keep) for ours, column in columns.items()},
        tuple((int(number), UNREADABLE) for number in numbers[unreadable]),
    )


def _strings(column: pa.Array, form: Format, unreadable: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> pa.Array:
    """Texts and bytes as strings. Where a value can't be read it is null, and its line is marked in `unreadable`."""
    if not _is_binary(column.type):
        try:
            strings = column.cast(pa.string())
            strings.validate(full=True)
            return strings
        except pa.ArrowInvalid:
            column = column.cast(pa.large_binary())
    found: list[str | None] = []
    for place, raw in enumerate(column.to_pylist()):
        text = None if raw is None else texts.decoded(raw, form.encoding)
        unreadable[place] |= raw is not None and text is None
        found.append(text)
    return pa.array(found, pa.string())


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or _is_binary(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind) or pa.types.is_binary_view(kind)
    )
