"""A table that lies beside the files of sales, such as a list of products: what lines lack is taken from it, line by line, at the door."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lakehouse.errors import TableBeside
from lakehouse.ingest.raw import RawBatch, number_texts, stripped
from lakehouse.ingest.source_parts import Beside
from lakehouse.ingest.sources import Source
from lakehouse.ingest.texts import decoded


@dataclass(frozen=True)
class Table:
    """Values by key: `keys` in upper case, each once, and for every one of `columns` (ours) a value or null."""

    key: str
    keys: pa.Array
    columns: dict[str, pa.Array]

    def added(self, batch: RawBatch) -> tuple[RawBatch, int]:
        """The batch with what the table says of its lines, null for a key that the table lacks; and how many lines have such a key."""
        keys = _folded(batch.columns[self.key])
        places = pc.index_in(keys, self.keys)
        columns = {**batch.columns, **{ours: column.take(places) for ours, column in self.columns.items()}}
        return RawBatch(batch.numbers, columns, batch.refused), places.null_count - keys.null_count


class WithTable:
    """The batches of a file in `folder`, with what the source takes from the table beside it, if it names one. `unmatched`: of how many of the
    lines that were given so far the table says nothing.

    Raises `TableBeside` for a table that is missing, lacks a column, says two things of one key, or changes before the last batch was given.
    """

    def __init__(self, batches: Iterator[RawBatch], folder: Path, source: Source) -> None:
        self.unmatched = 0
        self._batches, self._folder, self._beside = batches, folder, source.beside

    def __iter__(self) -> Iterator[RawBatch]:
        if self._beside is None:
            yield from self._batches
            return
        path = self._folder / self._beside.file
        content = _content(path)
        table = _table(path.name, content, self._beside)
        for batch in self._batches:
            added, unmatched = table.added(batch)
            self.unmatched += unmatched
            yield added
        if hashlib.sha256(_content(path)).digest() != hashlib.sha256(content).digest():
            raise TableBeside(f"{path.name} changed while the file beside it was read. Nothing of that was loaded; load it again")


def lacking(lines: int, source: Source) -> str:
    """That the table beside says nothing of so many lines, in words; nothing where there are none."""
    if not lines or source.beside is None:
        return ""
    (ours,) = source.beside.key.values()
    return f"{lines:,} lines of {ours.removesuffix('_code')}s that {source.beside.file} lacks"


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise TableBeside(f"{path.name} is not beside the file, and its source takes columns from it. Put it into {path.parent}") from None
    except OSError as error:
        raise TableBeside(f"{path.name} can't be read: {error.strerror}. Nothing was loaded") from None


def _table(name: str, content: bytes, beside: Beside) -> Table:
    ((theirs, ours),) = beside.key.items()
    columns = _columns(name, content, beside, [theirs, *beside.columns])
    keys = _folded(columns[theirs])
    values: dict[str, pa.Array] = {field: columns[column] for column, field in beside.columns.items()}
    rows = pa.table({"key": keys, **values}).filter(keys.is_valid())
    distinct = rows.group_by(rows.column_names).aggregate([])
    if distinct.num_rows != len(pc.unique(distinct["key"])):
        raise TableBeside(f'{name} has several lines of one "{theirs}" that say different things. Expected one line for each')
    return Table(ours, distinct["key"].combine_chunks(), {field: distinct[field].combine_chunks() for field in values})


def _columns(name: str, content: bytes, beside: Beside, wanted: list[str]) -> dict[str, pa.Array]:
    """The wanted columns, as stripped texts."""
    try:
        found = _of_parquet(content, wanted) if name.lower().endswith(".parquet") else _of_text(name, content, beside)
    except (pa.ArrowException, OSError):
        raise TableBeside(f"{name} is not a whole Parquet file. Nothing was loaded") from None
    missing = [column for column in wanted if column not in found]
    if missing:
        listed = ", ".join(f'"{column}"' for column in found)
        raise TableBeside(f'{name} has no column "{missing[0]}", which its source names. Columns found: {listed}')
    return {column: stripped(number_texts(found[column])) for column in wanted}


def _of_text(name: str, content: bytes, beside: Beside) -> dict[str, pa.Array]:
    text = decoded(content.removeprefix(b"\xef\xbb\xbf"), beside.encoding)
    if text is None:
        raise TableBeside(f"{name} is not text in {' or '.join(beside.encoding)}. Say its encoding in sources.yml (beside)")
    read = csv.reader(io.StringIO(text, newline=""), delimiter=beside.delimiter, strict=True)
    try:
        lines: list[list[str]] = list(read)
    except csv.Error as error:
        raise TableBeside(
            f"{name} can't be read as a table, up to line {read.line_num} of its text: {error}. Is a quotation mark left open? Nothing was loaded"
        ) from None
    header, rows = lines[0] if lines else [], lines[1:]
    ragged = next((number for number, row in enumerate(rows, 1) if row and len(row) != len(header)), None)
    if ragged is not None:
        raise TableBeside(f"{name} has {len(header)} columns, and its line {ragged} has not. Was it cut off? Nothing was loaded")
    names: list[str] = [column.strip() for column in header]
    return {column: pa.array([row[at] for row in rows if row], pa.string()) for at, column in enumerate(names)}


def _of_parquet(content: bytes, wanted: list[str]) -> dict[str, pa.Array]:
    file = pq.ParquetFile(pa.BufferReader(content))
    table = file.read([name for name in file.schema_arrow.names if name in wanted])
    return {name: table[name].combine_chunks() for name in table.column_names}


def _folded(column: pa.Array) -> pa.Array:
    return pc.utf8_upper(stripped(number_texts(column)))
