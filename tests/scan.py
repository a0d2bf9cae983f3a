"""A scan for a number behind the door: bytes and decoded values of every file of a home, and every version of every table."""

from __future__ import annotations

import base64
import gzip
import sqlite3
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq

from lakehouse.tables import Lake, handles


def places(home: Path, number: str) -> list[str]:
    """Where in the home the number is found: the file's path within it and how it was written there. The vault's file is looked at too."""
    found = []
    for path in sorted(home.rglob("*")):
        name = str(path.relative_to(home))
        if number in name:
            found.append(f"{name}: in the name")
        if path.is_file():
            found += [f"{name}: {how}" for how in _in_file(path, number)]
    return found


def places_in_tables(lake: Lake, number: str) -> list[str]:
    """Table versions, as they are read, with the number in a value."""
    found = []
    for name in lake.catalog:
        for version in range(lake.head(name) + 1):
            table = handles.open_table(lake.path(name), version).to_pyarrow_table()
            if any(number in str(value) for column in table.columns for value in column.to_pylist()):
                found.append(f"{name} version {version}")
    return found


def _in_file(path: Path, number: str) -> Iterator[str]:
    content = path.read_bytes()
    for how, pattern in _written(number):
        if pattern in content:
            yield f"bytes, {how}"
    if content[:4] == b"PAR1" and content[-4:] == b"PAR1":  # without its end, a file that is being written has no values yet
        yield from _in_parquet(path, number)
    elif content[:16] == b"SQLite format 3\0":
        yield from _in_sqlite(path, number)
    for unpack, magic in ((gzip.decompress, b"\x1f\x8b"), (zlib.decompress, b"x\x9c")):
        if content.startswith(magic) and number.encode() in unpack(content):
            yield "unpacked"


def _written(number: str) -> Iterator[tuple[str, bytes]]:
    yield "text", number.encode()
    yield "UTF-16", number.encode("utf-16-le")
    yield "hex of text", number.encode().hex().encode()
    for order in "<>" if number.isdecimal() else "":
        yield "integer", struct.pack(f"{order}q", int(number))
        yield "double", struct.pack(f"{order}d", float(number))
    for shift in range(3):
        # The inner letters of base64 text, which do not depend on what stands before and after.
        encoded = base64.b64encode(b"\0" * shift + number.encode())
        yield "base64", encoded[4 if shift else 0 : len(encoded) - 4]


def _in_parquet(path: Path, number: str) -> Iterator[str]:
    table = pq.ParquetFile(path).read()
    for name, column in zip(table.column_names, table.columns, strict=True):
        if any(number in str(value) for value in column.to_pylist()):
            yield f"column {name}"


def _in_sqlite(path: Path, number: str) -> Iterator[str]:
    with closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                if any(number in (str(value) if not isinstance(value, bytes) else value.decode("latin-1")) for value in row):
                    yield f"table {table}"
