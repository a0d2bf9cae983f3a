"""Judged lines as rows of bronze: what is kept of each, and of refused ones no text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.ingest import door
from lakehouse.ingest.door import LEGIBLE, WALL, Judged
from lakehouse.ingest.identity import line_ids
from lakehouse.ingest.sources import FLAGS, NUMBERS, TEXTS, Source
from lakehouse.ingest.times import Mask

SCHEMA = pa.schema(
    [
        ("file_digest", pa.string()),
        ("line_number", pa.int64()),
        ("source", pa.string()),
        ("line_id", pa.string()),
        ("store", pa.string()),
        ("invoice", pa.string()),
        ("product_code", pa.string()),
        ("description", pa.string()),
        ("quantity", pa.decimal128(18, 3)),
        ("unit_price", pa.decimal128(18, 4)),
        ("amount", pa.decimal128(18, 4)),
        ("sold_at", WALL),
        ("covers", pa.string()),
        ("customer_key", pa.string()),
        ("country", pa.string()),
        ("is_product", pa.bool_()),
        ("is_cancellation", pa.bool_()),
        ("promotion", pa.bool_()),
        ("holiday", pa.bool_()),
        ("reasons", pa.list_(pa.string())),
        ("_known_at", WALL),
        ("_dated", pa.bool_()),
    ]
)


class Exchange(Protocol):
    """What rows ask of a vault: keys for customers' numbers, and what tells two numbers apart."""

    def exchange(self, identity: str, numbers: pa.Array, sold_at: pa.Array | None, /) -> pa.Array: ...

    def lookups(self, identity: str, numbers: pa.Array, /) -> pa.Array: ...


def as_rows(
    judged: Judged,
    unread: tuple[tuple[int, str], ...],
    vault: Exchange,
    source: Source,
    digest: str,
    identity: tuple[str, ...] | None = None,
) -> tuple[pa.Table, int]:
    """Rows of bronze for a batch, in order of line number, and how many were accepted. `identity`: what tells a line from another, if it is not
    for `source` to say; nothing: each line is itself."""
    if identity is None:
        identity = () if source.repeats == "keep" else source.identity_fields
    lines = len(judged.numbers)
    refused = door.any_of(judged.broken, lines)
    illegible = door.any_of({name: hit for name, hit in judged.broken.items() if name not in LEGIBLE}, lines)
    customers = _without(judged.customers, refused)
    columns: dict[str, pa.Array] = dict(judged.columns)
    # Of a refused line no text is kept: it may be anybody's name or number. Of one that could not be understood, no value either.
    for name in TEXTS:
        if name in columns:
            columns[name] = _without(columns[name], refused)
    for name in (*NUMBERS, "sold_at", "_known_at", *FLAGS, "is_product", "is_cancellation"):
        columns[name] = _without(columns[name], illegible)
    columns |= {
        "file_digest": pa.repeat(pa.scalar(digest), lines),
        "line_number": pa.array(judged.numbers),
        "line_id": _without(_ids(judged, vault, source, digest, identity), illegible),
        "customer_key": vault.exchange(source.identity, customers, judged.columns["sold_at"]),
        "reasons": door.reasons_of(judged.broken, lines),
        "_dated": pa.repeat(pa.scalar(not identity or "sold_at" in identity), lines),
    }
    table = pa.table({field.name: columns[field.name].cast(field.type) for field in SCHEMA}, schema=SCHEMA)
    if unread:
        table = pa.concat_tables([table, _unread(unread, source, digest)]).sort_by("line_number")
    return table, int(lines - np.count_nonzero(refused))


def _without(column: pa.Array, lines: Mask) -> pa.Array:
    """The column, null in those lines."""
    return pc.if_else(pa.array(lines), pa.scalar(None, column.type), column)


def _ids(judged: Judged, vault: Exchange, source: Source, digest: str, fields: tuple[str, ...]) -> pa.Array:
    lines = len(judged.numbers)
    if not fields:
        return line_ids([pa.repeat(pa.scalar(digest), lines), pa.array(judged.numbers)])
    parts: Mapping[str, pa.Array] = judged.identity
    if "customer" in fields:
        # Without receipt numbers two people's lines of one day would be copies of each other; the hash needs the vault's secret.
        parts = {**judged.identity, "customer": vault.lookups(source.identity, judged.customers)}
    return line_ids([pa.repeat(pa.scalar(source.name), lines), *(parts[field] for field in fields)])


def _unread(unread: tuple[tuple[int, str], ...], source: Source, digest: str) -> pa.Table:
    """Lines of which only the number and the reason are kept."""
    lines = len(unread)
    known = {
        "file_digest": pa.repeat(pa.scalar(digest), lines),
        "line_number": pa.array([number for number, _ in unread], pa.int64()),
        "source": pa.repeat(pa.scalar(source.name), lines),
        "reasons": pa.array([[reason] for _, reason in unread], pa.list_(pa.string())),
    }
    return pa.table({field.name: known.get(field.name, pa.nulls(lines, field.type)) for field in SCHEMA}, schema=SCHEMA)
