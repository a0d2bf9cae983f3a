"""The one module that runs Great Expectations: suites over frames, their results, and the pages that show them.

Its context lives in memory; only the pages are written. The library is imported where it is used, since that takes seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import TryAgain
from lakehouse.quality import importing
from lakehouse.quality.facts import Fact
from lakehouse.quality.suites import Ask, RuleId

if TYPE_CHECKING:
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult
    from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext
    from pyspark.sql import DataFrame

SITE = "quality"
# Of rows no failing values are asked for: they could be people, and the pages show them. Of facts those that fail, by name.
OF_ROWS: dict[str, object] = {"result_format": "BASIC", "partial_unexpected_count": 0}
OF_FACTS: dict[str, object] = {"result_format": "COMPLETE", "unexpected_index_column_names": ["table", "rule"]}


@dataclass(frozen=True)
class Outcome:
    """What became of one expectation. `rows` is how many rows failed it, where it is about rows; `error` why it did not run."""

    ok: bool
    observed: str
    rows: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class Subject:
    """What one table's expectations are asked of: the rows that are judged, and the facts by rule."""

    rows: DataFrame
    facts: Mapping[str, Fact]


@dataclass(frozen=True)
class _Expectation:
    """One expectation as Great Expectations is given it, and the asks that it answers: one of a table's rows, or all whose facts must be alike."""

    check: str
    arguments: Mapping[str, object]
    asks: tuple[Ask, ...]

    @property
    def words(self) -> str:
        """What the pages say: each rule, and what it is about."""
        said = "; ".join(f"{ask.table} {ask.rule}: {ask.about}" for ask in self.asks)
        return said.replace("$", "$$")  # a template of theirs


def validate(asks: Sequence[Ask], subjects: Mapping[str, Subject], docs: Path | None) -> dict[RuleId, Outcome]:
    """Asks everything and writes the pages to `docs` (index.html), if any are wanted. The outcomes are those that came back: an expectation that was
    asked for and is missing here has not run.

    Each table's rows are a suite of their own, and the facts of all tables one, of few expectations: one costs more than to judge a hundred numbers.
    """
    context = _context(docs)
    found: dict[RuleId, Outcome] = {}
    for table, subject in subjects.items():
        mine = [_Expectation(ask.check, ask.arguments, (ask,)) for ask in asks if ask.table == table and ask.on == "rows"]
        if mine:
            lake = context.data_sources.add_or_update_spark("lake")  # asks for a session, which those who judge no rows have not
            batch = lake.add_dataframe_asset(table).add_batch_definition_whole_dataframe("judged rows")
            found |= _run(context, f"{table} rows", batch, subject.rows, mine, OF_ROWS)
    facts = {ask.id: fact for ask in asks if ask.on == "facts" and (fact := _fact(subjects, ask)) is not None}
    if facts:
        asset = context.data_sources.add_or_update_pandas("facts").add_dataframe_asset("all tables")
        batch = asset.add_batch_definition_whole_dataframe("facts")
        alike = _alike([ask for ask in asks if ask.id in facts])
        found |= _run(context, "facts", batch, _fact_frame(facts, alike), alike, OF_FACTS)
    if docs is not None:
        context.build_data_docs([SITE])
        _clear_pictures(docs)
    return found


def _clear_pictures(docs: Path) -> None:
    """Takes away the library's own pictures that no page shows: they are three quarters of what each run's pages take on disk."""
    said = "".join(page.read_text(encoding="utf-8") for page in docs.rglob("*.html"))
    for picture in (docs / "static" / "images").glob("*"):
        if picture.name not in said:
            picture.unlink()


def _context(docs: Path | None) -> EphemeralDataContext:
    library = importing.great_expectations()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context: EphemeralDataContext = library.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    for name in list(context.get_site_names()):
        context.delete_data_docs_site(name)
    if docs is not None:
        store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs)}
        index = {"class_name": "DefaultSiteIndexBuilder"}
        context.add_data_docs_site(SITE, {"class_name": "SiteBuilder", "store_backend": store, "site_index_builder": index})
    return context


