"""Lines that were refused, corrected by somebody: proposed, then released through the door as lines of their own.

A published line is never changed, and neither is a refused one: it stays in quarantine as it was, and its history says who corrected what,
and why. What is released is a commit of bronze like a file's; the next run reads it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
from sqlalchemy import insert, select, update

from lakehouse.errors import InputError, StateError, UnknownName
from lakehouse.ingest.vault_age import refuse_other_vault
from lakehouse.privacy.vault import open_vault
from lakehouse.quality import corrected_line
from lakehouse.quality.correction_history import PROPOSED, RELEASED, Correction, corrections, rows_of
from lakehouse.quality.quarantine import CONFLICT, CORRECTED
from lakehouse.quality.quarantine import TABLE as QUARANTINE
from lakehouse.tables import Lake, ops
from lakehouse.tables.catalog import BRONZE
from lakehouse.tables.listing import Listing

OPEN = "open"
_OF_COPIES = ("store", "invoice", "product_code", "description", "quantity", "unit_price", "amount", "sold_at", "country")


@dataclass(frozen=True)
class Refused:
    """One line in quarantine. `file` is its file's digest; `state`: open, proposed (a correction waits to be released) or released."""

    file: str
    line: int
    stage: str
    reasons: tuple[str, ...]
    source: str
    product_code: str | None
    quantity: object
    unit_price: object
    amount: object
    sold_at: datetime | None
    state: str


@dataclass(frozen=True)
class Released:
    """Corrected lines that came in by the door: the digest that they landed under, and bronze's version. `left`: how many wait on, since their
    lines are not in quarantine any more."""

    digest: str
    lines: int
    version: int
    left: int


def refused(lake: Lake, reason: str | None = None, state: str | None = OPEN, limit: int = 20) -> Listing[Refused]:
    """Lines in quarantine as it is published, those of the newest day first; of one reason, of one state (none: of every).

    Raises `NothingPublished` before the first run.
    """
    from pyspark.sql import functions as F

    rows = lake.read(QUARANTINE)
    if reason is not None:
        rows = rows.where(F.array_contains("reasons", reason))
    if state in (OPEN, PROPOSED):
        rows = rows.where(~F.array_contains("reasons", CORRECTED))
    known = _known(lake)
    told = rows.orderBy(F.col("sold_at").desc(), "file_digest", "line_number").limit(limit + known.rows).toArrow().to_pylist()
    found = [_refused(row, known.state(row)) for row in told]
    listed = [one for one in found if state in (None, one.state)][:limit]
    empty = "no line is in quarantine" if state != OPEN else "no line waits"
    if reason is not None and not listed:
        empty += f' for the reason "{reason}". Reasons in quarantine: {", ".join(counts(lake)) or "none"}'
    return Listing(listed, empty)


def counts(lake: Lake) -> dict[str, int]:
    """Lines in quarantine by reason, the most frequent first."""
    from pyspark.sql import functions as F

    counted = lake.read(QUARANTINE).select(F.explode("reasons").alias("reason")).groupBy("reason").count()
    rows = counted.orderBy(F.col("count").desc(), "reason").toArrow().to_pylist()
    return {row["reason"]: row["count"] for row in rows}


def line(lake: Lake, file: str, number: int) -> tuple[Refused, dict[str, Any], Listing[Correction]]:
    """One refused line by its file's digest (or how that begins) and its number: as it is in quarantine, every value of it, and its corrections.

    Raises `InputError` where there is none, or several files begin so.
    """
    row = _row(lake, file, number)
    history = Listing([one for one in corrections(lake) if (one.file, one.line) == (row["file_digest"], number)], "nobody corrected it")
    return _refused(row, _known(lake).state(row)), row, history


