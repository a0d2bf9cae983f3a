"""Text files: delimited ones, and those whose fields stand at fixed places of a line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice, pairwise
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from lakehouse.errors import InputError
from lakehouse.ingest.columns import match_columns, no_lines, refuse_other_names
from lakehouse.ingest.lines import MAX_LINE, RAGGED, UNREADABLE, Splitter, Tally
from lakehouse.ingest.raw import RawBatch
from lakehouse.ingest.source_parts import Format
from lakehouse.ingest.sources import Source

# So many unreadable lines, and no readable one that holds more than ASCII, are no accident.
_THROUGHOUT = 10
_BOMS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
SIGNATURES = {
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"\x1f\x8b": "a gzip archive",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet",
}


def delimited(file: BinaryIO, name: str, source: Source, form: Format, batch_rows: int) -> Iterator[RawBatch]:
    encodings = begun(file, name, form)
    names, rest = _names(file.read(MAX_LINE), name, form, encodings)
    matched = match_columns(name, names, source)
    splitter = Splitter(len(names), form.delimiter, encodings)
    lines = 0
    for block in splitter.blocks(file, batch_rows, rest):
        table = _parsed(block.text, names, form.delimiter, len(block.numbers))
        lines += len(block.numbers) + len(block.refused)
        columns = {ours: table[theirs].combine_chunks() for ours, theirs in matched.items()}
        refuse_other_names(name, block.numbers, columns, matched, source)
        yield RawBatch(block.numbers, columns, block.refused)
    _check_whole(name, form, splitter.tally, lines)


def fixed(file: BinaryIO, name: str, source: Source, form: Format, batch_rows: int) -> Iterator[RawBatch]:
    """Each line is a record, each field so many characters (or bytes) of it (`form.widths`). What a short line lacks at its end is empty; a line
    with more than its fields is refused, and so is a file whose fields are told by the other of the two."""
    encodings, names, tally, lengths = begun(file, name, form), list(form.header or ()), Tally(), _Lengths()
    for _ in range(form.above):
        _skip_line(file)
    matched = match_columns(name, names, source)
    marks = list(accumulate(form.widths or (), initial=0))
    places = {ours: (marks[at], marks[at + 1]) for ours, at in ((ours, names.index(one)) for ours, one in matched.items())}
    done = lines = 0
    while block := list(islice(iter(lambda: file.readline(MAX_LINE), b""), batch_rows)):
        texts: list[str] = []
        numbers: list[int] = []
        refused: list[tuple[int, str]] = []
        for raw in block:
            done += 1
            if len(raw) == MAX_LINE and not raw.endswith(b"\n"):
                _skip_line(file)
                refused.append((done, RAGGED))
            elif line := raw.rstrip():
                text = decoded(line, encodings)
                if not line.isascii():
                    tally.fitting += text is not None
                    tally.unreadable += text is None
                if text is not None:
                    lengths.add(raw.rstrip(b"\r\n"), line, text)
                    is_longer = len(line if form.widths_in == "bytes" else text) > marks[-1]
                    if form.widths_in == "bytes" and not is_longer and not line.isascii():
                        text = _in_characters(line, marks, encodings)
                if text is None or is_longer:
                    refused.append((done, UNREADABLE if text is None else RAGGED))
                else:
                    texts.append(text)
                    numbers.append(done)
        lines += len(numbers) + len(refused)
        lengths.check(name, form, marks[-1])
        whole = pa.array(texts, pa.string())
        columns = {ours: pc.utf8_slice_codeunits(whole, start, end) for ours, (start, end) in places.items()}
        yield RawBatch(np.array(numbers, dtype=np.int64), columns, tuple(refused))
    _check_whole(name, form, tally, lines)


@dataclass
class _Lengths:
    """How long the lines of a file are that were read so far, with the spaces at their ends: in bytes, and in characters."""

    lines: int = 0
    in_bytes: set[int] = field(default_factory=set)
    in_characters: set[int] = field(default_factory=set)

    def add(self, raw: bytes, line: bytes, text: str) -> None:
        self.lines += 1
        self.in_bytes.add(len(raw))
        self.in_characters.add(len(raw) - len(line) + len(text))

    def check(self, name: str, form: Format, width: int) -> None:
        """Raises `InputError` where fields were padded to as many of what `widths` are not counted in: they would be cut at wrong places."""
        told, other = (self.in_bytes, self.in_characters) if form.widths_in == "bytes" else (self.in_characters, self.in_bytes)
        meant = "characters" if form.widths_in == "bytes" else "bytes"
        # Of a few lines that are not padded at their ends some happen to be as long as each other.
        if len(told) > 1 and len(other) == 1 and (self.lines >= _THROUGHOUT or width in other):
            raise InputError(
                f"the lines of {name} are all as many {meant}, and not as many {form.widths_in}, in which its widths are counted: fields would be cut"
                f" at wrong places. Say widths_in: {meant} in sources.yml (formats), and widths in {meant}. Nothing of it was loaded"
            )


def _in_characters(line: bytes, marks: Sequence[int], encodings: tuple[str, ...]) -> str | None:
    """A line whose fields are so many bytes, as one whose fields are so many characters; None where a character stands in two of them."""
    encoding = next(one for one in encodings if decoded(line, (one,)) is not None)
    fields = [(decoded(line[start:end], (encoding,)), end - start) for start, end in pairwise(marks)]
    return None if any(text is None for text, _ in fields) else "".join((text or "").ljust(width) for text, width in fields)


def decoded(raw: bytes, encodings: tuple[str, ...]) -> str | None:
    """The text by the first encoding that fits; None where none does."""
    for encoding in encodings:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def header(file: BinaryIO, name: str, form: Format) -> list[str]:
    """The names of the columns. Raises `InputError` for a file that is no such text."""
    encodings = begun(file, name, form)
    return _names(file.read(MAX_LINE), name, form, encodings)[0]


def begun(file: BinaryIO, name: str, form: Format) -> tuple[str, ...]:
    """Leaves the file where its text begins. Returns the encodings to try. Raises `InputError` for a file that is no such text."""
    start, encodings, skipped = file.read(MAX_LINE), form.encoding, 0
    for signature, what in SIGNATURES.items():
        if start.startswith(signature):
            raise InputError(f"{name} is {what}, not text. Its ending does not fit what is in it; nothing of it was loaded")
    for mark, encoding in _BOMS.items():
        if start.startswith(mark):
            if encoding != "utf-8":
                raise _not_text(name, form, f"its first bytes say {encoding}, which is not read")
            encodings, skipped = (encoding,), len(mark)
    if b"\0" in _first_line(start)[0]:
        raise _not_text(name, form, "its first line holds zero bytes, as UTF-16 or binary files do")
    file.seek(skipped)
    return encodings


def _check_whole(name: str, form: Format, tally: Tally, lines: int) -> None:
    """Raises `InputError` for a file without lines, or one in another encoding than the source says."""
    if tally.unreadable and not tally.fitting and (tally.unreadable >= _THROUGHOUT or tally.unreadable == lines):
        raise _wrong_encoding(name, form, f"none of the {tally.unreadable} lines that hold more than ASCII can be read")
    if not lines:
        raise no_lines(name)


def _skip_line(file: BinaryIO) -> None:
    while (part := file.readline(MAX_LINE)) and not part.endswith(b"\n"):
        pass


def _first_line(begun: bytes) -> tuple[bytes, bytes]:
    ends = [place for place in (begun.find(b"\n"), begun.find(b"\r")) if place >= 0]
    end = min(ends, default=len(begun))
    after = end + (2 if begun[end : end + 2] == b"\r\n" else 1)
    return begun[:end], begun[after:]


def _names(start: bytes, name: str, form: Format, encodings: tuple[str, ...]) -> tuple[list[str], bytes]:
    """The columns' names, and what of the file's start comes after them."""
    for _ in range(form.above):
        start = _first_line(start)[1]
    if form.header is not None:
        return list(form.header), start
    first, rest = _first_line(start)
    return _header(name, first, form, encodings), rest


def _header(name: str, line: bytes, form: Format, encodings: tuple[str, ...]) -> list[str]:
    if len(line) >= MAX_LINE:
        raise InputError(f"{name} has no end of a line in its first {MAX_LINE} bytes, so it is not lines of text. Nothing of it was loaded")
    text = decoded(line, encodings)
    if text is None:
        raise _wrong_encoding(name, form, "its first line can't be read")
    try:
        return [one.strip() for one in next(csv.reader([text], delimiter=form.delimiter), [])]
    except csv.Error as error:
        raise InputError(
            f"{name} has a first line that names no columns: {error}. Is a quotation mark left open? Nothing of it was loaded"
        ) from None


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


def _not_text(name: str, form: Format, why: str) -> InputError:
    """For what no encoding that a source may name would read."""
    return InputError(f"{name} is not text in {' or '.join(form.encoding)}: {why}. Save it as {form.encoding[0]}. Nothing of it was loaded")


def _wrong_encoding(name: str, form: Format, why: str) -> InputError:
    expected = " or ".join(form.encoding)
    return InputError(
        f"{name} is not text in {expected}: {why}. Save it as {form.encoding[0]}, or say its encoding in sources.yml. Nothing of it was loaded"
    )
