"""The stage silver: new lines of bronze, split into good ones and quarantine, copies settled, cancellations linked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.errors import InputError, StateError
from lakehouse.ingest import sources
from lakehouse.medallion import cancellations, corrected, lines
from lakehouse.quality import config
from lakehouse.quality.quarantine import CONFLICT, split_rows
from lakehouse.tables import StageLake, delta
from lakehouse.tables.catalog import BRONZE
from lakehouse.tables.staging import Staged
from lakehouse.tables.writer import Within

SALES, LINKS, QUARANTINE = "silver.sales", "silver.cancellations", "quarantine.sales"
FEW = 0.05  # of all candidates: so many copies can be left out while the others are read


@dataclass(frozen=True)
class SilverReport:
    """What one run did: lines read of how many files, written, left out as repeats, refused by reason; cancelled lines and linked ones."""

    files: int
    lines: int
    written: int
    repeats: int
    refused: dict[str, int] = field(default_factory=dict)
    cancelled: int = 0
    linked: int = 0


@dataclass(frozen=True)
class _Copies:
    """Copies of lines: new ones that say the same as what is kept, new ones that say otherwise, and lines of silver that lost their place to one."""

    repeats: int
    conflicts: int
    displaced: int

    @classmethod
    def counted(cls, copies: DataFrame) -> _Copies:
        rows = copies.groupBy("is_new", "outcome").count().toArrow().to_pylist()
        of = {(row["is_new"], row["outcome"]): row["count"] for row in rows}
        return cls(of.get((True, lines.REPEATS), 0), of.get((True, lines.CONTRADICTS), 0), of.get((False, lines.CONTRADICTS), 0))


def build(lake: StageLake) -> SilverReport:
    """Brings silver and quarantine up to the bronze version that the run resolved at its start."""
    if lake.run is None:
        raise StateError("silver is built within a run. Use: lake = lakehouse.stage('silver')")
    files = _new_files(lake)
    if not files:
        return SilverReport(files=0, lines=0, written=0, repeats=0)
    new = lake.read(BRONZE, version=lake.run.bronze).where(F.col("file_digest").isin(*sorted(files)))
    good, refused = split_rows(new, config.load(lake.settings.profile).row_rules)
    beside = _taken_from_beside(lake)
    candidates, replaced = _candidates(lake, good, beside)
    is_first = delta.size(lake.path(SALES), lake.version(SALES)).files == 0
    months = None if is_first else _months_of_copies(good)
    existing = None if is_first else _among(lake, months)
    settled = lines.settle(candidates.frame, existing, beside, once=lambda frame: lake.staged(frame).frame)
    copies = _Copies.counted(settled.copies)
    kept = _kept(lake, settled, candidates.rows, copies, is_first)
    conflicts = _with_repeats(lake, settled, beside) if copies.displaced else settled.conflicts
    refused = refused.unionByName(lines.as_quarantined(conflicts, CONFLICT))
    if replaced is not None and replaced.rows:
        silver = kept.frame if existing is None else kept.frame.unionByName(existing)
        refused = refused.unionByName(corrected.as_quarantined(replaced.frame, silver, beside))
    quarantined = lake.staged(refused)
    lake.writer.merge(SALES, kept, within=None if months is None else Within("month", months))
    lake.writer.merge(QUARANTINE, quarantined)
    # A copy that took the place of another may have taken a sale or a return from the group that the other was in.
    _link(lake, kept.frame.unionByName(settled.conflicts))
    return SilverReport(
        files=len(files),
        lines=sum(files.values()),
        written=kept.rows,
        repeats=copies.repeats,
        refused=_reasons(quarantined),
        cancelled=lake.read(SALES).where("kind = 'return'").count(),
        linked=delta.size(lake.path(LINKS), lake.version(LINKS)).rows,
    )


def _new_files(lake: StageLake) -> dict[str, int]:
    """Digests of the files that silver has not seen, and how many lines each has."""
    assert lake.run is not None
    landed = delta.partition_rows(lake.path(BRONZE), "file_digest", lake.run.bronze)
    base = lake.run.base
    seen = set() if base is None else delta.partition_values(lake.path(BRONZE), "file_digest", base.versions[BRONZE])
    return {digest: rows for digest, rows in landed.items() if digest not in seen}


def _months_of_copies(good: DataFrame) -> list[str] | None:
    """The months in which copies of these lines of bronze can be: their own, where the time of sale is part of every line's id. Else None."""
    is_dated, month = F.coalesce("_dated", F.lit(False)).alias("is_dated"), F.date_format("sold_at", "yyyy-MM").alias("month")
    found = good.select(is_dated, month).distinct().toArrow().to_pylist()
    return sorted({row["month"] for row in found}) if found and all(row["is_dated"] for row in found) else None