def _run(
    context: EphemeralDataContext,
    name: str,
    batch: BatchDefinition[None],
    frame: object,
    expectations: Sequence[_Expectation],
    shape: dict[str, object],
) -> dict[RuleId, Outcome]:
    """The outcomes by table and rule."""
    from great_expectations import ExpectationSuite, ValidationDefinition
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    suite = context.suites.add(ExpectationSuite(name=name))
    for number, one in enumerate(expectations):
        configuration = ExpectationConfiguration(type=one.check, kwargs=dict(one.arguments), meta={"number": number}, description=one.words)
        suite.add_expectation_configuration(configuration)
    suite.save()
    validation = context.validation_definitions.add(ValidationDefinition(name=name, data=batch, suite=suite))
    try:
        results = validation.run(batch_parameters={"dataframe": frame}, result_format=shape).results
    except TryAgain:
        raise
    except Exception as error:  # whatever it is, these rules did not run, and that counts as broken
        reason = not_run(f"{type(error).__name__}: {error}")
        return {ask.id: reason for one in expectations for ask in one.asks}
    found: dict[RuleId, Outcome] = {}
    for result in results:
        meta = result.expectation_config.meta if result.expectation_config is not None else None
        if meta and "number" in meta:
            found |= _outcomes(expectations[meta["number"]], result)
    return found


def _outcomes(expectation: _Expectation, result: ExpectationValidationResult) -> dict[RuleId, Outcome]:
    """Of facts, those rules have failed whose rows of the frame are named, and all where none is."""
    whole = _outcome(result)
    asked = [ask.id for ask in expectation.asks]
    named = {(one["table"], one["rule"]) for one in result.result.get("unexpected_index_list") or ()}
    if whole.ok or whole.error is not None or named.isdisjoint(asked):
        return dict.fromkeys(asked, whole)
    return {rule: Outcome(rule not in named, "") for rule in asked}


def _outcome(result: ExpectationValidationResult) -> Outcome:
    raised = _raised(result.exception_info)
    if raised is not None:
        return not_run(raised)
    values = result.result
    if "unexpected_count" in values:
        rows = int(values["unexpected_count"] or 0)  # over no rows, Great Expectations counts None
        return Outcome(
            bool(result.success), "every row keeps it" if rows == 0 else f"{rows:,} of {values['element_count']:,} rows break it", rows
        )
    observed = values.get("observed_value")
    said = ", ".join(map(str, observed)) if isinstance(observed, list) else str(observed)
    return Outcome(bool(result.success), said)


def _raised(info: Mapping[str, object] | None) -> str | None:
    """The exception's message; Great Expectations keeps it flat, or below the name of each metric."""
    if not info:
        return None
    if "raised_exception" in info:
        return str(info.get("exception_message")) if info["raised_exception"] else None
    messages = (_raised(below) for below in info.values() if isinstance(below, Mapping))
    return next((message for message in messages if message is not None), None)


def not_run(reason: str) -> Outcome:
    """The outcome of a rule that could not be evaluated: broken."""
    first = next(iter(reason.strip().splitlines()), "no reason given")[:300]
    return Outcome(False, f"it did not run: {first}", error=reason)


def _fact(subjects: Mapping[str, Subject], ask: Ask) -> Fact | None:
    """What was found for the rule; nothing where a part of it is missing or no number, which Great Expectations would pass over."""
    fact = subjects[ask.table].facts.get(ask.rule) if ask.table in subjects else None
    if fact is None or fact.value is None or fact.value != fact.value or (_is_pair(ask.check) and fact.below is None):
        return None
    return fact


def _is_pair(check: str) -> bool:
    return check.startswith("expect_column_pair_")


def _alike(asks: Iterable[Ask]) -> list[_Expectation]:
    """One expectation for all asks of facts that are alike but for the rule."""
    groups: dict[tuple[str, str], list[Ask]] = {}
    for ask in asks:
        groups.setdefault((ask.check, json.dumps(ask.arguments)), []).append(ask)
    return [_Expectation(check, _on_columns(check, json.loads(arguments)), tuple(mine)) for (check, arguments), mine in groups.items()]


def _on_columns(check: str, arguments: dict[str, object]) -> dict[str, object]:
    """With the columns of the frame that this expectation and no other looks at, named by what it asks of them."""
    if _is_pair(check):
        return {"column_A": "here", "column_B": "in the layer below", "ignore_row_if": "either_value_is_missing"} | arguments
    return {"column": ", ".join(f"{name} {value}" for name, value in arguments.items())} | arguments


def _fact_frame(facts: Mapping[RuleId, Fact], expectations: Sequence[_Expectation]) -> object:
    """One row per table and rule. Each expectation has columns of its own, which are empty in the rows of others' rules: those it passes over."""
    import pandas

    rows: list[dict[str, object]] = []
    for one in expectations:
        for ask in one.asks:
            fact = facts[ask.id]
            found = {"column": fact.value, "column_A": fact.value, "column_B": fact.below}
            cells = {str(one.arguments[name]): value for name, value in found.items() if name in one.arguments}
            rows.append({"table": ask.table, "rule": ask.rule, **cells})
    return pandas.DataFrame(rows)
