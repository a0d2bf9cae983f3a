"""The stage silver: new lines of bronze, split into good ones and quarantine, copies settled, cancellations linked."""

from __future__ import annotations

from dataclasses import dataclass, field

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.errors import StateError
from lakehouse.medallion import cancellations, lines
from lakehouse.quality import config
from lakehouse.quality.quarantine import split_rows
from lakehouse.tables import StageLake, delta

SALES, LINKS, QUARANTINE = "silver.sales", "silver.cancellations", "quarantine.sales"


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


def build(lake: StageLake) -> SilverReport:
    """Brings silver and quarantine up to the bronze version that the run resolved at its start."""
    if lake.run is None:
        raise StateError("silver is built within a run. Use: lake = lakehouse.stage('silver')")
    files, new = _new_lines(lake)
    if not files:
        return SilverReport(files=0, lines=0, written=0, repeats=0)
    good, refused = split_rows(new, config.load(lake.settings.profile).row_rules)
    candidates = lake.staged(lines.typed(good))
    is_first = delta.size(lake.path(SALES), lake.version(SALES)).files == 0
    existing = None if is_first else lake.read(SALES).drop("_run")
    settled = lines.settle(candidates, existing)
    kept, conflicts = lake.staged(settled.kept), lake.staged(settled.conflicts)
    quarantined = lake.staged(refused.unionByName(lines.as_quarantined(conflicts)))
    lake.writer.merge(SALES, kept)
    lake.writer.merge(QUARANTINE, quarantined)
    # A copy that took the place of another may have taken a sale or a return from the group that the other was in.
    cancelled = _link(lake, kept.unionByName(conflicts))
    # The other way round, a copy that was there already and lost its place is a conflict, but no line of these files.
    clashes = conflicts.where(F.col("_file").isin(*sorted(files))).count()
    total, written = new.count(), kept.count()
    reasons = quarantined.select(F.explode("reasons").alias("reason")).groupBy("reason").count().orderBy("reason").toArrow().to_pylist()
    return SilverReport(
        files=len(files),
        lines=total,
        written=written,
        repeats=candidates.count() - written - clashes,
        refused={row["reason"]: row["count"] for row in reasons},
        cancelled=cancelled,
        linked=delta.size(lake.path(LINKS), lake.version(LINKS)).rows,
    )


def _new_lines(lake: StageLake) -> tuple[set[str], DataFrame]:
    """Digests of the files that silver has not seen, and their lines."""
    assert lake.run is not None
    path = lake.path("bronze.sales")
    landed = delta.partition_values(path, "file_digest", lake.run.bronze)
    seen = set()
    if lake.run.base is not None:
        seen = delta.partition_values(path, "file_digest", lake.run.base.versions["bronze.sales"])
    bronze = lake.read("bronze.sales", version=lake.run.bronze)
    new = landed - seen
    return new, bronze if not seen else bronze.where(F.col("file_digest").isin(*sorted(new)))


def _link(lake: StageLake, kept: DataFrame) -> int:
    """Links anew the cancelled lines of every (customer, product, price) that `kept` touches. Returns how many such lines there are."""
    touched = kept.where("customer_key IS NOT NULL AND kind <> 'charge'").select(*cancellations.GROUP).distinct()
    mine = lake.read(SALES).join(touched, list(cancellations.GROUP), "left_semi")
    links = lake.staged(cancellations.link(mine))
    before = lake.read(LINKS).join(touched, list(cancellations.GROUP), "left_semi")
    gone = before.join(links, ["cancellation_line_id", "sale_line_id"], "left_anti")
    lake.writer.merge(LINKS, links, gone=gone)
    return lake.read(SALES).where("kind = 'return'").count()