def _among(lake: StageLake, months: list[str] | None) -> DataFrame:
    """The lines that silver has, of these months or all."""
    existing = lake.read(SALES).drop("_run")
    return existing if months is None else existing.where(F.col("month").isin(*months))


def _candidates(lake: StageLake, good: DataFrame, beside: Mapping[str, Collection[str]]) -> tuple[Staged, Staged | None]:
    """Good lines of bronze as lines of silver, and apart from them those that a correction stands for."""
    typed = lines.typed(good)
    replaced = corrected.among(lake, typed, beside)
    return lake.staged(typed if replaced is None else typed.join(replaced.frame, corrected.PLACE, "left_anti")), replaced


def _kept(lake: StageLake, settled: lines.Settled, candidates: int, copies: _Copies, is_first: bool) -> Staged:
    """The lines to be written. All but a few candidates of a first build need not be written into files once more. What MERGE reads must be: it goes by
    how many rows files say that they have, and holds all of silver in memory where nothing says it."""
    rows = candidates - copies.repeats - copies.conflicts
    is_nearly_all = is_first and copies.repeats + copies.conflicts <= candidates * FEW
    return Staged(settled.kept, rows) if is_nearly_all else lake.staged(settled.kept)


def _with_repeats(lake: StageLake, settled: lines.Settled, beside: Mapping[str, Collection[str]]) -> DataFrame:
    """The conflicts, and with a line of silver that lost its place also those that were left out as its repeats: they differ from what took it, too.

    What was judged by rules that have changed since stays as it was judged: no line is taken out of silver or quarantine here.
    """
    assert lake.run is not None
    displaced = settled.copies.where((F.col("outcome") == lines.CONTRADICTS) & ~F.col("is_new")).select("line_id").distinct()
    copies = lake.read(BRONZE, version=lake.run.bronze).join(displaced, "line_id", "left_semi")
    good, _ = split_rows(copies, config.load(lake.settings.profile).row_rules)
    candidates, _ = _candidates(lake, good, beside)
    anew = lines.settle(candidates.frame, None, beside, once=lambda frame: lake.staged(frame).frame)
    there = ["_file", "_line"]
    held = lake.read(QUARANTINE).select(F.col("file_digest").alias("_file"), F.col("line_number").alias("_line"))
    known = held.unionByName(settled.kept.select(*there)).unionByName(settled.conflicts.select(*there))
    return settled.conflicts.unionByName(anew.conflicts.join(known, there, "left_anti"))


def _taken_from_beside(lake: StageLake) -> dict[str, frozenset[str]]:
    """What the lines of a source have from a table beside them, which may say something else another time. Raises what is wrong with the entry
    of a source that has landed."""
    found: dict[str, frozenset[str]] = {}
    for name, one in sources.every(lake.settings.profile).items():
        if isinstance(one, InputError):
            if not lake.read(BRONZE).where(F.col("source") == name).isEmpty():
                raise one
        elif one.beside is not None:
            found[name] = frozenset(one.beside.columns.values())
    return found


def _link(lake: StageLake, changed: DataFrame) -> None:
    """Links anew the returns that the changed lines can have to do with: of the same customer, product and price, and not before them."""
    ours = changed.where("customer_key IS NOT NULL AND kind <> 'charge'")
    since = ours.agg(F.min("sold_at").alias("since")).toArrow().column("since")[0].as_py()
    if since is None:
        return
    known = lake.read(SALES).where("customer_key IS NOT NULL").select(*cancellations.READ, "month")
    later = known.where((F.col("month") >= f"{since:%Y-%m}") & (F.col("kind") == "return")).drop("month")
    returns = lake.staged(later.join(ours.select(*cancellations.GROUP), list(cancellations.GROUP), "left_semi"))
    before = None
    if delta.size(lake.path(LINKS), lake.version(LINKS)).rows:
        concerned = ours.select("line_id").unionByName(returns.frame.select("line_id")).withColumnRenamed("line_id", "cancellation_line_id")
        before = lake.read(LINKS).join(concerned, "cancellation_line_id", "left_semi")
    if not returns.rows and before is None:
        return
    sales = known.drop("month").where("kind = 'sale'").join(returns.frame, list(cancellations.GROUP), "left_semi")
    links = lake.staged(cancellations.link(returns.frame.unionByName(sales)))
    gone = None if before is None else lake.staged(before.join(links.frame, ["cancellation_line_id", "sale_line_id"], "left_anti"))
    lake.writer.merge(LINKS, links, gone=gone.frame if gone is not None and gone.rows else None)


def _reasons(quarantined: Staged) -> dict[str, int]:
    if not quarantined.rows:
        return {}
    counted = quarantined.frame.select(F.explode("reasons").alias("reason")).groupBy("reason").count().orderBy("reason")
    return {row["reason"]: row["count"] for row in counted.toArrow().to_pylist()}
