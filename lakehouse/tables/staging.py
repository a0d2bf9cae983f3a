"""Rows computed once, into Parquet files that are gone afterwards: what reads them twice computes them once, and their count costs nothing."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.tables.catalog import Column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_ARROW = {
    "string": pa.string(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True)
class Staged:
    """A frame made of files which nobody changes, and how many rows it has."""

    frame: DataFrame
    rows: int


def together(parts: Sequence[Staged]) -> Staged:
    """The rows of all of them, at least one, with the same columns."""
    return Staged(reduce(lambda one, other: one.unionByName(other), (part.frame for part in parts)), sum(part.rows for part in parts))


def ddl(columns: Iterable[Column]) -> str:
    """The columns as SQL declares them."""
    return ", ".join(f"`{column.name}` {column.type}" for column in columns)


def arrow_schema(columns: Iterable[Column]) -> pa.Schema:
    """The columns as Arrow has them. Raises `KeyError` for a type that no table has which is written from this process."""
    return pa.schema([(column.name, _ARROW[column.type]) for column in columns])


def write_parts(file: Path, parts: Iterable[pa.Table], kinds: pa.Schema) -> int:
    """A Parquet file of tables that are held one at a time. Returns how many rows they have."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = 0
    with pq.ParquetWriter(file, kinds, compression="lz4") as writer:
        for part in parts:
            writer.write_table(part)
            rows += part.num_rows
    return rows


class Staging:
    """A folder of staged frames. What was staged here stays until `clear`."""

    def __init__(self, folder: Path, spark: Callable[[], SparkSession]) -> None:
        self._folder, self._spark = folder, spark
        self._made: list[Path] = []

    def stage(self, frame: DataFrame, schema: str = "") -> Staged:
        """The frame computed once. `schema`, where it is known: as DDL, which saves asking the engine for it."""
        place = self._folder / f"frame-{uuid.uuid4().hex}"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._made.append(place)
        frame.write.option("compression", "lz4_raw").parquet(str(place))  # read a few times, and gone
        rows = sum(pq.read_metadata(file).num_rows for file in place.rglob("*.parquet"))
        return Staged(self._spark().read.schema(schema or frame.schema).parquet(str(place)), rows)

    def write(self, parts: Iterable[pa.Table], columns: Sequence[Column]) -> Staged:
        """Rows of these columns that were made in this process."""
        place = self._folder / f"frame-{uuid.uuid4().hex}"
        self._made.append(place)
        rows = write_parts(place / "rows.parquet", parts, arrow_schema(columns))
        return Staged(self._spark().read.schema(ddl(columns)).parquet(str(place)), rows)

    def clear(self) -> None:
        """Removes what was staged here."""
        while self._made:
            shutil.rmtree(self._made.pop(), ignore_errors=True)

    def sweep(self) -> None:
        """Removes what killed processes left. Only while nobody else writes here."""
        for left in self._folder.glob("*-*"):
            shutil.rmtree(left, ignore_errors=True)
