"""Whether several ways to a table came to the same answer: a digest of each column, in the order of the key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import polars as pl


def digests(rows: pl.DataFrame, key: Sequence[str], kinds: Mapping[str, str]) -> dict[str, str]:
    """SHA-256 of each column of `kinds` (its name and the type that its table gives it) and, under "rows", their number.

    Rows of one key must hold the same values, for the order of the key is the only one. Each way has types of its own, so amounts are compared to
    the places that the table has, days as their number since 1970, times to the microsecond. A missing value is like no other.
    """
    whole = rows.select(_comparable(name, rows.schema[name], kind) for name, kind in kinds.items()).sort(key)
    columns = {name: hashlib.sha256(whole.select(name).write_csv(null_value="missing").encode()).hexdigest() for name in whole.columns}
    return {"rows": str(rows.height), **columns}


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Names of the columns that differ, "rows" where their numbers do."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _comparable(name: str, seen: pl.DataType, kind: str) -> pl.Expr:
    column = pl.col(name)
    if kind == "string":
        return (pl.lit("=") + column.cast(pl.String)).alias(name)  # so that no text is what a missing one is written as
    if kind == "timestamp":
        return column.dt.replace_time_zone(None).cast(pl.Datetime("us")).dt.timestamp("us")
    if kind == "date" and seen.is_temporal():
        return column.cast(pl.Date).cast(pl.Int32).cast(pl.Int64)
    if kind == "array<string>":
        text = pl.element()
        marked = (text.str.len_bytes().cast(pl.String) + ":" + text).fill_null("-")  # each with its length, so that none runs into the next
        return (pl.lit("=") + column.list.eval(marked).list.join("")).alias(name)
    if kind.startswith("decimal"):
        places = int(kind.rstrip(")").split(",")[1])
        exact = column if seen.is_decimal() else column.cast(pl.Float64).fill_nan(None).round(places)
        return exact.cast(pl.Decimal(38, places))
    return column.cast(pl.Float64).fill_nan(None).round().cast(pl.Int64)
