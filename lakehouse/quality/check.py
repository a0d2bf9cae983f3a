"""Judges silver, quarantine and gold as a run left them: computes facts, asks the suites, writes the pages, decides."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lakehouse.engine import explain
from lakehouse.quality import config, examples, facts, gate, landed, scope, suites, validation
from lakehouse.quality.config import Quality
from lakehouse.quality.facts import Fact
from lakehouse.quality.report import QualityReport, RuleResult
from lakehouse.quality.scope import Scope
from lakehouse.quality.suites import QUARANTINE, SALES, Ask
from lakehouse.quality.validation import Outcome, Subject, not_run
from lakehouse.tables import delta
from lakehouse.tables.catalog import Table

if TYPE_CHECKING:
    from lakehouse.tables import Lake

PAGE = "report.html"


@dataclass
class Found:
    """The facts of one table, and why some of them are missing."""

    facts: dict[str, Fact] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def gather(self, source: Callable[[], Mapping[str, Fact]]) -> None:
        """Adds what `source` finds. What can't be computed is missing, and its rules count as broken."""
        try:
            self.facts |= source()
        except Exception as error:
            _raise_if_engine(error)
            self.failures.append(f"{type(error).__name__}: {error}")


def check(lake: Lake, everything: bool = False) -> QualityReport:
    """The report of all rules, shown in home/docs/<run>/report.html and kept beside it as quality.json.

    Judges the months and files that the lake's run wrote (all of them where asked, or where no run is bound). Raises `GateFailed` after
    the pages are written if a rule that stops failed: its rule, rows and examples.
    """
    return gate.require(judge(lake, everything))


def judge(lake: Lake, everything: bool = False) -> QualityReport:
    """The same, without the decision."""
    quality = config.load(lake.settings.profile)
    judged = scope.of_lake(lake, everything)
    asks = suites.asks(quality)
    found = {table.name: _facts(lake, table, judged, quality) for table in suites.judged_tables()}
    subjects = {name: Subject(lake.read(name).where(judged.of_table(name)), mine.facts) for name, mine in found.items()}
    docs, pages = lake.home / "docs" / judged.run, lake.settings.quality.pages
    shutil.rmtree(docs, ignore_errors=True)
    docs.mkdir(parents=True)
    outcomes = validation.validate(asks, subjects, docs if pages else None)
    results = tuple(_result(ask, outcomes.get(ask.id), found[ask.table], lake, judged, quality) for ask in asks)
    made = QualityReport(judged.run, results, str((docs / PAGE).relative_to(lake.home)))
    (docs / PAGE).write_text(made.page(pages), encoding="utf-8")
    (docs / "quality.json").write_text(json.dumps(made.to_json(), indent=1, sort_keys=True), encoding="utf-8")
    return made


def _facts(lake: Lake, table: Table, judged: Scope, quality: Quality) -> Found:
    found, terms = Found(), quality.tables.get(table.name, config.TableTerms())
    rows = lake.read(table.name).where(judged.of_table(table.name))
    found.gather(lambda: {"types": facts.mistyped(rows, table)})
    found.gather(lambda: {"rows": Fact(delta.size(lake.path(table.name), lake.version(table.name)).rows)})
    found.gather(lambda: {"key_unique": facts.repeated_keys(rows, table)})
    found.gather(lambda: facts.missing_values(rows, table))
    found.gather(lambda: facts.broken_rows(rows, terms))
    below = terms.below
    if below is not None:
        # A table without days is judged as a whole, so all of the layer below is beside it.
        there = lake.read(below.table).where(judged.of_table(below.table) if scope.has_days(table.name) else "true")
        found.gather(lambda: facts.against_below(rows, there, below))
    if table.name == SALES:
        found.gather(lambda: landed.against_bronze(lake, judged))
        found.gather(lambda: landed.freshness(lake, judged, quality))
        found.gather(lambda: landed.distribution(lake, judged, quality))
    if table.name == QUARANTINE:
        found.gather(lambda: landed.refused_shares(lake, judged, quality))
    return found


def _result(ask: Ask, outcome: Outcome | None, found: Found, lake: Lake, judged: Scope, quality: Quality) -> RuleResult:
    """One result per rule asked for, whatever came back."""
    fact = found.facts.get(ask.rule) if ask.on == "facts" else None
    if outcome is None:
        outcome = not_run("it has no result")
    elif outcome.error is not None:
        _raise_if_engine(RuntimeError(outcome.error))
    if ask.on == "facts" and fact is None:
        outcome = not_run("; ".join(found.failures) or "it has no fact to judge")
    observed, rows = outcome.observed, outcome.rows
    if fact is not None:
        observed, rows = fact.note or str(fact.value), fact.rows
    shown = () if outcome.ok else _examples(ask, lake, judged, quality)
    return RuleResult(ask.table, ask.rule, outcome.ok, observed, ask.expected, rows, shown, ask.severity, ask.about)


def _examples(ask: Ask, lake: Lake, judged: Scope, quality: Quality) -> tuple[Mapping[str, str], ...]:
    """Failing rows to look at. Where they can't be had the rule has failed all the same."""
    try:
        return examples.of(ask, lake, judged, quality)
    except Exception as error:
        _raise_if_engine(error)
        return ()


def _raise_if_engine(error: Exception) -> None:
    """A dead or exhausted engine is no verdict on the data: it is raised as what it is."""
    meant = explain(error)
    if meant is not None:
        raise meant from error
