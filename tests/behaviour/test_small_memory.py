"""An engine with too little memory for what is asked says so; nothing is lost, and with more of it the same commands go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse.settings import Settings
from tests.large import made, ran, sold

TOO_LITTLE_GB, A_LITTLE_GB, ENOUGH_GB = 0.004, 0.35, 1.0


@pytest.mark.slow
def test_what_does_not_fit_into_memory_changes_nothing_and_goes_on_with_more(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "sales.csv"
    lines, units = made(file, 15 * 10**6)
    left = [(0, 0, 0, 0), (lines, 0, 0, 0)]
    for words, before in zip((("load", str(file), "--source", "canonical"), ("run", "silver", "gold")), left, strict=True):
        refused = ran(settings, TOO_LITTLE_GB, *words)
        assert refused.returncode == 1, refused.stdout
        assert "endpoint.memory_gb" in refused.stderr
        assert sold(settings) == before
        done = ran(settings, ENOUGH_GB, *words)
        assert done.returncode == 0, done.stderr[-2000:]
    assert sold(settings) == (lines, lines, lines, units)


@pytest.mark.slow
def test_a_shop_that_sends_all_that_it_ever_sold_each_time_needs_no_more_memory_for_it(settings: Settings, tmp_path: Path) -> None:
    few, all_of_it = tmp_path / "monday.csv", tmp_path / "tuesday.csv"
    made(few, 27 * 10**6)
    lines, units = made(all_of_it, 34 * 10**6)
    for file in (few, all_of_it):
        for words in (("load", str(file), "--source", "canonical"), ("run", "silver", "gold")):
            done = ran(settings, A_LITTLE_GB, *words)
            assert done.returncode == 0, done.stderr[-2000:]
    assert sold(settings)[1:] == (lines, lines, units)
