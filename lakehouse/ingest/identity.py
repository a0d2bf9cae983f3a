"""A line's id: equal for copies of a line, whatever kind of file they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SEPARATOR, ESCAPE = "\x1f", "\x1e"
_BYTES = 16


def line_ids(columns: Sequence[pa.Array]) -> pa.Array:
    """BLAKE2b with 16 bytes, in hex, over the texts of a line joined by U+001F, U+001E standing for null.

    `columns` are strings, or integers: quantities in thousandths, money in ten-thousandths, times in microseconds since 1970, so that no
    library's way to print a number is part of it. The two characters within a text are escaped.
    """
    texts = [_escaped(column) if pa.types.is_string(column.type) else column.cast(pa.string()) for column in columns]
    joined = pc.binary_join_element_wise(*texts, SEPARATOR, null_handling="replace", null_replacement=ESCAPE)
    digest = hashlib.blake2b
    hexed = b"".join([digest(text, digest_size=_BYTES).digest() for text in joined.cast(pa.binary()).to_pylist()]).hex().encode()
    offsets = np.arange(len(joined) + 1, dtype=np.int32) * (2 * _BYTES)
    return pa.StringArray.from_buffers(len(joined), pa.py_buffer(offsets), pa.py_buffer(hexed))


def _escaped(column: pa.Array) -> pa.Array:
    if not pc.any(pc.match_substring_regex(column, f"[{SEPARATOR}{ESCAPE}]")).as_py():
        return column
    return pc.replace_substring(pc.replace_substring(column, ESCAPE, f"{ESCAPE}0"), SEPARATOR, f"{ESCAPE}1")
