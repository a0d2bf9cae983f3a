"""What landed, and where it went: the facts that silver and quarantine owe to bronze."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from lakehouse.quality import gate
from lakehouse.quality.config import Quality
from lakehouse.quality.facts import Fact, breaking, equality, single_row, whole
from lakehouse.quality.gate import Batch, Trade
from lakehouse.quality.scope import Scope
from lakehouse.quality.suites import QUARANTINE, SALES, equal_rule, share_rule
from lakehouse.tables.catalog import BRONZE

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from lakehouse.tables import Lake

# Conditions over the rows of `whereabouts`.
LOST = "kept_line IS NULL AND quarantined IS NULL"
KEPT = "coalesce(kept_file = file_digest AND kept_line = line_number, false)"
IN_BOTH = f"{KEPT} AND quarantined IS NOT NULL"


def whereabouts(lake: Lake, scope: Scope) -> DataFrame:
    """One row per accepted line of a newly landed file: the line of silver with its id, if there is one, and whether it was quarantined."""
    accepted = (
        _new(lake, scope)
        .where("size(reasons) = 0")
        .select("file_digest", "line_number", "line_id", "product_code", "description", "quantity", "unit_price", "amount", "sold_at")
    )
    silver = lake.read(SALES).where(_months_of(accepted, scope)).selectExpr("line_id", "_file AS kept_file", "_line AS kept_line")
    refused = lake.read(QUARANTINE).where(scope.of_files("file_digest")).selectExpr("file_digest", "line_number", "stage AS quarantined")
    return accepted.join(silver, "line_id", "left").join(refused, ["file_digest", "line_number"], "left")


def against_bronze(lake: Lake, scope: Scope) -> dict[str, Fact]:
    """That no accepted line was lost or is in two places, and that the kept ones have bronze's sums."""
    kept = {"lines": "1", "units": "quantity", "amount": "amount"}
    sums = {name: f"sum(CASE WHEN {KEPT} THEN {column} END)" for name, column in kept.items()}
    counts = {"lost": f"sum(CASE WHEN {LOST} THEN 1 ELSE 0 END)", "both": f"sum(CASE WHEN {IN_BOTH} THEN 1 ELSE 0 END)"}
    bronze = single_row(whereabouts(lake, scope), sums | counts)
    mine = lake.read(SALES).where(scope.of_table(SALES)).where(scope.of_files("_file"))
    silver = single_row(mine, {"lines": "count(1)", "units": "sum(quantity)", "amount": "sum(amount)"})
    facts = {"no_line_lost": breaking(bronze["lost"]), "no_line_in_both": breaking(bronze["both"])}
    return facts | {equal_rule(name, BRONZE): equality(silver[name], bronze[name]) for name in kept}


def freshness(lake: Lake, scope: Scope, quality: Quality) -> dict[str, Fact]:
    """How far the newest line lies behind the run's day. Lines after that day (a back-test has them) are not looked at."""
    limits = quality.freshness
    until = scope.as_of.date()
    month = (until - timedelta(days=limits.stop_days + 1)).strftime("%Y-%m")
    recent = lake.read(SALES).where(f"month >= '{month}' AND day <= DATE'{until}'")
    row = single_row(recent, {"newest": "max(CASE WHEN covers = 'week' THEN date_add(day, 6) ELSE day END)"})
    newest = row["newest"]
    fact = gate.days_behind(newest if isinstance(newest, date) else None, scope.as_of, limits)
    return {"fresh": fact, "not_abandoned": fact}


def distribution(lake: Lake, scope: Scope, quality: Quality) -> dict[str, Fact]:
    """The sales lines that this run wrote beside the days of gold that it left alone."""
    new = lake.read(SALES).where(scope.of_table(SALES)).where(f"_run = '{scope.run}' AND kind = 'sale'")
    before = lake.read("gold.daily_sales").where(f"_run <> '{scope.run}'")
    return gate.compared(
        _trade(single_row(new, {"lines": "count(1)", "amount": "sum(amount)", "days": "count(DISTINCT day)"})),
        _trade(single_row(before, {"lines": "sum(lines)", "amount": "sum(revenue)", "days": "count(DISTINCT day)"})),
        quality.distribution,
    )


def refused_shares(lake: Lake, scope: Scope, quality: Quality) -> dict[str, Fact]:
    """The worst shares of refused lines among the newly landed files, and that all the door's refusals are there."""
    batches, at_door, quarantined = _batches(lake, scope)
    limits = quality.quarantine
    facts = {"refused_share": gate.worst_share(batches, limits.at_least)}
    facts |= {share_rule(reason): gate.worst_share(batches, limits.at_least, reason) for reason in limits.reasons}
    return facts | {equal_rule("door_lines", BRONZE): equality(quarantined, at_door)}


def _batches(lake: Lake, scope: Scope) -> tuple[list[Batch], int, int]:
    """Newly landed files, how many of their lines the door refused, and how many of those are in quarantine."""
    from pyspark.sql import functions as F

    refused_at_door = F.sum(F.when(F.size("reasons") > 0, 1).otherwise(0)).alias("door")
    landed = _new(lake, scope).groupBy("file_digest").agg(F.count(F.lit(1)).alias("lines"), refused_at_door).toArrow().to_pylist()
    mine = lake.read(QUARANTINE).where(scope.of_files("file_digest"))
    at_door = F.sum(F.when(F.col("stage") == "door", 1).otherwise(0)).alias("door")
    refused = mine.groupBy("file_digest").agg(F.count(F.lit(1)).alias("lines"), at_door).toArrow().to_pylist()
    exploded = mine.select("file_digest", F.explode("reasons").alias("reason"))
    counted = exploded.groupBy("file_digest", "reason").count().toArrow().to_pylist()
    refused_lines = {row["file_digest"]: row["lines"] for row in refused}
    reasons: dict[str, dict[str, int]] = {}
    for row in counted:
        reasons.setdefault(row["file_digest"], {})[row["reason"]] = row["count"]
    batches = [
        Batch(row["file_digest"], row["lines"], refused_lines.get(row["file_digest"], 0), reasons.get(row["file_digest"], {}))
        for row in landed
    ]
    return batches, sum(row["door"] for row in landed), sum(row["door"] for row in refused)


def _new(lake: Lake, scope: Scope) -> DataFrame:
    return lake.read(BRONZE, version=scope.bronze).where(scope.of_files("file_digest"))


def _months_of(lines: DataFrame, scope: Scope) -> str:
    """SQL for the months in which copies of the lines can be, so that not all of silver is read for one new file."""
    from pyspark.sql import functions as F

    if scope.files is None:
        return "true"
    found = lines.select(F.date_format("sold_at", "yyyy-MM").alias("month")).distinct().toArrow().column("month").to_pylist()
    months = ", ".join(f"'{month}'" for month in sorted(month for month in found if month is not None))
    return f"month IN ({months})" if months else "false"


def _trade(row: dict[str, object]) -> Trade:
    amount = row["amount"]
    return Trade(whole(row["lines"]), amount if isinstance(amount, Decimal) else Decimal(0), whole(row["days"]))
