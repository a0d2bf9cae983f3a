"""What an auditor asks of the tables: what was held on a day, what has changed since and by which files, and whether it is still whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.engine import explain
from lakehouse.errors import OtherSchema, TryAgain
from lakehouse.tables import catalog, delta, delta_log, diff, pins, rebuilding, runs
from lakehouse.tables.catalog import BRONZE
from lakehouse.tables.handles import in_short
from lakehouse.tables.lake import Lake
from lakehouse.tables.listing import Listing
from lakehouse.tables.snapshots import Snapshot

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SALES, DAYS = "silver.sales", "gold.daily_sales"


@dataclass(frozen=True)
class Held:
    """One table as a snapshot published it: who wrote that version and when (wall clock, UTC), and its content digest."""

    table: str
    version: int
    rows: int
    bytes: int
    written_at: datetime
    run: str | None
    stage: str | None
    digest: str


@dataclass(frozen=True)
class Change:
    """One table then and now. Rows are told apart by key: added, gone, or with other values under the same key."""

    table: str
    version_then: int
    version_now: int
    rows_then: int
    rows_now: int
    added: int
    changed: int
    gone: int
    runs: tuple[str, ...]


@dataclass(frozen=True)
class LandedFile:
    """One file that landed since: its lines by where they are now. `of_the_past` are lines in silver that were sold before the day asked
    about, and `amount_of_the_past` is their money: what changes what was held to be true of the past."""

    file: str
    source: str
    landed_at: datetime
    version: int
    lines: int
    in_silver: int
    in_quarantine: int
    first_day: date | None
    last_day: date | None
    of_the_past: int
    amount_of_the_past: Decimal


@dataclass(frozen=True)
class Restated:
    """One month before the day asked about, whose revenue is another now than it was published then."""

    month: str
    revenue_then: Decimal
    revenue_now: Decimal
    difference: Decimal
    products: int


@dataclass(frozen=True)
class Checked:
    """One version that somebody relies on. `whole`: it can be read, has as many rows as the log says, and holds what it held when its digest
    was first kept. `digest` is the full one."""

    table: str
    version: int
    whole: bool
    rows: int | None
    digest: str
    relied_on_by: tuple[str, ...]
    found: str


def held(then: Lake, only: str | None = None) -> Listing[Held]:
    """Every table (or one) of the snapshot that `then` was opened at."""
    snapshot = then.snapshot()
    if snapshot is None:
        return Listing([], "nothing was published")
    writers = runs.writers(then.ops)
    found = []
    for name, version in _known(then, snapshot, only):
        rebuilding.check_there(then, name)
        size = delta.size(then.path(name), version)
        written = next(commit.written_at for commit in delta.history(then.path(name)) if commit.version == version)
        run, stage = writers.get((name, version), (None, None))
        digest = then.digest(name, version).digest
        found.append(Held(name, version, size.rows, size.bytes, written, run, stage, digest))
    return Listing(found)


def changes(then: Lake, now: Lake, only: str | None = None) -> Listing[Change]:
    """The tables (or one) that are others now than they were published then, by how many rows."""
    snapshot = then.snapshot()
    if snapshot is None:
        return Listing([], "nothing was published")
    writers = runs.writers(then.ops)
    found = []
    for name, before in _known(then, snapshot, only):
        after = now.version(name)
        if before == after:
            continue
        table, path = catalog.table(name), then.path(name)
        differ = diff.counts(now.read(name, version=before), now.read(name, version=after), table)
        wrote = dict.fromkeys(writers[name, version][0] for version in range(before + 1, after + 1) if (name, version) in writers)
        sizes = delta.size(path, before).rows, delta.size(path, after).rows
        found.append(Change(name, before, after, *sizes, differ.added, differ.changed, differ.removed, tuple(wrote)))
    return Listing(found, "nothing has changed since")


def _known(then: Lake, snapshot: Snapshot, only: str | None) -> list[tuple[str, int]]:
    """A snapshot's tables (or one) that this release knows: a newer one may have published more."""
    return [(name, version) for name, version in snapshot.versions.items() if name in then.catalog and only in (None, name)]


def landed_since(then: Lake, now: Lake) -> Listing[LandedFile]:
    """The files that are in bronze now and were not then, in the order in which they landed."""
    from pyspark.sql import functions as F

    snapshot = then.snapshot()
    if snapshot is None:
        return Listing([], "nothing was published")
    path, before, after = now.path(BRONZE), snapshot.versions[BRONZE], now.head(BRONZE)
    digests_since = delta.partition_values(path, "file_digest", after) - delta.partition_values(path, "file_digest", before)
    if not digests_since:
        return Listing([], "no file has landed since")
    files = sorted(digests_since)
    landed = (
        now.read(BRONZE, version=after)
        .where(F.col("file_digest").isin(*files))
        .groupBy("file_digest")
        .agg(
            F.max("source").alias("source"),
            F.count(F.lit(1)).alias("lines"),
            F.to_date(F.min("sold_at")).alias("first_day"),
            F.to_date(F.max("sold_at")).alias("last_day"),
        )
    )
    past = F.col("day") < F.lit(snapshot.as_of.date())
    kept = (
        now.read(SALES)
        .where(F.col("_file").isin(*files))
        .groupBy(F.col("_file").alias("file_digest"))
        .agg(
            F.count(F.lit(1)).alias("in_silver"),
            F.sum(F.when(past, 1).otherwise(0)).alias("of_the_past"),
            F.sum(F.when(past, F.col("amount"))).cast("decimal(18,4)").alias("amount_of_the_past"),
        )
    )
    refused = now.read("quarantine.sales").where(F.col("file_digest").isin(*files)).groupBy("file_digest").agg(F.count(F.lit(1)).alias("n"))
    rows = landed.join(kept, "file_digest", "left").join(refused, "file_digest", "left").toArrow().to_pylist()
    arrived = delta_log.arrivals(path, "file_digest", before)
    found = []
    for row in rows:
        commit = arrived[row["file_digest"]]
        found.append(
            LandedFile(
                row["file_digest"][:12],
                row["source"],
                commit.written_at,
                commit.version,
                row["lines"],
                row["in_silver"] or 0,
                row["n"] or 0,
                row["first_day"],
                row["last_day"],
                row["of_the_past"] or 0,
                row["amount_of_the_past"] or Decimal(0),
            )
        )
    return Listing(sorted(found, key=lambda file: file.version))


