"""Facts of many rules are judged together: each rule is told what it would be told alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import cast

import pytest

from lakehouse.quality import config, suites, validation
from lakehouse.quality.facts import Fact
from lakehouse.quality.suites import Ask, RuleId
from lakehouse.quality.validation import Outcome, Subject

ASKS = [ask for ask in suites.asks(config.load("test")) if ask.on == "facts"]


def judged(facts: dict[RuleId, Fact]) -> dict[RuleId, Outcome]:
    rows = cast("validation.DataFrame", None)  # no rule about rows is asked
    tables = {table: Subject(rows, {rule: fact for (of, rule), fact in facts.items() if of == table}) for table, _ in facts}
    return validation.validate(ASKS, tables, None)


def holds(ask: Ask, fact: Fact) -> bool:
    """In Python, by the expectation's own definition."""
    if ask.check == "expect_column_pair_values_to_be_equal":
        return fact.value == fact.below
    if ask.check == "expect_column_values_to_be_in_set":
        return fact.value in cast("Sequence[object]", ask.arguments["value_set"])
    least, most = (cast("float", ask.arguments.get(name, sign * float("inf"))) for name, sign in (("min_value", -1), ("max_value", 1)))
    return least <= cast("float", fact.value) <= most


def drawn(ask: Ask, chance: random.Random) -> Fact:
    if ask.check == "expect_column_pair_values_to_be_equal":
        return Fact(chance.choice(["", "1", "1.5", "none"]), below=chance.choice(["", "1", "1.5", "none"]))
    if ask.arguments.get("value_set") == ["none"]:
        return Fact(chance.choice(["none", "day string instead of date"]))
    return Fact(chance.choice([0, 0, 1, 0.15, 14, 93, 2**53 + 1]))


@pytest.mark.parametrize("seed", range(5))
def test_each_rule_holds_or_fails_as_if_it_were_judged_alone(seed: int) -> None:
    chance = random.Random(seed)
    facts = {ask.id: drawn(ask, chance) for ask in ASKS}
    found = judged(facts)
    expected = {ask.id: holds(ask, facts[ask.id]) for ask in ASKS}
    assert {rule: outcome.ok for rule, outcome in found.items()} == expected
    assert set(expected.values()) == {True, False}


def test_what_all_agree_in_holds_for_all_and_fails_for_all() -> None:
    zero = [ask.id for ask in ASKS if ask.arguments == {"value_set": [0]}]
    assert len(zero) > 50
    assert all(outcome.ok for outcome in judged(dict.fromkeys(zero, Fact(0))).values())
    assert not any(outcome.ok for outcome in judged(dict.fromkeys(zero, Fact(3))).values())


def test_a_fact_that_is_missing_or_no_number_has_no_outcome() -> None:
    """Great Expectations passes over such, and would call the rule kept."""
    first = {ask.check: ask for ask in reversed(ASKS)}
    pair, between = first["expect_column_pair_values_to_be_equal"], first["expect_column_values_to_be_between"]
    zero = next(ask for ask in ASKS if ask.arguments == {"value_set": [0]})
    lacking = {pair.id: Fact("1"), between.id: Fact(float("nan")), zero.id: Fact(cast("int", None))}
    assert judged(lacking) == {}
    others = {ask.id: Fact("1", below="1") for ask in ASKS if ask.check == pair.check and ask is not pair}
    assert set(judged(lacking | others)) == set(others)