def correct(lake: Lake, file: str, number: int, values: Mapping[str, str], by: str, why: str) -> Correction:
    """Proposes what a refused line should have said, in the place of a proposal that waits.

    Raises `UnknownName` for a value that lines don't have, `InputError` where the corrected line would be refused again or nobody is named,
    `StateError` where the line was corrected and released already.
    """
    for name in values:
        if name not in corrected_line.SETTABLE:
            raise UnknownName("value", name, corrected_line.SETTABLE)
    if not (by.strip() and why.strip() and values):
        raise InputError("a correction says what it changes, by whom and why: --set NAME=VALUE --by WHO --why TEXT")
    with lake.lease("correction of a line"), open_vault(lake.settings) as vault:
        refuse_other_vault(lake, vault)
        found, row, history = line(lake, file, number)
        if found.state == RELEASED:
            author = next((f"by {one.by}" for one in history if one.state == RELEASED), "as it is in another file")
            raise StateError(
                f"line {number} of {file} was corrected {author} and released already. What has landed is changed by another line only"
            )
        if found.state == PROPOSED and not any(one.state == PROPOSED for one in history):
            raise StateError(
                f"a correction of a copy of line {number} of {file}, in another file, waits already. See: zeromargin quarantine list"
            )
        _check_away(lake, [row])
        corrected_line.check(lake, vault, row, values)
        kept = corrected_line.kept(vault, row, values, lake.settings.profile)
        corrected_line.made(lake, vault, row, kept)
        facts = {"file_digest": row["file_digest"], "line": number, "values": kept, "by": by.strip(), "why": why.strip()}
        with lake.ops.begin() as connection:
            made = connection.execute(insert(ops.corrections).values(**facts, proposed_at=ops.now(), withdrawn=False))
        assert made.inserted_primary_key is not None
        return next(one for one in corrections(lake) if one.number == made.inserted_primary_key[0])


def withdraw(lake: Lake, file: str, number: int) -> Correction:
    """Takes a proposal back. Raises `InputError` where none waits for that line."""
    with lake.lease("withdrawal of a correction"):
        waiting = _waiting(lake, file, number)
        if not waiting:
            raise InputError(f"no correction of line {number} of a file {file}… waits")
        with lake.ops.begin() as connection:
            connection.execute(update(ops.corrections).where(ops.corrections.c.id == waiting[0].number).values(withdrawn=True))
    return waiting[0]


def release(lake: Lake, file: str | None = None, number: int | None = None) -> Released:
    """Lands the corrections that wait (or that of one line) in bronze, in one commit. None lands twice, whatever is killed in between.

    Raises `InputError` where none waits, one would be refused by now, or two say the same of the same sale.
    """
    with lake.lease("release of corrected lines"), open_vault(lake.settings) as vault:
        refuse_other_vault(lake, vault)
        lake.create_tables()
        lake.sweep()
        waiting, rows, left = _waiting(lake, file, number), [], 0
        for one in list(waiting):
            try:
                rows.append(_row(lake, one.file, one.line))
            except InputError:  # a restore took its file out
                waiting.remove(one)
                left += 1
        if not waiting:
            gone = f" ({left} wait for lines that are not in quarantine any more; withdraw those)" if left else ""
            raise InputError(
                f"no correction waits{gone}. Propose one: zeromargin quarantine correct FILE LINE --set NAME=VALUE --by WHO --why TEXT"
            )
        _check_away(lake, rows)
        _check_single(lake, rows)
        digest = _digest(waiting)
        made = [
            corrected_line.made(lake, vault, row, one.values, digest, place)
            for place, (row, one) in enumerate(zip(rows, waiting, strict=True), 1)
        ]
        whole = pa.concat_tables(made)
        if len(whole.column("line_id").unique()) < len(waiting):
            raise InputError(
                f"of the {len(waiting)} lines that wait, several would be one and the same. Release them one by one, or withdraw some"
            )
        # Said first: a digest that is not in bronze counts as waiting, so a release that is killed here is done anew.
        with lake.ops.begin() as connection:
            noted = set(connection.scalars(select(ops.landings.c.correction).where(ops.landings.c.file_digest == digest)))
            new = [{"correction": one.number, "file_digest": digest} for one in waiting if one.number not in noted]
            if new:
                connection.execute(insert(ops.landings), new)
        version = lake.writer.append(BRONZE, lake.spark.createDataFrame(whole), batch={"file_digest": digest})
    return Released(digest, len(waiting), version, left)


def _waiting(lake: Lake, file: str | None, number: int | None) -> list[Correction]:
    """Raises `InputError` where the beginning of a digest is that of several files."""
    found = [one for one in corrections(lake) if one.state == PROPOSED and number in (None, one.line) and one.file.startswith(file or "")]
    if file and len({one.file for one in found}) > 1:
        raise InputError(f"several files begin with {file}. Give more of the digest")
    return found


