"""All stores of a chain at once: daily sales of 1,115 stores, from file to forecasts. In `make soak`: minutes."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

from jobs.runner import run as run_stages
from lakehouse.ingest import load
from lakehouse.settings import Settings
from lakehouse.tables import Lake
from tests.retailers import store_days

STORES, DAYS = 1_115, 60


def test_a_chain_of_1115_stores_goes_from_file_to_forecasts(settings: Settings, tmp_path: Path) -> None:
    shape, began = store_days(tmp_path, STORES, DAYS), time.monotonic()
    with Lake(settings) as lake:
        (landed,) = load(lake, tmp_path / "train.csv", shape.source)
        assert (landed.accepted, landed.skipped) == (shape.lines, STORES * DAYS - shape.lines)
        report = run_stages(settings)
        assert lake.read("predictions.forecasts").select("store").distinct().count() == STORES
        assert float(lake.sql("SELECT sum(amount) AS amount FROM silver.sales").toArrow()["amount"][0].as_py()) == shape.amount
    seconds, used = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    stages = ", ".join(f"{stage.name} {stage.seconds:.1f} s" for stage in report.stages)
    print(
        f"{STORES:,} stores, {shape.lines:,} lines: {seconds:.0f} s, {used:.1f} GiB in this process (the engine's beside); {stages}",
        file=sys.stderr,
    )
