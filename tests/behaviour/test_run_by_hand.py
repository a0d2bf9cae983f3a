"""Notebooks as people open them: top to bottom, with their defaults, nobody but Jupyter running them."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from jobs.execute import execute
from jobs.pipeline import NOTEBOOKS
from lakehouse.tables import Lake, runs
from tests.shop import Line, Shop


@pytest.fixture
def shop(lake: Lake) -> Shop:
    found = Shop(lake)
    sold = [Line(f"P{number % 4}", f"2011-01-{1 + number % 28:02d}T10:00:00", invoice=str(number // 2)) for number in range(60)]
    found.land(
        *sold, Line("P1", "2011-01-29T10:00:00", quantity="-1", invoice="C1"), Line("P2", "2011-01-29T11:00:00", reasons=("bad_price",))
    )
    return found


def opened(name: str, out: Path) -> list[dict[str, object]]:
    """Executes a notebook of ours as it stands; its outputs."""
    failure = execute(NOTEBOOKS / f"{name}.ipynb", out / f"{name}.ipynb", {}, in_process=True)
    assert failure is None, failure
    return [output for cell in nbformat.read(out / f"{name}.ipynb", as_version=4).cells for output in cell.get("outputs", [])]


def test_a_stage_opened_by_hand_makes_a_run_of_its_own_and_lets_go_of_the_lake(shop: Shop, tmp_path: Path) -> None:
    opened("silver", tmp_path)
    opened("gold", tmp_path)

    (run,) = runs.newest(shop.lake.ops, limit=5)
    assert [(stage.name, stage.state) for stage in runs.stage_runs(shop.lake.ops, run.id)] == [("silver", "done"), ("gold", "done")]
    with shop.lake.lease("somebody else"):
        pass


def test_the_notebook_to_explore_shows_five_plots(shop: Shop, tmp_path: Path) -> None:
    shop.refine()

    shown = opened("explore", tmp_path)

    assert sum("image/png" in output.get("data", {}) for output in shown) == 5