def _row(lake: Lake, file: str, number: int) -> dict[str, Any]:
    from pyspark.sql import functions as F

    rows = lake.read(QUARANTINE)  # before any column is spoken of: that needs an open session
    found = rows.where(F.col("file_digest").startswith(file) & (F.col("line_number") == number)).limit(2).toArrow().to_pylist()
    if not found:
        raise InputError(
            f"line {number} of a file {file}… is not in quarantine, as it was published last: what landed since is after the next"
            " run. See: zeromargin quarantine list"
        )
    if len(found) > 1:
        raise InputError(f"several files begin with {file}. Give more of the digest")
    # Bronze knows of the line what quarantine does not keep.
    known = lake.read(BRONZE).where((F.col("file_digest") == found[0]["file_digest"]) & (F.col("line_number") == number))
    row: dict[str, Any] = {**known.toArrow().to_pylist()[0], **found[0]}
    return row


def _check_away(lake: Lake, rows: Sequence[Mapping[str, Any]]) -> None:
    """Raises `InputError` where a refused line has come in otherwise: corrected, it would count twice."""
    from pyspark.sql import functions as F

    # A conflicting copy has the id of what it contradicts.
    by_id = {row["line_id"]: row for row in rows if row["line_id"] is not None and CONFLICT not in row["reasons"]}
    silver = lake.read("silver.sales")
    for there in silver.where(F.col("line_id").isin(*by_id)).select("line_id", "_file").limit(1).toArrow().to_pylist() if by_id else ():
        row = by_id[there["line_id"]]
        raise InputError(
            f"line {row['line_number']} of {row['file_digest'][:12]} needs no correction: it came in by another file since, {there['_file'][:12]}."
            " What waits for it can be withdrawn (zeromargin quarantine withdraw); nothing was changed"
        )


def _check_single(lake: Lake, rows: Sequence[Mapping[str, Any]]) -> None:
    """Raises `InputError` where two of the refused lines are copies of one, or a copy was let in already."""
    known = _known(lake, (RELEASED,))
    for place, row in enumerate(rows):
        if known.state(row) == RELEASED or any(_are_copies(row, other) for other in rows[:place]):
            raise InputError(
                f"line {row['line_number']} of {row['file_digest'][:12]} is a copy of another one that is corrected, and would count twice. Withdraw it:"
                " zeromargin quarantine withdraw; nothing was changed"
            )


@dataclass(frozen=True)
class _Known:
    """What is known of corrected lines, by file and number, and by id, for copies in other files; `rows` says at most how many lines of quarantine
    these are."""

    by_number: Mapping[tuple[str, int], str]
    by_id: Mapping[str, Sequence[Mapping[str, Any]]]
    rows: int

    def state(self, row: Mapping[str, Any]) -> str:
        own = self.by_number.get(_place(row))
        return own or next((self.by_number[_place(one)] for one in self.by_id.get(row["line_id"], ()) if _are_copies(row, one)), OPEN)


def _known(lake: Lake, states: Sequence[str] = (PROPOSED, RELEASED)) -> _Known:
    from pyspark.sql import functions as F

    by_number = {(one.file, one.line): one.state for one in corrections(lake) if one.state in states}
    if not by_number:
        return _Known({}, {}, 0)
    rows = lake.read(QUARANTINE)
    by_id: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows_of(lake, rows, by_number).toArrow().to_pylist():
        if row["line_id"] is not None:
            by_id.setdefault(row["line_id"], []).append(row)
    copies = rows.where(F.col("line_id").isin(*sorted(by_id))).count() if by_id else 0
    return _Known(by_number, by_id, len(by_number) + copies)


def _place(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["file_digest"], row["line_number"]


def _are_copies(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two refused lines are copies of one: they say the same, of the same customer or of none. Of one that the door refused hardly anything is
    kept but its id."""
    if one["line_id"] is None or one["line_id"] != other["line_id"]:
        return False
    customers = {row["customer_key"] for row in (one, other)} - {None}
    return "door" in (one["stage"], other["stage"]) or (len(customers) < 2 and all(one[name] == other[name] for name in _OF_COPIES))


def _digest(waiting: Sequence[Correction]) -> str:
    """The same for the same corrections, and another where somebody else says the same: who said it is told by it."""
    told = sorted((one.number, one.file, one.line, sorted(one.values.items())) for one in waiting)
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _refused(row: Mapping[str, Any], state: str) -> Refused:
    names = ("stage", "source", "product_code", "quantity", "unit_price", "amount", "sold_at")
    # A copy of a corrected line needs no correction of its own.
    state = RELEASED if CORRECTED in row["reasons"] else state
    return Refused(
        row["file_digest"], row["line_number"], reasons=tuple(row["reasons"]), state=state, **{name: row[name] for name in names}
    )