def restated(then: Lake, now: Lake) -> Listing[Restated]:
    """The months before the day asked about whose revenue (gold.daily_sales) is another now, and how many products that concerns."""
    from pyspark.sql import functions as F

    snapshot = then.snapshot()
    if snapshot is None:
        return Listing([], "nothing was published")
    parts: list[DataFrame] = []
    for name, lake in (("revenue_then", then), ("revenue_now", now)):
        days = lake.read(DAYS).where(f"day < DATE'{snapshot.as_of:%Y-%m-%d}'")
        summed = F.expr("cast(sum(revenue) AS decimal(18,4))").alias(name)
        parts.append(days.groupBy("month", "store", "product_code").agg(summed))
    both = parts[0].join(parts[1], ["month", "store", "product_code"], "full_outer").na.fill({"revenue_then": 0, "revenue_now": 0})
    money, other = "cast(sum({}) AS decimal(18,4)) AS {}", "sum(CASE WHEN revenue_then <> revenue_now THEN 1 ELSE 0 END) AS products"
    sums = [F.expr(money.format(name, name)) for name in ("revenue_then", "revenue_now")]
    months = both.groupBy("month").agg(*sums, F.expr(other)).where("products > 0").orderBy("month").toArrow().to_pylist()
    found = [
        Restated(row["month"], row["revenue_then"], row["revenue_now"], row["revenue_now"] - row["revenue_then"], row["products"])
        for row in months
    ]
    return Listing(found, "the past is what it was held to be")


def relied_on(lake: Lake) -> dict[tuple[str, int], tuple[str, ...]]:
    """Every pinned version, and every version of the newest snapshot: (table, version) → by whom."""
    found: dict[tuple[str, int], list[str]] = {}
    for pin in pins.every(lake.ops):
        found.setdefault((pin.table, pin.version), []).append(pin.owner)
    snapshot = lake.snapshot()
    if snapshot is not None:
        for name, version in snapshot.versions.items():
            found.setdefault((name, version), []).append(f"snapshot {snapshot.id}")
    return {key: tuple(dict.fromkeys(owners)) for key, owners in sorted(found.items())}


def whole(lake: Lake, versions: Iterable[tuple[str, int]] | None = None, keep: bool = True) -> Listing[Checked]:
    """Opens and reads every version that is relied on (or those given); a digest that is not kept yet is kept from then on, unless nothing is to be
    written (`keep`).

    Raises `EndpointDown` where the engine is what fails.
    """
    owners = relied_on(lake)
    wanted = owners if versions is None else {key: owners.get(key, ()) for key in versions}
    return Listing([_checked(lake, name, version, by, keep) for (name, version), by in wanted.items()], "no version is relied on yet")


def _checked(lake: Lake, name: str, version: int, by: tuple[str, ...], keep: bool) -> Checked:
    if name not in lake.catalog:
        return Checked(name, version, False, None, "", by, catalog.STRANGE)
    try:
        missing = delta.missing_files(lake.path(name), version)
        if missing:
            return Checked(
                name, version, False, None, "", by, f"{len(missing)} of its data files are not there, such as {Path(missing[0]).name}"
            )
        logged = delta.size(lake.path(name), version).rows
        found = lake.digest(name, version, full=True)
    except OtherSchema as error:
        return Checked(name, version, False, None, "", by, str(error))
    except Exception as error:
        meant = explain(error)
        if meant is not None and meant is not error:
            raise meant from error
        if isinstance(error, TryAgain):
            raise
        return Checked(name, version, False, None, "", by, f"it can't be read: {in_short(error)}")
    if found.rows != logged:
        return Checked(name, version, False, found.rows, found.digest, by, f"it has {found.rows:,} rows, the log says {logged:,}")
    kept = pins.record(lake.ops, found) if keep else pins.recorded(lake.ops).get((name, version), found)
    same = kept.digest == found.digest
    return Checked(name, version, same, found.rows, found.digest, by, "whole" if same else _changed(name, kept.digest))


def _changed(name: str, digest: str) -> str:
    is_made = catalog.table(name).kind == "derived"
    anew = "; what is published now is made anew from bronze by: zeromargin run --from-bronze" if is_made else ""
    return f"its digest was {digest[:12]}…, and is another: a data file holds what it did not. A backup has it as it was (zeromargin restore-backup){anew}"
