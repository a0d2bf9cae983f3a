"""What serving answered comes back as one more bronze source: each closed segment of its log becomes one commit of `bronze.answers`.

A segment is known by the SHA-256 in its name, which is also its batch in the table: landed twice, after a crash between the commit and
the removal of the file, it is there once. Damaged lines are counted and left out; their file is kept in `answers/damaged` for a person
to look at, while every other file is removed once its answers are in the table.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse import journal

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from lakehouse.tables import Lake

TABLE = "bronze.answers"
DAMAGED = "damaged"

log = logging.getLogger(__name__)

_TIMES = ("answered_at", "features_as_of")
_JSON = ("parameters", "features", "answer")
_TEXTS = ("request_id", "model", "version", "digest", "variant", "fallback")
_REQUIRED = ("request_id", "answered_at")


@dataclass(frozen=True)
class Landed:
    """One segment's way into the table: answers landed, and lines that were damaged and are not in it."""

    segment: str
    answers: int
    damaged: int


def land_answers(lake: Lake) -> int:
    """Lands every closed segment of the home's answer log, and those of processes that were killed. How many answers landed.

    The caller holds the lease. What was damaged is in the log of this process, by segment.
    """
    folder = lake.home / "answers"
    recovery = journal.recover(folder, datetime.now(UTC).replace(tzinfo=None))
    if recovery.torn:
        log.warning("%d answers were lost half-written when serving was killed", recovery.torn)
    return sum(land_segment(lake, path).answers for path in journal.closed(folder))


def land_segment(lake: Lake, path: Path) -> Landed:
    """Lands one closed segment in one commit, then takes its file out of the log."""
    segment = journal.read(path)
    rows, unfit = [], 0
    for record in segment.records:
        row = _row(record, segment.digest)
        if row is None:
            unfit += 1
        else:
            rows.append(row)
    damaged = segment.damaged + unfit
    if rows:
        lake.writer.append(TABLE, _frame(lake, rows), batch={"segment": segment.digest})
    if damaged or not segment.intact:
        log.error(
            "answer segment %s is damaged: %d of its lines are left out, %d landed. It is kept in %s",
            *(path.name, damaged, len(rows), path.parent / DAMAGED),
        )
        (path.parent / DAMAGED).mkdir(exist_ok=True)
        path.rename(path.parent / DAMAGED / path.name)
    else:
        path.unlink()
    return Landed(segment.digest, len(rows), damaged)


def _row(record: Mapping[str, object], segment: str) -> dict[str, object] | None:
    """A row of the table; None for a record that is sound but not an answer of ours."""
    if any(not isinstance(record.get(name), str) for name in _REQUIRED):
        return None
    row: dict[str, object] = {"segment": segment}
    for name in _TEXTS:
        row[name] = None if record.get(name) is None else str(record[name])
    for name in _JSON:
        row[name] = None if record.get(name) is None else json.dumps(record[name], ensure_ascii=False, separators=(",", ":"))
    for name in _TIMES:
        try:
            row[name] = None if record.get(name) is None else datetime.fromisoformat(str(record[name]))
        except ValueError:
            return None
    return row


def _frame(lake: Lake, rows: list[dict[str, object]]) -> DataFrame:
    import pyarrow as pa

    types = {"string": pa.string(), "timestamp": pa.timestamp("us", tz="UTC")}
    schema = pa.schema([(column.name, types[column.type]) for column in lake.catalog[TABLE].columns])
    return lake.spark.createDataFrame(pa.Table.from_pylist(rows, schema))
