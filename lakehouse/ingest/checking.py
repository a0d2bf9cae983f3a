"""A file looked at before it is loaded: what its source makes of it, and which of its lines would be refused. Nothing is written or kept."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO, Literal

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.errors import InputError
from lakehouse.ingest import door, readers, sheets
from lakehouse.ingest.beside import WithTable
from lakehouse.ingest.clock import wall
from lakehouse.ingest.door import Judged, Limits
from lakehouse.ingest.raw import RawBatch
from lakehouse.ingest.rows import SCHEMA, as_rows
from lakehouse.ingest.sheets import Sheet
from lakehouse.ingest.source_parts import Format
from lakehouse.ingest.sources import Source

MOST = 100_000
_EXAMPLES = 3


@dataclass(frozen=True)
class Understood:
    """What a source makes of the first `lines` lines of a file (`whole`: of all of them). No text of a line is in it.

    `columns` are those of the file (theirs: ours), `ignored` the others, `written` how the source says that the file is written, `sheets` how
    many rows were read of each. `skipped` are no sales, as the source says, and would not be kept. The door refuses some lines (`refused`, by reason)
    and accepts the others; of these silver would keep some, leave out `repeats` of them, and send the rest to quarantine (`quarantined`) for
    the row rules that they break (`broken`: by rule, of which a line can break several; `unjudged` are the rules that only an engine can tell).
    `examples` names the first few lines of each reason as an editor does, or a sheet. Of the lines that it would keep: the first and last
    time, how many products there are, how many lines name their customer or receipt, cancel something, are of something that is no product, and
    their amount in money. Of the accepted ones: how many have an amount without a quantity (`no_quantity`), and the numbers of the first few.
    `unmatched`: lines that were read of which the table beside says nothing. `remarks`: what else of an entry would be worth a try.
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
    kept: int
    repeats: int
    quarantined: int
    broken: Mapping[str, int]
    unjudged: tuple[str, ...]
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
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Numbers:
    """The numbers of an accepted line as they were read."""

    where: str
    quantity: Decimal
    unit_price: Decimal | None
    amount: Decimal


@dataclass(frozen=True)
class Settled:
    """What silver makes of accepted lines of bronze: those that it keeps, how many are repeats of these, how many go to quarantine, and by which
    rule, with the numbers of the first few. `unjudged`: rules that could not be told."""

    kept: pa.Table
    repeats: int
    quarantined: int
    broken: Mapping[str, int]
    examples: Mapping[str, Sequence[int]]
    unjudged: tuple[str, ...]


Settle = Callable[[pa.Table, Source], Settled]


def check(path: Path, source: Source, oldest: datetime, most: int = MOST, settle: Settle | None = None) -> Understood:
    """Reads up to `most` lines as a load would. `settle` tells what silver would make of the accepted ones, were they the only lines of a lake;
    without it all of them are taken for kept. Raises `InputError` for what is wrong with the whole file."""
    form = readers.format_of(path.suffix.lstrip(".").lower(), source, path.name)
    found = _tallied(path, source, form, oldest, most)
    return found.told(path.name, form, settle, _counted_otherwise(path, source, form, oldest, found))


def _tallied(path: Path, source: Source, form: Format, oldest: datetime, most: int) -> _Tally:
    limits, found = Limits(oldest, wall(source), None), _Tally(source)
    try:
        with path.open("rb") as file:
            found.header, found.offset = readers.header(file, path.name, form)
            read = WithTable(_batches(file, path.name, source, form, min(most, 20_000), found), path.parent, source)
            for batch in _some(read, most, found):
                found.add(batch, door.judge(batch, source, form, limits))
            found.unmatched = read.unmatched
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from None
    return found


def _counted_otherwise(path: Path, source: Source, form: Format, oldest: datetime, found: _Tally) -> tuple[str, ...]:
    """A remark where fewer lines of fixed width were refused if their places were counted in the other of characters and bytes: lines that
    are not padded at their ends don't tell by their lengths in which they are."""
    refused = found.refused.total()
    if form.kind != "fixed" or not refused:
        return ()
    other: Literal["bytes", "characters"] = "characters" if form.widths_in == "bytes" else "bytes"
    try:
        better = _tallied(path, source, form.model_copy(update={"widths_in": other}), oldest, found.lines).refused.total()
    except InputError:
        return ()
    if better >= refused:
        return ()
    return (
        f"with widths_in: {other} (formats) {better:,} lines would be refused instead of {refused:,}: are the fields padded to so many {other}?",
    )


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


class _AsTheyAre:
    """Customers' numbers in place of keys: lines of nobody but the caller, of which nothing is kept."""

    def exchange(self, _identity: str, numbers: pa.Array, _sold_at: pa.Array | None = None) -> pa.Array:
        return numbers

    def lookups(self, _identity: str, numbers: pa.Array) -> pa.Array:
        return numbers


