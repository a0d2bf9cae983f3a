"""Retailers of other shapes, with an entry in sources.yml and no Python: all goes that their files allow, and what doesn't is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.cli import main
from jobs.parts import parts
from jobs.runner import RunReport
from jobs.runner import run as run_stages
from lakehouse.ingest import load
from lakehouse.settings import Settings
from lakehouse.tables import Lake
from tests.retailers import Shape, grocery_lines, purchases, store_days, weekly_totals

WHY_NOT = {"segments": "name their customers", "recommendations": "name their customers"}


def worked(settings: Settings, folder: Path, make: Callable[[Path], Shape]) -> tuple[Shape, RunReport, Lake]:
    """The shape's files landed and run through all stages; a second load finds nothing new."""
    folder.mkdir()
    shape = make(folder)
    with Lake(settings) as lake:
        landed = load(lake, folder, shape.source)
        assert (sum(file.lines for file in landed), sum(file.accepted for file in landed)) == (shape.lines, shape.lines)
        assert all(file.already for file in load(lake, folder, shape.source))
    return shape, run_stages(settings), Lake(settings)


def reasons(report: RunReport) -> dict[str, str]:
    """Models that were not trained, and why."""
    return {stage.name: str(stage.result["reason"]) for stage in report.stages if stage.result.get("trained") is False}


def told(lake: Lake) -> list[str]:
    return [str(one) for found in parts(lake) for one in found]


def check_sums(lake: Lake, shape: Shape) -> None:
    found = lake.sql("SELECT count(*) AS lines, sum(quantity) AS units, sum(amount) AS amount FROM silver.sales").toArrow().to_pylist()[0]
    assert found["lines"] == shape.lines
    assert float(found["units"]) == pytest.approx(shape.units, abs=0.5)
    assert float(found["amount"]) == pytest.approx(shape.amount, rel=1e-5)


@pytest.mark.slow
def test_weekly_totals_per_store_and_brand_give_forecasts_and_say_why_the_others_cannot(settings: Settings, tmp_path: Path) -> None:
    shape, report, lake = worked(settings, tmp_path / "raw", weekly_totals)
    with lake:
        check_sums(lake, shape)
        series = lake.read("predictions.forecasts").select("store", "product_code").distinct().count()
        assert series == 3 * 4
        promoted = lake.sql("SELECT avg(quantity) AS units FROM silver.sales GROUP BY promotion ORDER BY promotion").toArrow().to_pylist()
        assert promoted[1]["units"] > 1.5 * float(promoted[0]["units"])
        assert told(lake) == [
            "Switched off for source dominicks-orange-juice, since no line names its customer: "
            "segments, recommendations, gold.customers, gold.customer_days",
            "Switched off for source dominicks-orange-juice, since no line has the number of a receipt: gold.baskets, baskets of customers",
            "Switched off for source dominicks-orange-juice, since a line is the total of a week: sales by day (each week's lie on its first)",
            "Switched off for source dominicks-orange-juice, since no line names its product in words: names in gold.products",
            "Source dominicks-orange-juice tells promotion: kept in silver, not used by forecasts yet",
        ]
    assert report.published
    assert "demand" not in reasons(report)
    assert all(words in reasons(report)[name] for name, words in WHY_NOT.items())


@pytest.mark.slow
def test_grocery_lines_with_a_table_of_products_beside_give_all_three(settings: Settings, tmp_path: Path) -> None:
    shape, report, lake = worked(settings, tmp_path / "raw", grocery_lines)
    with lake:
        check_sums(lake, shape)
        names = {row["product_code"]: row["name"] for row in lake.read("gold.products").toArrow().to_pylist()}
        assert names["1007"] == "KIND 07" and None not in names.values()
        assert lake.read("gold.stores").count() == 2
        assert told(lake) == ["Switched off for source complete-journey, since no line names a country: countries of customers"]
        assert lake.read("predictions.recommendations").select("customer_key").distinct().count() == 60
    assert reasons(report) == {}


@pytest.mark.slow
def test_purchases_in_fixed_width_give_forecasts_and_segments(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shape, report, lake = worked(settings, tmp_path / "raw", purchases)
    with lake:
        check_sums(lake, shape)
        assert lake.read("gold.customers").count() == 160
        assert lake.read("predictions.segments").count() > 0
    assert set(reasons(report)) == {"recommendations"}
    assert "one product only" in reasons(report)["recommendations"]
    monkeypatch.setenv("ZEROMARGIN_PROFILE", "test")
    assert main(["--home", str(settings.home), "status"]) == 0
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if line.startswith("Switched off")] == [
        "Switched off for source cdnow, since there is one product only: recommendations, forecasts by product",
        "Switched off for source cdnow, since no line has the number of a receipt: gold.baskets, baskets of customers",
        "Switched off for source cdnow, since no line names its store: forecasts by store",
        "Switched off for source cdnow, since no line tells the time of day: the order of sales within a day",
        "Switched off for source cdnow, since no line names a country: countries of customers",
    ]
    assert main(["--home", str(settings.home), "status", "--json"]) == 0
    off = json.loads(capsys.readouterr().out)["switched_off"]
    assert off[0] == {"source": "cdnow", "parts": ["recommendations", "forecasts by product"], "reason": "there is one product only"}


@pytest.mark.slow
def test_daily_sales_per_store_leave_closed_days_out_and_keep_the_flags(settings: Settings, tmp_path: Path) -> None:
    shape, report, lake = worked(settings, tmp_path / "raw", store_days)
    with lake:
        check_sums(lake, shape)
        holidays = lake.sql("SELECT store, day FROM silver.sales WHERE holiday").toArrow().to_pylist()
        assert [(row["store"], f"{row['day']}") for row in holidays] == [("3", "2014-05-01")]
        assert lake.sql("SELECT count(*) AS n FROM silver.sales WHERE promotion").toArrow().to_pylist()[0]["n"] > 0
        assert lake.read("predictions.forecasts").select("store").distinct().count() == 12
        assert told(lake) == [
            "Switched off for source rossmann, since no line names its customer: segments, recommendations, gold.customers, gold.customer_days",
            "Switched off for source rossmann, since there is one product only: forecasts by product",
            "Switched off for source rossmann, since no line has the number of a receipt: gold.baskets, baskets of customers",
            "Switched off for source rossmann, since no line tells the time of day: the order of sales within a day",
            "Source rossmann tells promotion and holiday: kept in silver, not used by forecasts yet",
        ]
    assert "demand" not in reasons(report)


def test_a_shape_is_looked_at_before_it_is_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_days(tmp_path)
    assert main(["--home", str(tmp_path / "home"), "sources", "check", str(tmp_path / "train.csv"), "--source", "rossmann", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["skipped"] > 400 and found["refused"] == {} and found["accepted"] + found["skipped"] == found["lines"]
