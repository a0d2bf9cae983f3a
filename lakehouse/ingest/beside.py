"""A table that lies beside the files of sales, such as a list of products: what lines lack is taken from it, line by line, at the door."""

from __future__ import annotations

import csv
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

    def added(self, batch: RawBatch) -> RawBatch:
        """The batch with what the table says of its lines; null for a key that the table lacks."""
        places = pc.index_in(_folded(batch.columns[self.key]), self.keys)
        return RawBatch(
            batch.numbers, {**batch.columns, **{ours: column.take(places) for ours, column in self.columns.items()}}, batch.refused
        )


def with_table(batches: Iterator[RawBatch], folder: Path, source: Source) -> Iterator[RawBatch]:
    """The batches of a file in `folder`, with what the source takes from the table beside it, if it names one.

    Raises `TableBeside` for a table that is missing, lacks a column, or says two things of one key.
    """
    if source.beside is None:
        return batches
    table = _read(folder / source.beside.file, source.beside)
    return (table.added(batch) for batch in batches)


def _read(path: Path, beside: Beside) -> Table:
    ((theirs, ours),) = beside.key.items()
    columns = _columns(path, beside, [theirs, *beside.columns])
    keys = _folded(columns[theirs])
    values: dict[str, pa.Array] = {field: columns[name] for name, field in beside.columns.items()}
    rows = pa.table({"key": keys, **values}).filter(keys.is_valid())
    distinct = rows.group_by(rows.column_names).aggregate([])
    if distinct.num_rows != len(pc.unique(distinct["key"])):
        raise TableBeside(f'{path.name} has several lines of one "{theirs}" that say different things. Expected one line for each')
    return Table(ours, distinct["key"].combine_chunks(), {name: distinct[name].combine_chunks() for name in values})


def _columns(path: Path, beside: Beside, wanted: list[str]) -> dict[str, pa.Array]:
    """The wanted columns, as stripped texts."""
    try:
        found = _of_parquet(path, wanted) if path.suffix.lower() == ".parquet" else _of_text(path, beside)
    except FileNotFoundError:
        raise TableBeside(f"{path.name} is not beside the file, and its source takes columns from it. Put it into {path.parent}") from None
    except OSError as error:
        raise TableBeside(f"{path.name} can't be read: {error.strerror}. Nothing was loaded") from None
    except pa.ArrowException:
        raise TableBeside(f"{path.name} is not a whole Parquet file. Nothing was loaded") from None
    missing = [name for name in wanted if name not in found]
    if missing:
        listed = ", ".join(f'"{name}"' for name in found)
        raise TableBeside(f'{path.name} has no column "{missing[0]}", which its source names. Columns found: {listed}')
    return {name: stripped(number_texts(found[name])) for name in wanted}


def _of_text(path: Path, beside: Beside) -> dict[str, pa.Array]:
    text = decoded(path.read_bytes().removeprefix(b"\xef\xbb\xbf"), beside.encoding)
    if text is None:
        raise TableBeside(f"{path.name} is not text in {' or '.join(beside.encoding)}. Say its encoding in sources.yml (beside)")
    lines: list[list[str]] = list(csv.reader(io.StringIO(text, newline=""), delimiter=beside.delimiter))
    header, rows = lines[0] if lines else [], lines[1:]
    ragged = next((number for number, row in enumerate(rows, 1) if row and len(row) != len(header)), None)
    if ragged is not None:
        raise TableBeside(f"{path.name} has {len(header)} columns, and its line {ragged} has not. Was it cut off? Nothing was loaded")
    names: list[str] = [name.strip() for name in header]
    return {name: pa.array([row[at] for row in rows if row], pa.string()) for at, name in enumerate(names)}


def _of_parquet(path: Path, wanted: list[str]) -> dict[str, pa.Array]:
    file = pq.ParquetFile(path)
    table = file.read([name for name in file.schema_arrow.names if name in wanted])
    return {name: table[name].combine_chunks() for name in table.column_names}


def _folded(column: pa.Array) -> pa.Array:
    return pc.utf8_upper(stripped(number_texts(column)))
