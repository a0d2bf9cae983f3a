"""Order-independent digests of tables, equal on both engines. They find accidents, not forgers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse.errors import OtherSchema

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from lakehouse.tables.catalog import Table


@dataclass(frozen=True)
class Digest:
    """The digest of one version of one table. Content digests leave underscore columns out, full ones have them."""

    table: str
    version: int
    rows: int
    digest: str

    def __str__(self) -> str:
        return f"{self.table} version {self.version}: {self.rows:,} rows, {self.digest}"


def row_hash(names: Iterable[str]) -> Column:
    """One number per row: xxhash64 over each column's null flag and value, columns in name order. The flag is there because
    xxhash64(NULL, 'a') = xxhash64('a', NULL).
    """
    from pyspark.sql import functions as F

    return F.xxhash64(*(part for name in sorted(names) for part in (F.col(name).isNull(), F.col(name))))


def digest(frame: DataFrame, table: Table, version: int, full: bool = False) -> Digest:
    """The rows' hashes summed as DECIMAL(38,0), with bit_xor and the count, and the schema's names and types beside it.

    The columns are those of that version: a table may have got more since. Raises `OtherSchema` for the full digest of one that has columns which the
    catalog lacks: it would be another number than that of the release which wrote it.
    """
    from pyspark.sql import functions as F

    strange = [name for name in frame.columns if name not in table.column_names]
    if full and strange:
        raise OtherSchema(
            f"{table.name} version {version} has a column {strange[0]} that this zeromargin does not know: a newer one wrote it. Look at it with that one"
        )
    names = sorted(name for name in frame.columns if name in (table.column_names if full else table.content_names))
    hashed = frame.select(row_hash(names).alias("hash"))
    row = hashed.select(
        F.count(F.lit(1)).alias("rows"),
        F.sum(F.col("hash").cast("decimal(38,0)")).cast("string").alias("total"),
        F.expr("bit_xor(hash)").alias("mixed"),
    ).toArrow()
    rows, total, mixed = (row.column(place)[0].as_py() for place in range(3))
    schema = [[name, table.type_of(name)] for name in names]
    facts = {"rows": rows, "total": total or "0", "mixed": mixed or 0, "schema": schema}
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return Digest(table.name, version, rows, hashlib.sha256(text.encode()).hexdigest())
