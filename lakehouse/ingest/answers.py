"""What serving answered comes back as one more bronze source: the closed segments of its log become a commit of `bronze.answers`.

An answer is known by its request's id: landed twice, after a crash between the commit and the removal of the file, it is there once. Damaged
lines are counted and left out; their file is kept in `answers/damaged` for a person to look at, while every other file is removed once its
answers are in the table. The table's files are by day, so that maintenance makes one of a day's many.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lakehouse import journal
from lakehouse.tables import delta
from lakehouse.tables.writer import Within

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from lakehouse.tables import Lake

TABLE = "bronze.answers"
DAMAGED = "damaged"
MOST_BYTES = 64 * 1024 * 1024  # of segments in one commit

log = logging.getLogger(__name__)

_TIMES = ("answered_at", "features_as_of", "features_moment")
_JSON = ("parameters", "features", "answer")
_TEXTS = ("request_id", "model", "version", "digest", "variant", "fallback")
_REQUIRED = ("request_id", "answered_at")


@dataclass(frozen=True)
class Segment:
    """A closed segment as it was read: its rows of the table, and how many lines were damaged and are not among them."""

    path: Path
    digest: str
    rows: list[dict[str, object]]
    damaged: int
    is_whole: bool


def land_answers(lake: Lake) -> int:
    """Lands every closed segment of the home's answer log, and those of processes that were killed. How many answers landed.

    The caller holds the lease. What was damaged is in the log of this process, by segment.
    """
    folder = lake.home / "answers"
    recovery = journal.recover(folder, datetime.now(UTC).replace(tzinfo=None))
    if recovery.torn:
        log.warning("%d answers were lost half-written when serving was killed", recovery.torn)
    landed, waiting = 0, list(journal.closed(folder))
    if waiting:
        _lay_out(lake)
    while waiting:
        read = [_read(path) for path in _take(waiting)]
        land_segments(lake, read)
        landed += sum(len(one.rows) for one in read)
    return landed


def land_segments(lake: Lake, segments: Sequence[Segment]) -> None:
    """Lands closed segments in one commit, then takes their files out of the log."""
    rows = {row["request_id"]: row for one in segments for row in one.rows}
    if rows:
        days = {cast(date, row["answered_on"]) for row in rows.values()}
        lake.writer.merge(TABLE, _frame(lake, list(rows.values())), within=Within("answered_on", days))
    for one in segments:
        if one.is_whole:
            one.path.unlink()
            continue
        log.error(
            "answer segment %s is damaged: %d of its lines are left out, %d landed. It is kept in %s",
            *(one.path.name, one.damaged, len(one.rows), one.path.parent / DAMAGED),
        )
        (one.path.parent / DAMAGED).mkdir(exist_ok=True)
        one.path.rename(one.path.parent / DAMAGED / one.path.name)


def _take(waiting: list[Path]) -> Iterator[Path]:
    """The next files, out of the list: as many as one commit takes, and at least one."""
    size = 0
    while waiting and size < MOST_BYTES:
        path = waiting.pop(0)
        size += path.stat().st_size
        yield path


def _read(path: Path) -> Segment:
    segment = journal.read(path)
    rows = [_row(record, segment.digest) for record in segment.records]
    sound = [row for row in rows if row is not None]
    damaged = segment.damaged + len(rows) - len(sound)
    return Segment(path, segment.digest, sound, damaged, segment.intact and not damaged)


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
    row["answered_on"] = cast(datetime, row["answered_at"]).date()
    return row


def _lay_out(lake: Lake) -> None:
    """A table in which an earlier version of this library kept the answers by segment, a file for each, goes on by day."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def with_day(rows: pa.Table) -> pa.Table:
        return rows.set_column(rows.schema.get_field_index("answered_on"), "answered_on", pc.cast(rows["answered_at"], pa.date32()))

    lake.check_lease()
    laid = delta.lay_out(lake.path(TABLE), lake.catalog[TABLE], with_day)
    if laid is not None:
        lake.note(TABLE, laid)


def _frame(lake: Lake, rows: list[dict[str, object]]) -> DataFrame:
    import pyarrow as pa

    from lakehouse.tables.staging import arrow_schema

    return lake.spark.createDataFrame(pa.Table.from_pylist(rows, arrow_schema(lake.catalog[TABLE].columns)))
