"""A CSV of 2 GB on an engine with 1 GB of memory: it lands, and becomes gold, by way of the disk. Minutes, so `make soak` alone runs it."""

from __future__ import annotations

from pathlib import Path

from lakehouse.settings import Settings
from tests.large import made, ran, sold

FILE_BYTES, MEMORY_GB = 2 * 10**9, 1.0


def test_a_file_of_twice_the_engines_memory_lands_and_becomes_gold(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "large.csv"
    lines, units = made(file, FILE_BYTES)
    for words in (("load", str(file), "--source", "canonical"), ("run", "silver", "gold")):
        done = ran(settings, MEMORY_GB, *words)
        assert done.returncode == 0, done.stderr[-2000:]
    assert sold(settings) == (lines, lines, lines, units)
