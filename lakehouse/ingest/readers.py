"""Readers: a file as batches of its lines, a column of ours each, as they were written. Memory is bounded by `batch_rows`.

What is wrong with the whole file is an `InputError`; what is wrong with a line is said beside the lines, and no text of it is kept.
Messages of the parsers are never passed on: they quote what they could not read.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from lakehouse.errors import InputError
from lakehouse.ingest import sheets
from lakehouse.ingest.columns import match_columns, no_lines
from lakehouse.ingest.lines import MAX_LINE, UNREADABLE, Ints, Splitter
from lakehouse.ingest.raw import RawBatch
from lakehouse.ingest.sources import TEXTS, Format, Source
from lakehouse.privacy.numbers import EXACT_FLOAT

# So many unreadable lines, and no readable one that holds more than ASCII, are no accident.
_THROUGHOUT = 10
_BOMS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_SIGNATURES = {
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"\x1f\x8b": "a gzip archive",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet",
}


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
        raise InputError(f"{name} is empty (0 bytes). Expected a header and lines of sales; nothing was loaded")
    file.seek(0)
    if form.kind == "parquet":
        yield from _parquet(file, name, source, form, batch_rows)
    elif form.kind == "xlsx":
        yield from sheets.read(file, name, source, form, batch_rows)
    else:
        yield from _delimited(file, name, source, form, batch_rows)


# ---------------------------------------------------------------------- delimited text


def _delimited(file: BinaryIO, name: str, source: Source, form: Format, batch_rows: int) -> Iterator[RawBatch]:
    begun, encodings = file.read(MAX_LINE), form.encoding
    for signature, what in _SIGNATURES.items():
        if begun.startswith(signature):
            raise InputError(f"{name} is {what}, not delimited text. Its ending does not fit what is in it; nothing was loaded")
    for mark, encoding in _BOMS.items():
        if begun.startswith(mark):
            begun = begun.removeprefix(mark)
            if encoding != "utf-8":
                raise _wrong_encoding(name, form, f"its first bytes say {encoding}")
            encodings = (encoding,)
    first, rest = _first_line(begun)
    if b"\0" in first:
        raise _wrong_encoding(name, form, "its first line holds zero bytes, as UTF-16 or binary files do")
    if form.header is None:
        header = _header(name, first, form, encodings)
    else:
        header, rest = list(form.header), begun
    matched = match_columns(name, header, source)
    splitter = Splitter(len(header), form.delimiter, encodings)
    lines = 0
    for block in splitter.blocks(file, batch_rows, rest):
        table = _parsed(block.text, header, form.delimiter, len(block.numbers))
        lines += len(block.numbers) + len(block.refused)
        yield RawBatch(block.numbers, {ours: table[theirs].combine_chunks() for ours, theirs in matched.items()}, block.refused)
    tally = splitter.tally
    if tally.unreadable and not tally.fitting and (tally.unreadable >= _THROUGHOUT or tally.unreadable == lines):
        raise _wrong_encoding(name, form, f"none of the {tally.unreadable} lines that hold more than ASCII can be read")
    if not lines:
        raise no_lines(name)


def _first_line(begun: bytes) -> tuple[bytes, bytes]:
    ends = [place for place in (begun.find(b"\n"), begun.find(b"\r")) if place >= 0]
    end = min(ends, default=len(begun))
    after = end + (2 if begun[end : end + 2] == b"\r\n" else 1)
    return begun[:end], begun[after:]


def _header(name: str, line: bytes, form: Format, encodings: tuple[str, ...]) -> list[str]:
    if len(line) >= MAX_LINE:
        raise InputError(f"{name} has no end of a line in its first {MAX_LINE} bytes, so it is not lines of text. Nothing was loaded")
    for encoding in encodings:
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError:
            continue
        return [field.strip() for field in next(csv.reader([text], delimiter=form.delimiter), [])]
    raise _wrong_encoding(name, form, "its first line can't be read")


def _parsed(text: bytes, header: list[str], delimiter: str, lines: int) -> pa.Table:
    """Whole records to a table of texts."""
    names = [f"{place}" for place in range(len(header))]
    if not lines:
        return pa.table({name: pa.array([], pa.string()) for name in header})
    table = pa_csv.read_csv(
        io.BytesIO(text),
        read_options=pa_csv.ReadOptions(column_names=names, block_size=max(len(text) + 1, 64), use_threads=False),
        parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        # Every byte was checked when the lines were told apart.
        convert_options=pa_csv.ConvertOptions(check_utf8=False, column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
    )
    assert table.num_rows == lines, "the parser and the splitter disagree about what a record is"
    return table.rename_columns(header)


def _wrong_encoding(name: str, form: Format, why: str) -> InputError:
    expected = " or ".join(form.encoding)
    return InputError(
        f"{name} is not text in {expected}: {why}. Save it as {form.encoding[0]}, or say its encoding in sources.yml. Nothing was loaded"
    )


# ---------------------------------------------------------------------- Parquet


def _parquet(file: BinaryIO, name: str, source: Source, form: Format, batch_rows: int) -> Iterator[RawBatch]:
    try:
        opened = pq.ParquetFile(file)
        schema = opened.schema_arrow
    except (pa.ArrowException, OSError):
        raise InputError(f"{name} is not a whole Parquet file: it has no readable footer. Was it cut off? Nothing was loaded") from None
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
            raise InputError(f"{name} is damaged after its line {done}: that part can't be read. Nothing was loaded") from None
        if batch is None:
            break
        numbers = np.arange(done + 1, done + batch.num_rows + 1, dtype=np.int64)
        done += batch.num_rows
        yield _readable(numbers, {ours: batch.column(name) for ours, name in matched.items()}, form)
    if done != opened.metadata.num_rows:
        raise InputError(f"{name} says that it has {opened.metadata.num_rows} lines, and {done} were found. Nothing was loaded")


def _check_type(file: str, theirs: str, ours: str, kind: pa.DataType, source: Source) -> None:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    is_text = _is_text(plain) or pa.types.is_null(plain)
    is_number = pa.types.is_integer(plain) or pa.types.is_floating(plain) or pa.types.is_decimal(plain)
    if ours == "sold_at":
        fits, expected = is_text or pa.types.is_timestamp(plain) or pa.types.is_date(plain), "times or text"
        if pa.types.is_timestamp(plain) and plain.tz is not None and source.times.zone is None:
            raise InputError(
                f'{file}: times in "{theirs}" carry an offset ({plain}). Say in sources.yml (source "{source.name}", times.zone) which'
                " zone's wall time the shop keeps"
            )
    elif ours in ("quantity", "unit_price", "amount"):
        fits, expected = is_text or is_number, "numbers or text"
    elif ours == "promotion":
        fits, expected = is_text or is_number or pa.types.is_boolean(plain), "true and false, 1 and 0, or text"
    else:
        fits, expected = is_text or is_number or pa.types.is_boolean(plain), "text or numbers"
    if not fits:
        raise InputError(f'{file}: column "{theirs}" ({ours}) holds {plain}. Expected {expected}; nothing was loaded')


def _readable(numbers: Ints, columns: dict[str, pa.Array], form: Format) -> RawBatch:
    """The lines whose texts can be read, text columns as strings."""
    unreadable = np.zeros(len(numbers), dtype=bool)
    for ours, column in columns.items():
        plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        if _is_text(plain.type):
            plain = _strings(plain, form, unreadable)
        elif pa.types.is_null(plain.type):
            plain = plain.cast(pa.string())
        elif ours in TEXTS or ours == "customer":
            plain = _number_texts(plain)
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
        text = None if raw is None else _decoded(raw, form)
        unreadable[place] |= raw is not None and text is None
        found.append(text)
    return pa.array(found, pa.string())


def _decoded(raw: bytes, form: Format) -> str | None:
    for encoding in form.encoding:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def _number_texts(column: pa.Array) -> pa.Array:
    """Numbers as the text that people write for them: 17850 for 17850.0."""
    if not pa.types.is_floating(column.type):
        return column.cast(pa.string())
    doubles = column.cast(pa.float64())
    doubles = pc.if_else(pc.is_nan(doubles), None, doubles)
    exact = pc.and_(pc.equal(doubles, pc.trunc(doubles)), pc.less_equal(pc.abs(doubles), float(EXACT_FLOAT)))
    as_integers = pc.if_else(exact, doubles, None).cast(pa.int64()).cast(pa.string())
    # Beyond that the last digits are gone: such a number stays in a float's form, in which no customer is accepted.
    return pc.coalesce(as_integers, pc.replace_substring_regex(doubles.cast(pa.string()), "^(-?[0-9]+)$", r"\1.0"))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or _is_binary(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind) or pa.types.is_binary_view(kind)
    )
