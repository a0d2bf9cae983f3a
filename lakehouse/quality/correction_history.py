"""What was ever said anew of refused lines: by whom, why, and what of it is in bronze."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, select

from lakehouse.tables import Lake, delta, ops
from lakehouse.tables.catalog import BRONZE

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

PROPOSED, RELEASED, REPLACED, WITHDRAWN = "proposed", "released", "replaced", "withdrawn"


@dataclass(frozen=True)
class Correction:
    """What somebody said anew of a refused line: `values` of ours as text (the customer's key), by whom, why and when (wall clock, UTC).

    `state`: proposed (it waits), released (`landed_as` is the digest under which it is in bronze), replaced (by a later one, or by the one of
    the same line that is in bronze), or withdrawn.
    """

    number: int
    file: str
    line: int
    values: Mapping[str, str]
    by: str
    why: str
    proposed_at: datetime
    state: str
    landed_as: str | None


def corrections(lake: Lake) -> list[Correction]:
    """All that were ever proposed, the oldest first. What a restore took out of bronze waits once more, and what it brought back is released
    once more, whatever was said or let in between."""
    with lake.ops.connect() as connection:
        rows = connection.execute(select(ops.corrections).order_by(ops.corrections.c.id)).all()
    there = delta.partition_values(lake.path(BRONZE), "file_digest") if rows else set()
    landed = {number: sorted(digests & there) for number, digests in _landings(lake).items() if digests & there}
    last = {(one.file_digest, one.line): one.id for one in rows}
    taken = {(one.file_digest, one.line) for one in rows if one.id in landed}

    def state(one: Row[Any]) -> str:
        line = (one.file_digest, one.line)
        if one.id in landed:
            return RELEASED
        if one.withdrawn:
            return WITHDRAWN
        return PROPOSED if last[line] == one.id and line not in taken else REPLACED

    return [
        Correction(
            one.id,
            one.file_digest,
            one.line,
            one.values,
            one.by,
            one.why,
            one.proposed_at,
            state(one),
            landed[one.id][0] if one.id in landed else None,
        )
        for one in rows
    ]


def in_bronze(lake: Lake, version: int) -> tuple[set[tuple[str, int]], set[str]]:
    """The lines, by their file's digest and number, whose corrections are in bronze at a version, and the digests that these landed under."""
    landings = _landings(lake)
    if not landings:
        return set(), set()
    there = delta.partition_values(lake.path(BRONZE), "file_digest", version)
    with lake.ops.connect() as connection:
        rows = connection.execute(select(ops.corrections.c.id, ops.corrections.c.file_digest, ops.corrections.c.line)).all()
    lines = {(one.file_digest, one.line) for one in rows if landings.get(one.id, set()) & there}
    return lines, {digest for digests in landings.values() for digest in digests & there}


def rows_of(lake: Lake, frame: DataFrame, lines: Collection[tuple[str, int]]) -> DataFrame:
    """The rows of bronze or quarantine that are these lines, by their file's digest and number."""
    they = lake.spark.createDataFrame(sorted(lines), "file_digest string, line_number bigint")
    return frame.join(they, they.columns, "left_semi")


def authors(lake: Lake) -> dict[str, str]:
    """Who said what landed under a digest, and why; all of them, where there were several. Also of what a restore took out since."""
    found: dict[str, list[str]] = {}
    landings = _landings(lake)
    for one in corrections(lake):
        for digest in landings.get(one.number, ()):
            found.setdefault(digest, []).append(f"{one.by}: {one.why}")
    return {digest: "; ".join(dict.fromkeys(told)) for digest, told in found.items()}


def _landings(lake: Lake) -> dict[int, set[str]]:
    """The digests that each correction was ever let in under, by its number."""
    earlier = select(ops.corrections.c.id, ops.corrections.c.landed_as).where(ops.corrections.c.landed_as.is_not(None))
    found: dict[int, set[str]] = {}
    with lake.ops.connect() as connection:
        for number, digest in connection.execute(earlier.union(select(ops.landings))):
            found.setdefault(number, set()).add(digest)
    return found
