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
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, insert, select, update

from lakehouse.errors import InputError, StateError, UnknownName
from lakehouse.ingest import door, loading, sources
from lakehouse.ingest.loading import BRONZE, SCHEMA
from lakehouse.ingest.raw import RawBatch
from lakehouse.ingest.source_parts import Format, Times
from lakehouse.ingest.sources import FLAGS, NUMBERS, Source
from lakehouse.privacy.numbers import DamagedNumber, canonical
from lakehouse.privacy.vault import Vault, open_vault
from lakehouse.quality import config
from lakehouse.quality.quarantine import split_rows
from lakehouse.tables import Lake, delta, ops
from lakehouse.tables.listing import Listing

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


QUARANTINE = "quarantine.sales"
# What somebody may say anew of a line. The customer is said by number, and kept by key.
SETTABLE = ("store", "invoice", "product_code", "description", *NUMBERS, "sold_at", "customer", "country", *FLAGS)
OPEN, PROPOSED, RELEASED = "open", "proposed", "released"
_FORM = Format(kind="csv")
_TIMES = Times(formats=("%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"))


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
class Correction:
    """What somebody said anew of a refused line: `values` of ours as text (the customer's key), by whom, why and when (wall clock, UTC), and the
    digest under which it landed; none while it waits."""

    file: str
    line: int
    values: Mapping[str, str]
    by: str
    why: str
    proposed_at: datetime
    landed_as: str | None


@dataclass(frozen=True)
class Released:
    """Corrected lines that came in by the door: the digest that they landed under, and bronze's version."""

    digest: str
    lines: int
    version: int
    already: bool


def refused(lake: Lake, reason: str | None = None, state: str | None = OPEN, limit: int = 20) -> Listing[Refused]:
    """Lines in quarantine as it is published, those of the newest day first; of one reason, of one state (none: of every).

    Raises `NothingPublished` before the first run.
    """
    from pyspark.sql import functions as F

    rows = lake.read(QUARANTINE)
    if reason is not None:
        rows = rows.where(F.array_contains("reasons", reason))
    known = {(one.file, one.line): one for one in corrections(lake)}
    told = rows.orderBy(F.col("sold_at").desc(), "file_digest", "line_number").limit(limit + len(known)).toArrow().to_pylist()
    found = [_refused(row, _state(known.get((row["file_digest"], row["line_number"])))) for row in told]
    return Listing(
        [one for one in found if state in (None, one.state)][:limit], "no line is in quarantine" if state != OPEN else "no line waits"
    )


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
    return _refused(row, _state(history[-1] if history else None)), row, history


def corrections(lake: Lake) -> list[Correction]:
    """All that were proposed, the oldest first. One that was released into a file which a restore took out again waits once more."""
    with lake.ops.connect() as connection:
        rows = connection.execute(select(ops.corrections).order_by(ops.corrections.c.id)).all()
    landed = delta.partition_values(lake.path(BRONZE), "file_digest") if rows else set()
    return [
        Correction(
            one.file_digest, one.line, one.values, one.by, one.why, one.proposed_at, one.landed_as if one.landed_as in landed else None
        )
        for one in rows
    ]


def correct(lake: Lake, file: str, number: int, values: Mapping[str, str], by: str, why: str) -> Correction:
    """Proposes what a refused line should have said. A proposal that waits is replaced.

    Raises `UnknownName` for a value that lines don't have, `InputError` where the corrected line would be refused again or nobody is named,
    `StateError` where the line was corrected and released already.
    """
    for name in values:
        if name not in SETTABLE:
            raise UnknownName("value", name, SETTABLE)
    if not (by.strip() and why.strip() and values):
        raise InputError("a correction says what it changes, by whom and why: --set NAME=VALUE --by WHO --why TEXT")
    with lake.lease("correction of a line"), open_vault(lake.settings) as vault:
        _, row, history = line(lake, file, number)
        if history and history[-1].landed_as is not None:
            raise StateError(
                f"line {number} of {file} was corrected by {history[-1].by} and released already. What has landed is changed by another line only"
            )
        kept = _kept(vault, row, values, lake.settings.profile)
        _check(lake, vault, row, kept)
        made = Correction(str(row["file_digest"]), number, kept, by.strip(), why.strip(), ops.now(), None)
        with lake.ops.begin() as connection:
            _replace_proposal(connection, made)
    return made


def release(lake: Lake, file: str | None = None, number: int | None = None) -> Released:
    """Lands the corrections that wait (or that of one line) in bronze, in one commit. The same ones never land twice.

    Raises `InputError` where none waits or one would be refused by now.
    """
    with lake.lease("release of corrected lines"), open_vault(lake.settings) as vault:
        lake.create_tables()
        lake.sweep()
        waiting = [
            one for one in corrections(lake) if one.landed_as is None and number in (None, one.line) and one.file.startswith(file or "")
        ]
        if not waiting:
            raise InputError(
                "no correction waits. Propose one: zeromargin quarantine correct FILE LINE --set NAME=VALUE --by WHO --why TEXT"
            )
        digest = _digest(waiting)
        parts = []
        for place, one in enumerate(waiting, 1):
            row = _row(lake, one.file, one.line)
            _check(lake, vault, row, one.values)
            parts.append(_table(lake, vault, row, one.values, digest, place))
        already = digest in delta.partition_values(lake.path(BRONZE), "file_digest")
        version = lake.head(BRONZE)
        if not already:
            rows = lake.spark.createDataFrame(pa.concat_tables(parts))
            version = lake.writer.append(BRONZE, rows, batch={"file_digest": digest})
        with lake.ops.begin() as connection:
            for one in waiting:
                same = (ops.corrections.c.file_digest == one.file) & (ops.corrections.c.line == one.line)
                connection.execute(update(ops.corrections).where(same).values(landed_as=digest))
    return Released(digest, len(waiting), version, already)


