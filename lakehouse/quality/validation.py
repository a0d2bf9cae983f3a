"""The one module that runs Great Expectations: suites over frames, their results, and the pages that show them.

Its context lives in memory; only the pages are written. The library is imported where it is used, since that takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import TryAgain
from lakehouse.quality import importing
from lakehouse.quality.facts import Fact
from lakehouse.quality.suites import Ask, below_name

if TYPE_CHECKING:
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult, ExpectationValidationResult
    from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext
    from pyspark.sql import DataFrame

SITE = "quality"


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


def validate(asks: Sequence[Ask], subjects: Mapping[str, Subject], docs: Path | None) -> dict[tuple[str, str], Outcome]:
    """Asks everything and writes the pages to `docs` (index.html), if any are wanted. The outcomes are those that came back: an expectation that was
    asked for and is missing here has not run.

    Each table's rows are a suite of their own, and the facts of all tables one: a suite and its page cost more than to judge a number.
    """
    context = _context(docs)
    rows = context.data_sources.add_or_update_spark("lake")
    found: dict[tuple[str, str], Outcome] = {}
    for table, subject in subjects.items():
        mine = [ask for ask in asks if ask.table == table and ask.on == "rows"]
        if mine:
            batch = rows.add_dataframe_asset(table).add_batch_definition_whole_dataframe("judged rows")
            found |= _run(context, f"{table} rows", batch, subject.rows, mine)
    known = [ask for ask in asks if ask.on == "facts" and ask.table in subjects and ask.rule in subjects[ask.table].facts]
    if known:
        asset = context.data_sources.add_or_update_pandas("facts").add_dataframe_asset("all tables")
        batch = asset.add_batch_definition_whole_dataframe("facts")
        found |= _run(context, "facts", batch, _fact_frame(subjects), [_of_all_tables(ask) for ask in known])
    if docs is not None:
        context.build_data_docs([SITE])
    return found


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
    context: EphemeralDataContext, name: str, batch: BatchDefinition[None], frame: object, asks: Sequence[Ask]
) -> dict[tuple[str, str], Outcome]:
    from great_expectations import ExpectationSuite, ValidationDefinition
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    suite = context.suites.add(ExpectationSuite(name=name))
    for ask in asks:
        meta = {"table": ask.table, "rule": ask.rule, "notes": {"format": "string", "content": [ask.about]}}
        suite.add_expectation_configuration(ExpectationConfiguration(type=ask.check, kwargs=dict(ask.arguments), meta=meta))
    suite.save()
    validation = context.validation_definitions.add(ValidationDefinition(name=name, data=batch, suite=suite))
    try:
        # No failing values are asked for: they could be people, and the pages show them.
        shape = {"result_format": "BASIC", "partial_unexpected_count": 0}
        result = validation.run(batch_parameters={"dataframe": frame}, result_format=shape)
    except TryAgain:
        raise
    except Exception as error:  # whatever it is, these rules did not run, and that counts as broken
        return {(ask.table, ask.rule): not_run(f"{type(error).__name__}: {error}") for ask in asks}
    return _outcomes(result)


def _outcomes(result: ExpectationSuiteValidationResult) -> dict[tuple[str, str], Outcome]:
    found = {}
    for one in result.results:
        meta = one.expectation_config.meta if one.expectation_config is not None else None
        if meta and "rule" in meta:
            found[str(meta["table"]), str(meta["rule"])] = _outcome(one)
    return found


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


def _of_all_tables(ask: Ask) -> Ask:
    """The ask of a table's facts, of the frame that holds those of all tables."""
    columns = {name: f"{ask.table} {value}" for name, value in ask.arguments.items() if name.startswith("column")}
    return replace(ask, arguments=dict(ask.arguments) | columns)


def _fact_frame(subjects: Mapping[str, Subject]) -> object:
    """One row, a column per table and fact."""
    import pandas

    columns: dict[str, list[object]] = {}
    for table, subject in subjects.items():
        for rule, fact in subject.facts.items():
            columns[f"{table} {rule}"] = [fact.value]
            if fact.below is not None:
                columns[f"{table} {below_name(rule)}"] = [fact.below]
    return pandas.DataFrame(columns, index=[0])
