"""The gate over a lake's real tables: everything asked for has a result, what is broken is named, and nobody is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from lakehouse.errors import GateFailed
from lakehouse.medallion import gold, silver
from lakehouse.quality import config, facts, scope, suites
from lakehouse.quality.check import check, judge
from lakehouse.quality.facts import Fact
from lakehouse.quality.report import QualityReport
from lakehouse.settings import Settings, conf_file
from lakehouse.tables import Lake, StageLake, opening, runs
from tests.shop import Line, Shop
from tests.trained import with_pages

Found = TypeVar("Found")
CUSTOMER = "customer-key-of-somebody"


def line(number: int, day: str = "2011-01-03", **other: object) -> Line:
    return Line(f"P{number % 7}", f"{day}T10:{number % 60:02d}:00", invoice=str(number), customer=CUSTOMER, **other)  # type: ignore[arg-type]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_pages(settings)


@pytest.fixture
def shop(lake: Lake) -> Shop:
    found = Shop(lake)
    found.land(*(line(number, f"2011-01-{1 + number % 28:02d}") for number in range(120)))
    found.refine("2011-02-01")
    return found


def pages(home: Path, report: QualityReport) -> str:
    return "".join(path.read_text(errors="replace") for path in (home / report.docs).parent.rglob("*") if path.is_file())


def test_every_rule_has_a_result_and_the_pages_and_the_numbers_are_kept(shop: Shop) -> None:
    report = check(shop.lake)
    asked = {(ask.table, ask.rule) for ask in suites.asks(config.load("test"))}
    assert {(result.table, result.rule) for result in report.results} == asked
    assert (shop.lake.home / report.docs).is_file()
    shown = (shop.lake.home / report.docs).read_text()
    assert all(f'<td style="text-align: left">{rule}</td>' in shown for _, rule in asked)
    assert "http" not in shown  # where there is no internet it looks the same
    kept = json.loads((shop.lake.home / report.docs).with_name("quality.json").read_text())
    assert len(kept["results"]) == len(asked) and kept["ok"]
    theirs = pages(shop.lake.home, report)
    assert 'href="index.html"' in shown and all(f"{table} {rule}" in theirs for table, rule in asked)
    assert [
        one.name for one in (shop.lake.home / report.docs).parent.rglob("*.gif")
    ] == []  # which no page shows, and which are most of what they take


def test_great_expectations_own_pages_can_be_left_out(shop: Shop) -> None:
    with Lake(with_pages(shop.lake.settings, False), endpoint=shop.lake.endpoint) as lake:
        report = check(lake)
    place = (shop.lake.home / report.docs).parent
    assert sorted(file.name for file in place.iterdir()) == ["quality.json", "report.html"]
    assert "index.html" not in (place / "report.html").read_text()


def test_a_table_that_does_not_agree_with_the_layer_below_stops_the_run_and_both_sums_are_said(shop: Shop) -> None:
    gone = shop.lake.read("gold.daily_sales").limit(1)
    with shop.lake.lease("somebody at work on gold"):
        version = shop.lake.writer.delete("gold.daily_sales", gone)
    with shop.lake.lease("test") as held:
        run = opening.begin_or_resume(shop.lake, None, held.token)
        with StageLake(shop.lake.settings, "quality", run.id) as stage:
            stage._done["gold.daily_sales"] = version
            with pytest.raises(GateFailed, match=r"gold.daily_sales: units_as_in_silver_sales: found \S+ against \S+"):
                check(stage, everything=True)
        runs.end(shop.lake.ops, run.id)


def test_of_rules_that_are_judged_together_those_that_fail_are_named_and_no_others(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = conf_file("quality.yml", "test")
    tables = tree["tables"]
    assert isinstance(tables, dict)
    tables["gold.stores"] |= {"rows_at_least": 2, "expect": {"never": ["products < 0", "no row keeps it"]}}
    terms = config.parse(tree)
    monkeypatch.setattr(config, "load", lambda profile: terms)
    monkeypatch.setattr(
        facts, "mistyped", lambda rows, table: Fact("day string instead of date" if table.name == "gold.baskets" else "none")
    )

    report = judge(shop.lake)

    assert {(result.table, result.rule): (result.observed, result.rows) for result in report.failed} == {
        ("gold.stores", "rows"): ("1", None),
        ("gold.stores", "never"): ("1 rows that break it", 1),
        ("gold.baskets", "types"): ("day string instead of date", None),
    }


def test_a_value_that_is_missing_is_counted_by_its_column(shop: Shop) -> None:
    rows = shop.lake.read("gold.stores").selectExpr("nullif(store, 'all') AS store")
    assert {rule: fact.rows for rule, fact in facts.missing_values(rows, shop.lake.catalog["gold.stores"]).items()} == {"store_present": 1}


def test_a_file_that_is_mostly_refused_stops_the_run_with_examples_that_show_nobody(shop: Shop) -> None:
    file = shop.land(*(line(number, price="0", description="A FREE THING") for number in range(300)))
    with pytest.raises(GateFailed) as error:
        refined(shop, check)
    message = str(error.value)
    assert "refused_share_price_positive: found 100.0% of the 300 lines of file " + file[:12] in message
    assert "description=A FREE THING" in message
    assert CUSTOMER not in message


def test_no_customer_is_shown_on_any_page(shop: Shop) -> None:
    shop.land(*(line(number, price="0") for number in range(300)))
    report = refined(shop, judge)
    assert not report.ok
    assert CUSTOMER not in pages(shop.lake.home, report)


def test_a_rule_that_can_not_be_evaluated_is_broken(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = conf_file("quality.yml", "test")
    tables = tree["tables"]
    assert isinstance(tables, dict)
    tables["gold.stores"]["expect"] = {"impossible": ["assert_true(products < 0) IS NULL", "it raises"]}
    terms = config.parse(tree)
    monkeypatch.setattr(config, "load", lambda profile: terms)
    report = judge(shop.lake)
    broken = {result.rule: result.observed for result in report.failed}
    assert "did not run" in broken["impossible"]


def test_a_run_is_judged_by_the_months_and_the_files_that_it_wrote(shop: Shop) -> None:
    file = shop.land(line(500, "2011-03-05"))
    assert refined(shop, lambda stage: scope.of_lake(stage)).files == {file}
    shop.land(line(501, "2011-03-06"))
    assert refined(shop, lambda stage: scope.of_lake(stage)).months == {"2011-03"}
    assert refined(shop, lambda stage: scope.of_lake(stage, everything=True)).months is None


def refined(shop: Shop, look: Callable[[StageLake], Found]) -> Found:
    """What `look` sees within a run that has made silver and gold of what landed."""
    with shop.lake.lease("test") as held:
        run = opening.begin_or_resume(shop.lake, "2011-04-01", held.token)
        try:
            for name, build in (("silver", silver.build), ("gold", gold.build)):
                with StageLake(shop.lake.settings, name, run.id) as stage:
                    build(stage)
                    if name == "gold":
                        found = look(stage)
                        stage.publish(after=())
                    stage.finish()
        finally:
            runs.end(shop.lake.ops, run.id)
    return found
