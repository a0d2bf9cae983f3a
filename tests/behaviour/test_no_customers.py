"""A shop whose files name no customer: what needs one is left out and said, and the rest goes all the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.runner import run as run_stages
from lakehouse.ingest import load
from lakehouse.ingest.sample import write_sample
from lakehouse.settings import Settings
from lakehouse.tables import Lake
from tests.served import serving


@pytest.mark.slow
def test_forecasts_are_made_and_the_models_of_customers_say_why_they_are_not(settings: Settings, tmp_path: Path) -> None:
    write_sample(tmp_path / "raw", seed=7, weeks=24, products=30, customers=60)
    for file in (tmp_path / "raw").glob("*.csv"):
        header, *lines = file.read_text(encoding="utf-8").splitlines()
        place = header.split(",").index("customer")
        kept = [",".join(cells[:place] + cells[place + 1 :]) for cells in (line.split(",") for line in (header, *lines))]
        file.write_text("\n".join(kept) + "\n", encoding="utf-8")
    with Lake(settings) as lake:
        load(lake, tmp_path / "raw", "canonical")

    report = run_stages(settings)

    told = {stage.name: stage.result for stage in report.stages}
    assert report.published
    for name in ("segments", "recommendations"):
        assert (told[name]["trained"], told[name]["reason"]) == (False, told[name]["reason"])
        assert "name their customers" in str(told[name]["reason"])
    with Lake(settings) as lake:
        assert lake.read("predictions.forecasts").count() > 0
        assert lake.read("predictions.segments").count() == lake.read("predictions.recommendations").count() == 0
    again = run_stages(settings)
    assert again.published

    with serving(settings) as client:
        told = client.get("/readyz").json()["reasons"]
    assert told == ["no champion of segments", "no champion of recommendations"]
