"""A small shop with a known truth behind it, landed, run and published once per session: three champions, features online."""

from __future__ import annotations

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
from tests.once import copy_home

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
        copy_home(self.home, home)
        return settings_of(home)


def settings_of(home: Path) -> Settings:
    return settings_module.load(home, "test", VAULT, environ={})


def with_pages(settings: Settings, pages: bool = True) -> Settings:
    """With Great Expectations' own pages or without; the profile of tests leaves them out."""
    return settings.model_copy(update={"quality": settings.quality.model_copy(update={"pages": pages})})


def make(folder: Path) -> Trained:
    """Takes most of a minute."""
    settings, raw = with_pages(settings_of(folder / "home")), folder / "raw"  # all that a home may hold of a customer
    truth = write_sample(raw, seed=7, weeks=70, products=80, customers=300)
    (raw / "planted.csv").write_text(_planted(raw / truth.files[0].name), encoding="utf-8")
    with Lake(settings) as lake:
        load(lake, raw, "canonical")
    return Trained(settings.home, raw, truth, run_stages(settings))


def _planted(example: Path) -> str:
    """One more customer, whose number a scan can look for: buys three things of the first week once more in summer, and in autumn again."""
    header, *lines = example.read_text(encoding="utf-8").splitlines()
    columns = header.split(",")
    place = {name: number for number, name in enumerate(columns)}
    bought = [cells for cells in (line.split(",") for line in lines[::4]) if len(cells) == len(columns) and cells[place["quantity"]] == "1"]
    told = []
    for month in (7, 10):
        for cells in bought[:3]:
            own = {"invoice": f"99{month:02d}", "sold_at": f"2023-{month:02d}-10T10:00:00", "customer": PLANTED}
            told.append(",".join(own.get(name, cells[place[name]]) for name in columns))
    return "\n".join([header, *told]) + "\n"
