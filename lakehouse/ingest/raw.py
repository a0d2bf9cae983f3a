"""What readers give: lines as they were written, before anybody judges them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.ingest.lines import Ints
from lakehouse.privacy.numbers import EXACT_FLOAT

BAD_CODE, BAD_CUSTOMER = "bad_code", "bad_customer"


@dataclass(frozen=True)
class RawBatch:
    """Lines as read: `numbers` (the first data line is 1) and `columns` (ours: values) of the lines that could be read, and for the
    others (`refused`) their number and the reason."""

    numbers: Ints
    columns: Mapping[str, pa.Array]
    refused: tuple[tuple[int, str], ...]


def number_texts(column: pa.Array) -> pa.Array:
    """Numbers as the text that people write for them: 17850 for 17850.0, and for 17850.00 of a decimal."""
    if pa.types.is_decimal(column.type):
        return pc.replace_substring_regex(column.cast(pa.string()), r"^(-?[0-9]+)\.0+$", r"\1")
    if not pa.types.is_floating(column.type):
        return column.cast(pa.string())
    doubles = column.cast(pa.float64())
    doubles = pc.if_else(pc.is_nan(doubles), None, doubles)
    exact = pc.and_(pc.equal(doubles, pc.trunc(doubles)), pc.less_equal(pc.abs(doubles), float(EXACT_FLOAT)))
    as_integers = pc.if_else(exact, doubles, None).cast(pa.int64()).cast(pa.string())
    # Beyond that the last digits are gone: such a number stays in a float's form, in which no customer is accepted.
    return pc.coalesce(as_integers, pc.replace_substring_regex(doubles.cast(pa.string()), "^(-?[0-9]+)$", r"\1.0"))


def stripped(column: pa.Array) -> pa.Array:
    """Texts without outer spaces, null where nothing is left; anything else as it is."""
    if not pa.types.is_string(column.type):
        return column
    stripped = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.equal(pc.binary_length(stripped), 0), pa.scalar(None, pa.string()), stripped)
