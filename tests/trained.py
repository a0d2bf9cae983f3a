"""A small shop with a known truth behind it, landed, run and published once per session: three champions, features online."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from jobs.runner import RunReport
from jobs.runner import run as run_stages
from lakehouse import settings as settings_module
from lakehouse.ingest import load
from lakehouse.ingest.sample import write_sample
from lakehouse.ingest.sample_truth import SampleTruth
from lakehouse.settings import Settings
from lakehouse.tables import Lake
from tests.conftest import SECRET

PLANTED = "98765432109876"  # a customer number long enough to be found by accident nowhere
VAULT = {"vault": {"keys": "derived", "secret": SECRET}}


@dataclass(frozen=True)
class Trained:
    """A home that nobody writes to: who needs to, takes a copy. `raw` holds the weekly files that were landed."""

    home: Path
    raw: Path
    truth: SampleTruth
    report: RunReport

    @property
    def settings(self) -> Settings:
        return settings_of(self.home)

    def copy(self, home: Path) -> Settings:
        """The settings of a copy of the home, at `home`."""
        shutil.copytree(self.home, home)
        return settings_of(home)


def settings_of(home: Path) -> Settings:
    return settings_module.load(home, "test", VAULT, environ={})


def make(folder: Path) -> Trained:
    """Takes most of a minute."""
    settings, raw = settings_of(folder / "home"), folder / "raw"
    truth = write_sample(raw, seed=11, weeks=70, products=80, customers=200)
    (raw / "planted.csv").write_text(_planted(raw / truth.files[0].name), encoding="utf-8")
    with Lake(settings) as lake:
        load(lake, raw, "canonical")
    return Trained(settings.home, raw, truth, run_stages(settings))


def _planted(example: Path) -> str:
    """One more customer, whose number a scan can look for: every fourth line of the first week is bought again in each month after it."""
    header, *lines = example.read_text(encoding="utf-8").splitlines()
    columns = header.split(",")
    place = {name: number for number, name in enumerate(columns)}
    bought = [cells for cells in (line.split(",") for line in lines[::4]) if len(cells) == len(columns) and cells[place["quantity"]] == "1"]
    told = []
    for month in range(1, 16):
        for number, cells in enumerate(bought[:3]):
            sold = f"{2023 + month // 12}-{1 + month % 12:02d}-{10 + number}T10:00:00"
            own = {"invoice": f"99{month:02d}", "sold_at": sold, "customer": PLANTED}
            told.append(",".join(own.get(name, cells[place[name]]) for name in columns))
    return "\n".join([header, *told]) + "\n"