def _row(lake: Lake, file: str, number: int) -> dict[str, Any]:
    from pyspark.sql import functions as F

    wanted = F.col("file_digest").startswith(file) & (F.col("line_number") == number)
    found = lake.read(QUARANTINE).where(wanted).limit(2).toArrow().to_pylist()
    if not found:
        raise InputError(f"line {number} of a file {file}… is not in quarantine. See: zeromargin quarantine list")
    if len(found) > 1:
        raise InputError(f"several files begin with {file}. Give more of the digest")
    # Bronze knows of the line what quarantine does not keep.
    known = lake.read(BRONZE).where((F.col("file_digest") == found[0]["file_digest"]) & (F.col("line_number") == number))
    row: dict[str, Any] = {**known.toArrow().to_pylist()[0], **found[0]}
    return row


def _kept(vault: Vault, row: Mapping[str, Any], values: Mapping[str, str], profile: str) -> dict[str, str]:
    """The values as they are kept: a customer's number is exchanged at once."""
    kept = {name: value for name, value in values.items() if name != "customer"}
    if "customer" in values:
        identity = sources.find(str(row["source"]), profile).identity
        try:
            number = canonical(values["customer"])
        except DamagedNumber:
            raise InputError("that is no customer number: it lost digits on its way. Give it in full") from None
        (key,) = vault.exchange(identity, pa.array([number], pa.string())).to_pylist()
        kept["customer_key"] = key or ""
    return kept


def _table(lake: Lake, vault: Vault, row: Mapping[str, Any], values: Mapping[str, str], digest: str, place: int) -> pa.Table:
    """The corrected line as one of bronze: through the door, with the source's rules and our own way to write values."""
    source = sources.find(str(row["source"]), lake.settings.profile)
    plain = _plain(source)
    texts = {name: _text(row.get(name)) for name in SETTABLE if name != "customer"}
    key = values.get("customer_key", row.get("customer_key"))
    texts |= {"customer": vault.number(str(key)) if key else None} | {name: text for name, text in values.items() if name != "customer_key"}
    if {"quantity", "unit_price"} & values.keys() and "amount" not in values:
        texts.pop("amount")
    elif "amount" in values and "unit_price" not in values:
        texts.pop("unit_price")
    needed = source.fields - set(source.optional)
    columns = {name: pa.array([text], pa.string()) for name, text in texts.items() if name in needed or text is not None}
    judged = door.judge(RawBatch(np.array([place]), columns, ()), plain, _FORM, loading.limits(lake, source))
    made, _ = loading.rows(judged, (), vault, plain, digest)
    if source.cancellation is not None and source.cancellation.column in ("line", "status") and row.get("is_cancellation") is not None:
        at = SCHEMA.get_field_index("is_cancellation")
        made = made.set_column(at, SCHEMA.field(at), pa.array([row["is_cancellation"]], pa.bool_()))
    return made


def _plain(source: Source) -> Source:
    """The source as if its files were written our way: its rules about products, cancellations and identity stay."""
    fields = {*SETTABLE, *source.fields} - {"line", "status"}
    cancellation = source.cancellation
    if cancellation is not None and cancellation.column in ("line", "status"):
        cancellation = None
    return source.model_copy(
        update={
            "columns": {name: name for name in sorted(fields)},
            "constants": {},
            "values": {},
            "skip": {},
            "logarithms": (),
            "beside": None,
            "times": _TIMES.model_copy(update={"zone": source.times.zone}),
            "cancellation": cancellation,
            "line_identity": tuple(name for name in source.identity_fields if name in fields),
        }
    )


def _check(lake: Lake, vault: Vault, row: Mapping[str, Any], values: Mapping[str, str]) -> None:
    """Raises `InputError` where the corrected line would be refused, by the door or by silver."""
    made = _table(lake, vault, row, values, "0" * 64, 1)
    reasons: Sequence[str] = made.column("reasons").to_pylist()[0]
    if not reasons:
        frame: DataFrame = lake.spark.createDataFrame(made)
        _, bad = split_rows(frame, config.load(lake.settings.profile).row_rules)
        reasons = [reason for one in bad.select("reasons").toArrow().column(0).to_pylist() for reason in one]
    if reasons:
        raise InputError(f"the corrected line would be refused again: {', '.join(reasons)}. Nothing was changed")


def _replace_proposal(connection: Connection, made: Correction) -> None:
    same = (ops.corrections.c.file_digest == made.file) & (ops.corrections.c.line == made.line)
    connection.execute(ops.corrections.delete().where(same))
    facts = {"file_digest": made.file, "line": made.line, "values": dict(made.values), "by": made.by, "why": made.why}
    connection.execute(insert(ops.corrections).values(**facts, proposed_at=made.proposed_at))


def _digest(waiting: Sequence[Correction]) -> str:
    told = sorted((one.file, one.line, sorted(one.values.items())) for one in waiting)
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _refused(row: Mapping[str, Any], state: str) -> Refused:
    names = ("stage", "source", "product_code", "quantity", "unit_price", "amount", "sold_at")
    return Refused(
        row["file_digest"], row["line_number"], reasons=tuple(row["reasons"]), state=state, **{name: row[name] for name in names}
    )


def _state(correction: Correction | None) -> str:
    if correction is None:
        return OPEN
    return PROPOSED if correction.landed_as is None else RELEASED


def _text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat()
    return str(value).lower() if isinstance(value, bool) else str(value)
