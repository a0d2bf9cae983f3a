"""A file looked at before it is loaded: what its source makes of it, and which of its lines would be refused. Nothing is written or kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.errors import InputError
from lakehouse.ingest import door, readers, sheets
from lakehouse.ingest.beside import WithTable
from lakehouse.ingest.door import Judged, Limits
from lakehouse.ingest.lines import Ints
from lakehouse.ingest.raw import RawBatch
from lakehouse.ingest.sheets import Sheet
from lakehouse.ingest.source_parts import Format
from lakehouse.ingest.sources import Source

MOST = 100_000
_EXAMPLES = 3


@dataclass(frozen=True)
class Understood:
    """What a source makes of the first `lines` lines of a file (`whole`: of all of them). No text of a line is in it.

    `columns` are those of the file (theirs: ours), `ignored` the others, `written` how the source says that the file is written, `sheets` how
    many rows were read of each. `skipped` are no sales, as the source says, and would not be kept. `refused` counts lines by reason, `examples`
    names the first few as an editor does, or a sheet. Of the accepted ones: the first and last time, how many products there are, how many lines
    name their customer or receipt, cancel something, are of something that is no product, have an amount without a quantity (`no_quantity`)
    their amount in money, and the numbers of the first few. `unmatched`: lines that were read of which the table beside says nothing.
    """

    file: str
    source: str
    fields: tuple[str, ...]
    columns: Mapping[str, str]
    ignored: tuple[str, ...]
    written: Mapping[str, str]
    sheets: Mapping[str, int]
    lines: int
    whole: bool
    accepted: int
    skipped: int
    refused: Mapping[str, int]
    examples: Mapping[str, tuple[str, ...]]
    first: datetime | None
    last: datetime | None
    products: int
    with_customer: int
    with_invoice: int
    cancellations: int
    no_products: int
    no_quantity: int
    unmatched: int
    amount: Decimal
    sample: tuple[Numbers, ...]


@dataclass(frozen=True)
class Numbers:
    """The numbers of an accepted line as they were read."""

    where: str
    quantity: Decimal
    unit_price: Decimal | None
    amount: Decimal


def check(path: Path, source: Source, oldest: datetime, most: int = MOST) -> Understood:
    """Reads up to `most` lines as a load would. Raises `InputError` for what is wrong with the whole file."""
    form = readers.format_of(path.suffix.lstrip(".").lower(), source, path.name)
    zone = ZoneInfo(source.times.zone) if source.times.zone else UTC
    limits = Limits(oldest, datetime.now(zone).replace(tzinfo=None), None)
    found = _Tally(source)
    try:
        with path.open("rb") as file:
            found.header, found.offset = readers.header(file, path.name, form)
            read = WithTable(_batches(file, path.name, source, form, min(most, 20_000), found), path.parent, source)
            for batch in _some(read, most, found):
                found.add(batch, door.judge(batch, source, form, limits))
            found.unmatched = read.unmatched
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from None
    return found.told(path.name, form)


def _batches(file: BinaryIO, name: str, source: Source, form: Format, rows: int, found: _Tally) -> Iterator[RawBatch]:
    """The file's lines; of a workbook, `found` is told before each batch which sheet it is of."""
    if form.kind != "xlsx":
        yield from readers.read(file, name, source, form, rows)
        return
    for found.sheet, batch in sheets.by_sheet(file, name, source, form, rows):
        yield batch


def _some(batches: Iterable[RawBatch], most: int, found: _Tally) -> Iterator[RawBatch]:
    for batch in batches:
        if found.lines >= most:
            found.whole = False
            return
        yield batch


class _Tally:
    """What was found so far."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.header: Sequence[str] = ()
        self.offset = 0
        self.sheet: Sheet | None = None
        self.sheets: Counter[str] = Counter()
        self.lines = self.accepted = self.skipped = self.with_customer = self.with_invoice = 0
        self.cancellations = self.no_products = self.no_quantity = self.unmatched = 0
        self.whole = True
        self.fields: tuple[str, ...] = ()
        self.refused: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}
        self.sample: list[Numbers] = []
        self.products: set[str] = set()
        self.times: list[datetime] = []
        self.amount = Decimal(0)

    def add(self, batch: RawBatch, judged: Judged) -> None:
        lines = len(judged.numbers)
        read = lines + len(batch.refused) + judged.skipped
        self.lines += read
        if self.sheet is not None:
            self.header = self.sheet.header
            self.sheets[self.sheet.title] += read
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
        self.no_quantity += pc.sum(pc.and_(pc.equal(columns["quantity"], 0), pc.not_equal(columns["amount"], 0))).as_py() or 0
        self.with_invoice += len(columns["invoice"]) - columns["invoice"].null_count
        self.amount += pc.sum(columns["amount"]).as_py() or 0
        self._show(judged.numbers[good], columns)
        bounds = pc.min_max(columns["sold_at"])
        self.times += [bounds[end].as_py().replace(tzinfo=None) for end in ("min", "max") if bounds[end].is_valid]

    def _refuse(self, reason: str, numbers: list[int], lines: int) -> None:
        self.refused[reason] += lines
        known = self.examples.setdefault(reason, [])
        known += map(self._where, numbers[: _EXAMPLES - len(known)])

    def _where(self, number: int) -> str:
        """A line as people find it: by its number in an editor, or its sheet and row."""
        if self.sheet is None:
            return f"line {number + self.offset}"
        return f'sheet "{self.sheet.title}" row {number + self.sheet.offset}'

    def _show(self, numbers: Ints, columns: Mapping[str, pa.Array]) -> None:
        for place in range(min(_EXAMPLES - len(self.sample), len(numbers))):
            quantity, price, amount = (columns[name][place].as_py() for name in ("quantity", "unit_price", "amount"))
            self.sample.append(Numbers(self._where(int(numbers[place])), quantity, price, amount))

    def told(self, file: str, form: Format) -> Understood:
        return Understood(
            file,
            self.source.name,
            self.fields,
            {name: self.source.columns[name] for name in self.header if name in self.source.columns},
            tuple(name for name in self.header if name in self.source.ignore),
            _written(form, self.source),
            dict(self.sheets),
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
            self.with_invoice,
            self.cancellations,
            self.no_products,
            self.no_quantity,
            self.unmatched,
            self.amount,
            tuple(self.sample),
        )


def _written(form: Format, source: Source) -> dict[str, str]:
    """How files of this ending are written, as far as their kind leaves it open."""
    counted = source.times.counted
    said: dict[str, str] = {"kind": form.kind}
    if form.kind in ("csv", "fixed"):
        said["encoding"] = " or ".join(form.encoding)
    if form.kind == "csv":
        said["delimiter"] = {"\t": "tab", " ": "space"}.get(form.delimiter, f'"{form.delimiter}"')
    said["decimal"] = f'"{form.decimal}"'
    said |= {"thousands": f'"{form.thousands}"'} if form.thousands else {}
    said["times"] = f"{counted.unit} {counted.number} is {counted.day}" if counted else " or ".join(source.times.formats)
    return said | ({"zone": source.times.zone} if source.times.zone else {})
