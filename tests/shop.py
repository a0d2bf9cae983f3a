"""A shop small enough to see: lines landed in bronze without the door, and runs of the table stages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from pyspark.sql import DataFrame

from lakehouse.medallion import gold, silver
from lakehouse.medallion.gold import GoldReport
from lakehouse.medallion.silver import SilverReport
from lakehouse.tables import Lake, StageLake, catalog, opening, runs
from lakehouse.tables.runs import Run

STORES = "gold.stores"  # the table with the fewest columns, for tests to which it is all the same what is written


def stores(lake: Lake, **units: int) -> DataFrame:
    """Rows of gold.stores, one per store named, by the units that it sold."""
    rows = [(store, date(2011, 1, 3), date(2011, 1, 4), 1, Decimal(number), Decimal(number)) for store, number in units.items()]
    names = "store string, first_sold date, last_sold date, products bigint, units decimal(18,3), revenue decimal(18,4)"
    return lake.spark.createDataFrame(rows, names)


@dataclass(frozen=True)
class Line:
    """One line of bronze. Prices and quantities as text, times as ISO text."""

    product: str
    sold_at: str
    quantity: str = "1"
    price: str = "2.50"
    customer: str | None = "c1"
    invoice: str | None = "1"
    description: str | None = "a thing"
    country: str | None = "France"
    is_product: bool = True
    known_at: str | None = None
    reasons: tuple[str, ...] = ()
    identity: str | None = None
    covers: str = "day"

    @property
    def line_id(self) -> str:
        told = self.identity or repr((self.product, self.sold_at, self.quantity, self.price, self.invoice, self.description))
        return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


@dataclass
class Shop:
    """Lands batches of lines as files, and runs silver and gold on them."""

    lake: Lake
    landed: int = field(default=0)

    def land(self, *lines: Line, moment: str | None = None) -> str:
        """One file of these lines. `moment`: the newest snapshot's when it was landed. Returns its digest."""
        self.landed += 1
        digest = hashlib.sha256(repr((self.landed, lines)).encode()).hexdigest()
        rows = [self._row(digest, number, line, moment) for number, line in enumerate(lines, 1)]
        columns = ", ".join(f"`{column.name}` {column.type}" for column in catalog.table("bronze.sales").columns)
        with self.lake.lease("test load"):
            self.lake.writer.append("bronze.sales", self.lake.spark.createDataFrame(rows, columns), batch={"file_digest": digest})
        return digest

    @contextmanager
    def run(self, as_of: str | None = None) -> Iterator[Run]:
        """A run under the lease, ended as done."""
        with self.lake.lease("test run") as held:
            run = opening.begin_or_resume(self.lake, as_of, held.token)
            yield run
            runs.end(self.lake.ops, run.id)

    def refine(self, as_of: str | None = None) -> tuple[SilverReport, GoldReport]:
        """Silver, gold, and a publication of both."""
        with self.run(as_of) as run:
            with StageLake(self.lake.settings, "silver", run.id) as stage:
                made = silver.build(stage)
                stage.finish()
            with StageLake(self.lake.settings, "gold", run.id) as stage:
                refined = gold.build(stage)
                stage.publish(after=())
                stage.finish()
        return made, refined

    def open_store(self, name: str, as_of: str | None = None) -> None:
        """A run that writes one row to gold.stores and publishes it: for what it doesn't matter to what a run computes, at a tenth of the time."""
        with self.run(as_of) as run, StageLake(self.lake.settings, "gold", run.id) as stage:
            stage.writer.merge(STORES, stores(stage, **{name: 1}))
            stage.publish(after=())
            stage.finish()

    def clean(self, as_of: str | None = None) -> SilverReport:
        """Silver alone, and its publication: for what gold has no part in, at half the time."""
        with self.run(as_of) as run, StageLake(self.lake.settings, "silver", run.id) as stage:
            made = silver.build(stage)
            stage.publish(after=())
            stage.finish()
        return made

    @staticmethod
    def _row(digest: str, number: int, line: Line, moment: str | None) -> tuple[object, ...]:
        sold = datetime.fromisoformat(line.sold_at)
        known = datetime.fromisoformat(line.known_at) if line.known_at else max(sold, datetime.fromisoformat(moment or line.sold_at))
        quantity, price = Decimal(line.quantity), Decimal(line.price)
        return (
            digest,
            number,
            "test",
            line.line_id,
            "all",
            line.invoice,
            line.product,
            line.description,
            quantity,
            price,
            quantity * price,
            sold,
            line.covers,
            line.customer,
            line.country,
            line.is_product,
            bool(line.invoice and line.invoice.startswith("C")),
            None,
            None,
            list(line.reasons),
            known,
            line.identity is None,
        )