class _Tally:
    """What was found so far."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.header: Sequence[str] = ()
        self.offset = 0
        self.sheet: Sheet | None = None
        self.sheets: Counter[str] = Counter()
        self.begins: dict[Sheet, int] = {}  # the number of each sheet's first line
        self.lines = self.skipped = self.no_quantity = self.unmatched = 0
        self.whole = True
        self.fields: tuple[str, ...] = ()
        self.refused: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}
        self.sample: list[Numbers] = []
        self.accepted: list[pa.Table] = []

    def add(self, batch: RawBatch, judged: Judged) -> None:
        lines = len(judged.numbers)
        read = lines + len(batch.refused) + judged.skipped
        self.lines += read
        if self.sheet is not None:
            self.header = self.sheet.header
            self.sheets[self.sheet.title] += read
            numbers = [*batch.numbers.tolist(), *(number for number, _ in batch.refused), self.begins.get(self.sheet, sys.maxsize)]
            self.begins[self.sheet] = min(numbers)
        self.skipped += judged.skipped
        self.fields = tuple(batch.columns)
        for number, reason in batch.refused:
            self._refuse(reason, [number], 1)
        for reason, hit in judged.broken.items():
            self._refuse(reason, judged.numbers[hit][:_EXAMPLES].tolist(), int(hit.sum()))
        found, _ = as_rows(judged, (), _AsTheyAre(), self.source, "")
        accepted = found.filter(pa.array(~door.any_of(judged.broken, lines)))
        self.accepted.append(accepted)
        self.no_quantity += _sum(pc.and_(pc.equal(accepted["quantity"], 0), pc.not_equal(accepted["amount"], 0)))
        self._show(accepted)

    def _refuse(self, reason: str, numbers: Sequence[int], lines: int) -> None:
        self.refused[reason] += lines
        self._name(reason, numbers)

    def _name(self, reason: str, numbers: Sequence[int]) -> None:
        known = self.examples.setdefault(reason, [])
        known += map(self._where, numbers[: _EXAMPLES - len(known)])

    def _where(self, number: int) -> str:
        """A line as people find it: by its number in an editor, or its sheet and row."""
        if not self.begins:
            return f"line {number + self.offset}"
        sheet = max((begin, sheet.title, sheet.offset) for sheet, begin in self.begins.items() if begin <= number)
        return f'sheet "{sheet[1]}" row {number + sheet[2]}'

    def _show(self, accepted: pa.Table) -> None:
        for row in accepted.slice(0, _EXAMPLES - len(self.sample)).to_pylist():
            self.sample.append(Numbers(self._where(row["line_number"]), row["quantity"], row["unit_price"], row["amount"]))

    def told(self, file: str, form: Format, settle: Settle | None, remarks: tuple[str, ...]) -> Understood:
        accepted = pa.concat_tables([SCHEMA.empty_table(), *self.accepted])
        settled = settle(accepted, self.source) if settle is not None else Settled(accepted, 0, 0, {}, {}, ())
        for rule, numbers in settled.examples.items():
            self._name(rule, numbers)
        lines = settled.kept
        times = pc.min_max(lines["sold_at"].cast(pa.timestamp("us")))
        return Understood(
            file=file,
            source=self.source.name,
            fields=self.fields,
            columns={name: self.source.columns[name] for name in self.header if name in self.source.columns},
            ignored=tuple(name for name in self.header if name in self.source.ignore),
            written=_written(form, self.source),
            sheets=dict(self.sheets),
            lines=self.lines,
            whole=self.whole,
            accepted=accepted.num_rows,
            skipped=self.skipped,
            refused=dict(sorted(self.refused.items())),
            kept=lines.num_rows,
            repeats=settled.repeats,
            quarantined=settled.quarantined,
            broken=dict(sorted(settled.broken.items())),
            unjudged=settled.unjudged,
            examples={reason: tuple(numbers) for reason, numbers in sorted(self.examples.items())},
            first=times["min"].as_py(),
            last=times["max"].as_py(),
            products=pc.count_distinct(pc.utf8_upper(lines["product_code"].filter(lines["is_product"]))).as_py(),
            with_customer=_there(lines["customer_key"]),
            with_invoice=_there(lines["invoice"]),
            cancellations=_sum(lines["is_cancellation"]),
            no_products=_sum(pc.invert(lines["is_product"])),
            no_quantity=self.no_quantity,
            unmatched=self.unmatched,
            amount=pc.sum(lines["amount"]).as_py() or Decimal(0),
            sample=tuple(self.sample),
            remarks=remarks,
        )


def _sum(flags: pa.ChunkedArray) -> int:
    return pc.sum(flags).as_py() or 0


def _there(column: pa.ChunkedArray) -> int:
    return len(column) - int(column.null_count)


def _written(form: Format, source: Source) -> dict[str, str]:
    """How files of this ending are written, as far as their kind leaves it open."""
    counted = source.times.counted
    said: dict[str, str] = {"kind": form.kind}
    if form.kind in ("csv", "fixed"):
        said["encoding"] = " or ".join(form.encoding)
    if form.kind == "csv":
        said["delimiter"] = {"\t": "tab", " ": "space"}.get(form.delimiter, f'"{form.delimiter}"')
    said["decimal"] = f'"{form.decimal}"'
    said |= {"minus": form.minus} if form.minus != "front" else {}
    said |= {"currency_mark": f'"{form.currency_mark}"'} if form.currency_mark else {}
    said |= {"thousands": f'"{form.thousands}"'} if form.thousands else {}
    said["times"] = " or ".join(source.times.formats)
    if counted is not None:
        said["times"] = "weeks of a year" if counted.of_year else f"{counted.unit} {counted.number} is {counted.day}"
    said["times"] += ", the last days of weeks, whose first are kept" if source.times.by_last_day else ""
    return said | ({"zone": source.times.zone} if source.times.zone else {})
