"""A file looked at before it is loaded: what its source makes of it, and which of its lines would be refused. Nothing is written or kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.errors import InputError
from lakehouse.ingest import door, readers
from lakehouse.ingest.beside import with_table
from lakehouse.ingest.door import Judged, Limits
from lakehouse.ingest.raw import RawBatch
from lakehouse.ingest.sources import Source

MOST = 100_000
_EXAMPLES = 3


@dataclass(frozen=True)
class Understood:
    """What a source makes of the first `lines` lines of a file (`whole`: of all of them). No text of a line is in it.

    `skipped` are no sales, as the source says, and would not be kept. `refused` counts lines by reason, `examples` names the first few by
    number. Of the accepted ones: the first and last time, how many products there are, how many lines name their customer, cancel something, or
    are of something that is no product, and their amount in money.
    """

    file: str
    source: str
    fields: tuple[str, ...]
    lines: int
    whole: bool
    accepted: int
    skipped: int
    refused: Mapping[str, int]
    examples: Mapping[str, tuple[int, ...]]
    first: datetime | None
    last: datetime | None
    products: int
    with_customer: int
    cancellations: int
    no_products: int
    amount: Decimal


def check(path: Path, source: Source, oldest: datetime, most: int = MOST) -> Understood:
    """Reads up to `most` lines as a load would. Raises `InputError` for what is wrong with the whole file."""
    form = readers.format_of(path.suffix.lstrip(".").lower(), source, path.name)
    zone = ZoneInfo(source.times.zone) if source.times.zone else UTC
    limits = Limits(oldest, datetime.now(zone).replace(tzinfo=None), None)
    found = _Tally()
    try:
        with path.open("rb") as file:
            read = with_table(readers.read(file, path.name, source, form, min(most, 20_000)), path.parent, source)
            for batch in _some(read, most, found):
                found.add(batch, door.judge(batch, source, form, limits))
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from None
    return found.told(path.name, source.name)


def _some(batches: Iterator[RawBatch], most: int, found: _Tally) -> Iterator[RawBatch]:
    for batch in batches:
        if found.lines >= most:
            found.whole = False
            return
        yield batch


class _Tally:
    """What was found so far."""

    def __init__(self) -> None:
        self.lines = self.accepted = self.skipped = self.with_customer = self.cancellations = self.no_products = 0
        self.whole = True
        self.fields: tuple[str, ...] = ()
        self.refused: Counter[str] = Counter()
        self.examples: dict[str, list[int]] = {}
        self.products: set[str] = set()
        self.times: list[datetime] = []
        self.amount = Decimal(0)

    def add(self, batch: RawBatch, judged: Judged) -> None:
        lines = len(judged.numbers)
        self.lines += lines + len(batch.refused) + judged.skipped
        self.skipped += judged.skipped
        self.fields = tuple(batch.columns)
        for number, reason in batch.refused:
            self._refuse(reason, [number], 1)
        for reason, hit in judged.broken.items():
            self._refuse(reason, judged.numbers[hit][:_EXAMPLES].tolist(), int(hit.sum()))
        good = ~door.any_of(judged.broken, lines)
        keep = pa.array(good)
        self.accepted += int(good.sum())
        columns = {name: column.filter(keep) for name, column in judged.columns.items()}
        self.with_customer += int(np.sum(judged.customers.filter(keep).is_valid().to_numpy(zero_copy_only=False)))
        self.cancellations += pc.sum(columns["is_cancellation"]).as_py() or 0
        self.no_products += pc.sum(pc.invert(columns["is_product"])).as_py() or 0
        self.products |= set(columns["product_code"].filter(columns["is_product"]).unique().to_pylist())
        self.amount += pc.sum(columns["amount"]).as_py() or 0
        bounds = pc.min_max(columns["sold_at"])
        self.times += [bounds[end].as_py().replace(tzinfo=None) for end in ("min", "max") if bounds[end].is_valid]

    def _refuse(self, reason: str, numbers: list[int], lines: int) -> None:
        self.refused[reason] += lines
        known = self.examples.setdefault(reason, [])
        known += numbers[: _EXAMPLES - len(known)]

    def told(self, file: str, source: str) -> Understood:
        return Understood(
            file,
            source,
            self.fields,
            self.lines,
            self.whole,
            self.accepted,
            self.skipped,
            dict(sorted(self.refused.items())),
            {reason: tuple(numbers) for reason, numbers in sorted(self.examples.items())},
            min(self.times, default=None),
            max(self.times, default=None),
            len(self.products),
            self.with_customer,
            self.cancellations,
            self.no_products,
            self.amount,
        )
