"""What the gate decides, from counts alone; and which rules every table has."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import cast

import pytest

from lakehouse.errors import GateFailed, SettingsError, UnknownName
from lakehouse.quality import config, suites
from lakehouse.quality.check import Found, Outcome, Scope, _result
from lakehouse.quality.config import Distribution, Freshness
from lakehouse.quality.facts import Fact, equality
from lakehouse.quality.gate import Batch, Trade, compared, days_behind, require, worst_share
from lakehouse.quality.report import QualityReport, RuleResult
from lakehouse.settings import conf_file
from lakehouse.tables import Lake
from lakehouse.tables.catalog import load as load_catalog

TERMS = config.load("test")
TREE = conf_file("quality.yml", "test")
FRESH = Freshness(warn_days=14, stop_days=92)
BEFORE = Distribution(at_least=200, amount_per_line=(0.05, 20), lines_per_day=(0.1, 10))


def broken(**values: object) -> RuleResult:
    told = {"table": "silver.sales", "rule": "no_line_lost", "ok": False, "observed": "3 rows that break it", "expected": "none lost"}
    return RuleResult(**cast("dict[str, str]", told | values))  # type: ignore[arg-type]


def test_a_gate_that_says_no_names_the_rule_what_was_found_the_rows_and_examples() -> None:
    report = QualityReport("run-1", (broken(rows=3, examples=({"product_code": "A", "day": "2011-01-03"},)),), "docs/run-1/index.html")
    with pytest.raises(GateFailed) as error:
        require(report)
    for part in ("silver.sales: no_line_lost", "found 3 rows", "expected none lost (3 rows)", "product_code=A", "docs/run-1/index.html"):
        assert part in str(error.value)


def test_a_rule_that_only_warns_stops_nothing() -> None:
    report = QualityReport("run-1", (broken(severity="warn"),))
    assert require(report) is report
    assert len(report.warnings) == 1


def test_a_rule_without_a_result_counts_as_broken() -> None:
    ask = next(ask for ask in suites.asks(TERMS) if ask.on == "rows" and ask.breaks is None)
    result = _result(ask, None, Found(), cast("Lake", None), cast("Scope", None), TERMS)
    assert not result.ok
    assert "did not run" in result.observed


def test_a_rule_without_its_fact_counts_as_broken_and_says_why() -> None:
    ask = next(ask for ask in suites.asks(TERMS) if ask.rule == "rows")
    found = Found(failures=["ValueError: no such column"])
    result = _result(ask, Outcome(True, "fine"), found, cast("Lake", None), cast("Scope", None), TERMS)
    assert not result.ok
    assert "no such column" in result.observed


def test_the_worst_file_is_judged_and_small_ones_are_not() -> None:
    batches = [Batch("good", 1000, 60), Batch("bad", 200, 100, {"bad_price": 90}), Batch("tiny", 10, 10)]
    assert worst_share(batches, at_least=50).value == 0.5
    assert worst_share(batches, at_least=50, reason="bad_price").value == 0.45
    assert worst_share(batches, at_least=101).value == 0.0


@pytest.mark.parametrize(("newest", "days"), [(date(2011, 1, 9), 1), (date(2011, 1, 10), 0), (date(2011, 2, 1), 0), (None, 93)])
def test_the_newest_line_lies_so_many_days_behind_the_day_that_the_run_was_told(newest: date | None, days: int) -> None:
    assert days_behind(newest, datetime(2011, 1, 10), FRESH).value == days


def test_new_sales_are_compared_with_those_before_them_per_line_and_per_day() -> None:
    found = compared(Trade(400, Decimal(4000), 2), Trade(1000, Decimal(1000), 10), BEFORE)
    assert {name: fact.value for name, fact in found.items()} == {"amount_per_line_as_before": 10.0, "lines_per_day_as_before": 2.0}


def test_too_few_sales_are_not_compared() -> None:
    found = compared(Trade(199, Decimal(199_000), 1), Trade(1000, Decimal(1000), 10), BEFORE)
    assert {fact.value for fact in found.values()} == {1.0}


def test_a_sum_over_no_rows_equals_nothing() -> None:
    assert equality(None, Decimal("0.000")) == Fact("0", below="0", note="0")
    assert equality(Decimal("1.50"), Decimal("1.5")).value == equality(Decimal("1.50"), Decimal("1.5")).below


@pytest.mark.parametrize("name", [table.name for table in load_catalog().values() if table.layer in ("silver", "gold", "quarantine")])
def test_every_table_of_silver_and_gold_has_a_suite(name: str) -> None:
    table = load_catalog()[name]
    rules = {ask.rule for ask in suites.asks(TERMS) if ask.table == name}
    assert {"columns", "types", "key_unique", *(f"{column}_present" for column in table.required)} <= rules


@pytest.mark.parametrize("name", [table.name for table in load_catalog().values() if table.layer == "gold"])
def test_every_table_of_gold_is_compared_with_the_layer_below(name: str) -> None:
    rules = {ask.rule for ask in suites.asks(TERMS) if ask.table == name}
    assert any(rule.startswith("units_as_in_") for rule in rules)
    assert any(rule.startswith("newest_day_as_in_") for rule in rules)


def test_a_misspelt_key_of_the_rules_is_told_the_nearest() -> None:
    with pytest.raises(UnknownName, match='Did you mean "quarantine"'):
        config.parse({**TREE, "quarantin": {}})


def test_a_rule_over_a_column_that_is_not_there_is_told_the_nearest() -> None:
    rows = {"bad": ["quantitty > 0", "a slip"]}
    with pytest.raises(UnknownName, match='Did you mean "quantity"'):
        config.parse({**TREE, "rows": rows})


def test_a_rule_that_is_no_sql_is_refused() -> None:
    with pytest.raises(SettingsError, match='rule "bad" of quality.yml is not SQL'):
        config.parse({**TREE, "rows": {"bad": ["quantity >", "a slip"]}})


def test_a_warning_for_a_rule_that_no_table_has_is_refused() -> None:
    terms = config.parse({**TREE, "warn": {"silver.sales": ["fresch"]}})
    with pytest.raises(UnknownName, match='Did you mean "fresh"'):
        suites.asks(terms)


def test_examples_may_never_show_customers() -> None:
    with pytest.raises(SettingsError, match="does not list customer_key"):
        config.parse({**TREE, "personal": ["invoice"]})
