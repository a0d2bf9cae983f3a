"""A refused line as somebody says that it should have been: through the door and the row rules, like any other."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lakehouse.errors import InputError
from lakehouse.ingest import door, loading, sources
from lakehouse.ingest.raw import RawBatch
from lakehouse.ingest.rows import SCHEMA, as_rows
from lakehouse.ingest.source_parts import Format, Times
from lakehouse.ingest.sources import FLAGS, NUMBERS, Source
from lakehouse.privacy.numbers import DamagedNumber, canonical
from lakehouse.privacy.vault import Vault
from lakehouse.quality import config
from lakehouse.quality.quarantine import CONFLICT, split_rows
from lakehouse.tables import Lake

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# What somebody may say anew of a line. The customer is said by number, and kept by key.
SETTABLE = ("store", "invoice", "product_code", "description", *NUMBERS, "sold_at", "customer", "country", *FLAGS)
_MONEY = {"unit_price", "amount"}
_FORM = Format(kind="csv")
_TIMES = Times(formats=("%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"))


def kept(vault: Vault, row: Mapping[str, Any], values: Mapping[str, str], profile: str) -> dict[str, str]:
    """The values as they are kept: a customer's number is exchanged at once."""
    found = {name: value for name, value in values.items() if name != "customer"}
    if "customer" in values:
        identity = sources.find(str(row["source"]), profile).identity
        try:
            number = canonical(values["customer"])
        except DamagedNumber:
            raise InputError("that is no customer number: it lost digits on its way. Give it in full") from None
        (key,) = vault.exchange(identity, pa.array([number], pa.string())).to_pylist()
        found["customer_key"] = key or ""
    return found


def made(lake: Lake, vault: Vault, row: Mapping[str, Any], values: Mapping[str, str], digest: str = "0" * 64, place: int = 1) -> pa.Table:
    """The corrected line as one of bronze. Raises `InputError` where it would be refused, by the door or by silver."""
    found = _table(lake, vault, row, values, digest, place)
    _refuse(lake, found)
    return found


def check(lake: Lake, vault: Vault, row: Mapping[str, Any], values: Mapping[str, str]) -> None:
    """Raises `InputError` where the corrected line would be refused whoever its customer is: whoever is named gets a key only after this."""
    if "customer" not in values:
        _refuse(lake, _table(lake, vault, row, values, "0" * 64, 1))
        return
    found = _table(
        lake, vault, row, {name: value for name, value in values.items() if name != "customer"} | {"customer_key": ""}, "0" * 64, 1
    )
    if values["customer"].strip():
        at = SCHEMA.get_field_index("customer_key")
        found = found.set_column(at, SCHEMA.field(at), pa.array([secrets.token_hex(16)], SCHEMA.field(at).type))
    _refuse(lake, found)


def _refuse(lake: Lake, found: pa.Table) -> None:
    reasons: Sequence[str] = found.column("reasons").to_pylist()[0]
    if not reasons:
        frame: DataFrame = lake.spark.createDataFrame(found)
        _, bad = split_rows(frame, config.load(lake.settings.profile).row_rules)
        reasons = [reason for one in bad.select("reasons").toArrow().column(0).to_pylist() for reason in one]
    line_id = found.column("line_id")[0].as_py()
    if not reasons and not lake.read("silver.sales").where(f"line_id = '{line_id}'").isEmpty():
        reasons = [CONFLICT]
    if reasons:
        raise InputError(f"the corrected line would be refused again: {', '.join(reasons)}. Nothing was changed")


def _table(lake: Lake, vault: Vault, row: Mapping[str, Any], values: Mapping[str, str], digest: str, place: int) -> pa.Table:
    """The corrected line through the door, with the source's rules and our own way to write values."""
    source = sources.find(str(row["source"]), lake.settings.profile)
    plain = _plain(source)
    texts = {name: _text(row.get(name)) for name in SETTABLE if name != "customer"}
    key = values.get("customer_key", row.get("customer_key"))
    texts |= {"customer": vault.number(str(key)) if key else None} | {name: text for name, text in values.items() if name != "customer_key"}
    texts |= dict.fromkeys(_computed(source, values))
    if texts["unit_price"] is None and texts["amount"] is None:
        raise InputError("the corrected line would be refused again: missing_price. Say a unit_price or an amount; nothing was changed")
    needed = source.fields - set(source.optional) - _MONEY
    columns = {name: pa.array([text], pa.string()) for name, text in texts.items() if name in needed or text is not None}
    judged = door.judge(RawBatch(np.array([place]), columns, ()), plain, _FORM, loading.limits(lake, source))
    # What tells lines of this source apart and is not kept of them can't tell this one from another: then it is itself.
    told_apart = () if source.repeats == "keep" or "line" in source.identity_fields else source.identity_fields
    line, _ = as_rows(judged, (), vault, plain, digest, told_apart)
    if source.cancellation is not None and source.cancellation.column in ("line", "status") and row.get("is_cancellation") is not None:
        at = SCHEMA.get_field_index("is_cancellation")
        line = line.set_column(at, SCHEMA.field(at), pa.array([row["is_cancellation"]], pa.bool_()))
    return line


def _computed(source: Source, values: Mapping[str, str]) -> set[str]:
    """Of price and amount, the one that follows from what is said anew: the amount where prices are what the files tell."""
    if values.keys() >= _MONEY or not ({"quantity"} | _MONEY) & values.keys():
        return set()
    if "amount" in values:
        return {"unit_price"}
    return {"amount"} if "unit_price" in values or "unit_price" in source.fields else {"unit_price"}


def _plain(source: Source) -> Source:
    """The source as if its files were written our way: its rules about products and cancellations stay."""
    cancellation = source.cancellation
    if cancellation is not None and cancellation.column in ("line", "status"):
        cancellation = None
    return source.model_copy(
        update={
            "columns": {name: name for name in SETTABLE},
            "constants": {},
            "values": {},
            "skip": {},
            "logarithms": (),
            "beside": None,
            "times": _TIMES.model_copy(update={"zone": source.times.zone}),
            "cancellation": cancellation,
        }
    )


def _text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat()
    return str(value).lower() if isinstance(value, bool) else str(value)
