"""Descriptions and rules that are edited while the timetable is kept: the next turn goes by them."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from jobs import scheduling
from jobs.scheduling import SEEN, Schedule
from jobs.timetable import Timetable
from lakehouse import settings as settings_module
from lakehouse.quality import config
from lakehouse.settings import Settings
from lakehouse.tables import Lake, ops

ENTRY = """
till:
  about: a till's own export
  formats: {csv: {kind: csv}}
  times: {formats: ["%Y-%m-%dT%H:%M:%S"]}
  columns: {Receipt: invoice, Article: product_code, Pieces: quantity, Sold: sold_at, Price: unit_price}
  currency: EUR
"""
JOB = {"at": "0 3 * * *", "do": ["load"], "tries": 1, "wait_s": 0}
TIMETABLE = Timetable.model_validate({"zone": "UTC", "inbox": None, "settle_s": 0, "keep_landed": False, "jobs": {"nightly": JOB}})


def test_a_source_that_is_described_while_the_timetable_is_kept_lands_at_the_next_turn(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "conf"
    shutil.copytree(settings_module.CONF, place)
    monkeypatch.setattr(settings_module, "CONF", place)
    config.read_anew()
    folder = settings.home / "inbox" / "till"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("Receipt,Article,Pieces,Sold,Price\n1,A,2,2011-01-03T10:00:00,2.50\n", encoding="utf-8")
    said: list[str] = []
    schedule = Schedule(settings, said.append, lambda _: TIMETABLE)

    def turn(days: int) -> str:
        said.clear()
        with Lake(settings) as lake:
            with lake.ops.begin() as connection:
                connection.execute(ops.turns.delete())
            scheduling._claim(lake, "nightly", ops.now() - timedelta(days=days), SEEN)
        schedule.once()
        return "\n".join(said)

    try:
        assert "0 files landed (0 lines), 1 wait" in turn(2)
        with (place / "base" / "sources.yml").open("a", encoding="utf-8") as file:
            file.write(ENTRY)
        assert "1 files landed (1 lines)" in turn(2)
    finally:
        monkeypatch.undo()
        config.read_anew()
