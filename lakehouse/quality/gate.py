"""The gate: pure decisions over counts and results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from lakehouse.errors import GateFailed
from lakehouse.quality.config import Distribution, Freshness
from lakehouse.quality.facts import Fact
from lakehouse.quality.report import QualityReport, explained

SHOWN = 5


@dataclass(frozen=True)
class Batch:
    """One newly landed file: its lines, how many of them were refused, and how many for each reason (a line may have several)."""

    file: str
    lines: int
    refused: int
    reasons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Trade:
    """Sales lines, what they brought in, and on how many days."""

    lines: int
    amount: Decimal
    days: int


def require(report: QualityReport) -> QualityReport:
    """The report, if no rule in it stops. Raises `GateFailed` with each that does: what was found, rows, examples."""
    if report.ok:
        return report
    said = [f"{result.table}: {explained(result)}" for result in report.failed[:SHOWN]]
    more = len(report.failed) - len(said)
    if more:
        said.append(f"and {more} more")
    listed = "\n".join(f"  {line}" for line in said)
    where = f" All rules: {report.docs}." if report.docs else ""
    raise GateFailed(
        f"{len(report.failed)} of {len(report.results)} quality rules stop run {report.run}; nothing is published:\n{listed}\n"
        "Take a file that is wrong out again and load it corrected (zeromargin unload, with the file or the first characters of its SHA-256), or "
        f"change the limit in conf/base/quality.yml.{where}"
    )


def worst_share(batches: Sequence[Batch], at_least: int, reason: str | None = None) -> Fact:
    """The largest share of a file's lines that were refused (for `reason`); files with fewer than `at_least` such lines are not judged."""
    shares = [(refused / batch.lines, refused, batch) for batch, refused in _refused(batches, reason) if refused >= at_least]
    if not shares:
        total = sum(refused for _, refused in _refused(batches, reason))
        return Fact(0.0, note=f"{total:,} lines of {sum(batch.lines for batch in batches):,}, too few to judge a file by")
    share, refused, batch = max(shares, key=lambda found: (found[0], found[2].file))
    return Fact(share, rows=refused, note=f"{share:.1%} of the {batch.lines:,} lines of file {batch.file[:12]}")


def days_behind(newest: date | None, as_of: datetime, limits: Freshness) -> Fact:
    """Days from the newest line to the day that the run was told; None when there is no line as late as the limits reach back."""
    if newest is None:
        return Fact(limits.stop_days + 1, note=f"no line in the {limits.stop_days} days before {as_of:%Y-%m-%d}")
    days = max(0, (as_of.date() - newest).days)
    return Fact(days, note=f"{days} days: the newest line is of {newest}, the run of {as_of:%Y-%m-%d}")


def compared(new: Trade, before: Trade, limits: Distribution) -> dict[str, Fact]:
    """The new sales over those before them, per line and per day; 1 where there are too few lines on either side to compare."""
    names = ("amount_per_line_as_before", "lines_per_day_as_before")
    if min(new.lines, before.lines) < limits.at_least or before.amount <= 0:
        few = Fact(1.0, note=f"{new.lines:,} new sales lines and {before.lines:,} before: too few to compare")
        return dict.fromkeys(names, few)
    amounts = new.amount / new.lines, before.amount / before.lines
    lines = new.lines / new.days, before.lines / before.days
    values = (float(amounts[0] / amounts[1]), lines[0] / lines[1])
    notes = (f"{amounts[0]:.2f} a line, {amounts[1]:.2f} before", f"{lines[0]:,.0f} lines a day, {lines[1]:,.0f} before")
    return {name: Fact(value, note=note) for name, value, note in zip(names, values, notes, strict=True)}


def _refused(batches: Iterable[Batch], reason: str | None) -> list[tuple[Batch, int]]:
    return [(batch, batch.refused if reason is None else batch.reasons.get(reason, 0)) for batch in batches]
