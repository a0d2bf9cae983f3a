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
    with Lake(settings) as lake:
        load(lake, raw, "canonical")
    return Trained(settings.home, raw, truth, run_stages(settings))
