"""What readers give: lines as they were written, before anybody judges them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from lakehouse.ingest.lines import Ints


@dataclass(frozen=True)
class RawBatch:
    """Lines as read: `numbers` (the first data line is 1) and `columns` (ours: values) of the lines that could be read, and for the
    others (`refused`) their number and the reason."""

    numbers: Ints
    columns: Mapping[str, pa.Array]
    refused: tuple[tuple[int, str], ...]
