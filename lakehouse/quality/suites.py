"""What is asked of each table: a list of expectations made from the catalog and quality.yml. Nothing is computed here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from lakehouse.errors import SettingsError, UnknownName
from lakehouse.quality.config import Quality, TableTerms
from lakehouse.tables import catalog
from lakehouse.tables.catalog import BRONZE, Table

Severity = Literal["stop", "warn"]
RuleId = tuple[str, str]
SALES, QUARANTINE = "silver.sales", "quarantine.sales"
LAYERS = ("silver", "quarantine", "gold")


@dataclass(frozen=True)
class Ask:
    """One expectation of one table.

    `check` is the expectation's type in Great Expectations, asked of the table's `rows` or of its `facts` (numbers that one pass over the
    table gave; its `arguments` then name no column). `breaks` is SQL that is true for the rows that fail it, where single rows can.
    """

    table: str
    rule: str
    about: str
    expected: str
    check: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    on: Literal["rows", "facts"] = "rows"
    severity: Severity = "stop"
    breaks: str | None = None

    @property
    def id(self) -> RuleId:
        """Table and rule."""
        return self.table, self.rule


def judged_tables() -> tuple[Table, ...]:
    """The tables that have a suite, the layer below first."""
    found = [table for table in catalog.load().values() if table.layer in LAYERS]
    return tuple(sorted(found, key=lambda table: LAYERS.index(table.layer)))


def asks(quality: Quality) -> tuple[Ask, ...]:
    """Every expectation, table by table.

    Raises `SettingsError` where two rules of a table have one name, `UnknownName` where `warn` names a rule that no table has.
    """
    found = tuple(ask for table in judged_tables() for ask in _of_table(table, quality))
    for (table, rule), times in Counter(ask.id for ask in found).items():
        if times > 1:
            raise SettingsError(f'table {table} has {times} rules named "{rule}". Give the one in quality.yml another name')
    for table, rules in quality.warn.items():
        known = {ask.rule for ask in found if ask.table == table}
        for rule in rules:
            if rule not in known:
                raise UnknownName("rule", rule, known, where=f"warn of {table} in quality.yml")
    return found


def _of_table(table: Table, quality: Quality) -> Iterator[Ask]:
    terms = quality.tables.get(table.name, TableTerms())
    special = {SALES: _sales, QUARANTINE: _quarantine}
    makers = [_of_catalog(table), _of_terms(table, terms)]
    if table.name in special:
        makers.append(special[table.name](quality))
    for maker in makers:
        for ask in maker:
            yield _with_severity(ask, quality)


def _with_severity(ask: Ask, quality: Quality) -> Ask:
    return replace(ask, severity="warn") if quality.warns(ask.table, ask.rule) else ask


def _of_catalog(table: Table) -> Iterator[Ask]:
    """Columns, types, key, and what may not be null."""
    name = table.name
    columns = {"column_set": list(table.column_names), "exact_match": True}
    yield Ask(name, "columns", "the catalog's columns and no others", "the catalog's", "expect_table_columns_to_match_set", columns)
    yield _among_facts(name, "types", "the catalog's types", "none of another type", ["none"])
    yield _zero(name, "key_unique", f"one row per {', '.join(table.key)}", "no key twice")
    for column in table.required:
        yield _zero(name, present_rule(column), f"{column} may not be null", "never null", breaks=f"{column} IS NULL")


def present_rule(column: str) -> str:
    """The name of the rule that a column is never null."""
    return f"{column}_present"


def _of_terms(table: Table, terms: TableTerms) -> Iterator[Ask]:
    name = table.name
    if terms.rows_at_least:
        about = "rows in the whole table"
        yield _between_facts(name, "rows", about, f"at least {terms.rows_at_least}", terms.rows_at_least, None)
    for column, share in terms.null_share.items():
        arguments = {"column": column, "mostly": 1 - share}
        about = f"{column} may be null in {share:.0%} of rows at most"
        check = "expect_column_values_to_not_be_null"
        yield Ask(name, f"{column}_mostly_present", about, f"at most {share:.0%} null", check, arguments, breaks=f"{column} IS NULL")
    for column, (least, most) in terms.between.items():
        bounds = {"min_value": least, "max_value": most}
        arguments = {"column": column} | {key: value for key, value in bounds.items() if value is not None}
        words = [f"at least {least:g}" if least is not None else "", f"at most {most:g}" if most is not None else ""]
        expected = " and ".join(word for word in words if word)
        outside = [f"{column} < {least!r}" if least is not None else "", f"{column} > {most!r}" if most is not None else ""]
        breaks = " OR ".join(part for part in outside if part)
        check = "expect_column_values_to_be_between"
        yield Ask(name, f"{column}_in_range", f"{column} is {expected}", expected, check, arguments, breaks=breaks)
    for column, values in terms.among.items():
        listed = ", ".join(values)
        quoted = ", ".join(f"'{value}'" for value in values)
        yield Ask(
            name,
            f"{column}_known",
            f"{column} is one of {listed}",
            listed,
            "expect_column_values_to_be_in_set",
            {"column": column, "value_set": list(values)},
            breaks=f"{column} NOT IN ({quoted})",
        )
    for rule, (expression, about) in terms.expect.items():
        yield _zero(name, rule, about, expression, breaks=f"NOT coalesce({expression}, false)")
    if terms.below is not None:
        for part in terms.below.equal:
            rule = equal_rule(part, terms.below.table)
            yield _equal(name, rule, f"{part}: the same as in {terms.below.table}", f"as in {terms.below.table}")


def equal_rule(part: str, below: str) -> str:
    """The name of a rule that compares with the layer below."""
    return f"{part}_as_in_{below.replace('.', '_')}"


def _sales(quality: Quality) -> Iterator[Ask]:
    """Silver against bronze, against the day of the run, and the new lines against those before them."""
    freshness, distribution = quality.freshness, quality.distribution
    yield _zero(SALES, "no_line_lost", "every accepted line of a new file is here, a copy of one here, or in quarantine", "none lost")
    yield _zero(SALES, "no_line_in_both", "no line is here and in quarantine", "none in both")
    for part in ("lines", "units", "amount"):
        yield _equal(SALES, equal_rule(part, BRONZE), f"{part} of the new files' lines: the same as in bronze.sales", "as in bronze.sales")
    for rule, days in (("fresh", freshness.warn_days), ("not_abandoned", freshness.stop_days)):
        about = "days from the newest line to the day that the run was told"
        yield _between_facts(SALES, rule, about, f"at most {days} days", None, days)
    ratios = {"amount_per_line_as_before": distribution.amount_per_line, "lines_per_day_as_before": distribution.lines_per_day}
    for rule, (least, most) in ratios.items():
        about = f"{rule.removesuffix('_as_before').replace('_', ' ')} of the new sales, over that of the sales before"
        yield _between_facts(SALES, rule, about, f"{least:g} to {most:g} times", least, most)


def _quarantine(quality: Quality) -> Iterator[Ask]:
    """How much of a newly landed file was refused, and whether all that the door refused is here."""
    limits = quality.quarantine
    yield _equal(QUARANTINE, equal_rule("door_lines", BRONZE), "all that the door refused of the new files is here", "as in bronze.sales")
    about = "share of a newly landed file's lines that were refused, the worst file"
    yield _between_facts(QUARANTINE, "refused_share", about, f"at most {limits.share:.0%}", None, limits.share)
    for reason, share in limits.reasons.items():
        about = f"share of a newly landed file's lines that were refused for {reason}, the worst file"
        yield _between_facts(QUARANTINE, share_rule(reason), about, f"at most {share:.0%}", None, share)


def share_rule(reason: str) -> str:
    """The name of the rule that limits one reason of refusal."""
    return f"refused_share_{reason}"


def _zero(table: str, rule: str, about: str, expected: str, breaks: str | None = None) -> Ask:
    return Ask(table, rule, about, expected, "expect_column_values_to_be_in_set", {"value_set": [0]}, "facts", breaks=breaks)


def _among_facts(table: str, rule: str, about: str, expected: str, values: list[str]) -> Ask:
    return Ask(table, rule, about, expected, "expect_column_values_to_be_in_set", {"value_set": values}, "facts")


def _between_facts(table: str, rule: str, about: str, expected: str, least: float | None, most: float | None) -> Ask:
    bounds = {"min_value": least, "max_value": most}
    arguments = {key: value for key, value in bounds.items() if value is not None}
    return Ask(table, rule, about, expected, "expect_column_values_to_be_between", arguments, "facts")


def _equal(table: str, rule: str, about: str, expected: str) -> Ask:
    return Ask(table, rule, about, expected, "expect_column_pair_values_to_be_equal", {}, "facts")
