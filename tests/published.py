"""A small home that was published week by week, with work left for a run and for maintenance; and what comes of it undisturbed."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest

from jobs import processes
from jobs.cli import main
from jobs.keeping import maintain
from jobs.runner import run as run_stages
from lakehouse.features.online import OnlineFeatures
from lakehouse.ingest import load
from lakehouse.ingest.sample import write_sample
from lakehouse.settings import Settings
from lakehouse.tables import Lake, maintenance
from tests import shell
from tests.trained import settings_of

FIRST_DAY = date(2023, 1, 9)  # after the first of the sample's weeks


def after_week(number: int) -> str:
    """The day after the sample's week of that number, from 0 on, as a run is told it."""
    return f"{FIRST_DAY + timedelta(weeks=number)}"


RUN = ("run", "features", "--as-of", after_week(11))  # up to features, which publishes, online too
KEEP_NEWEST = 1  # so that what a day's later snapshot has replaced is maintenance's to delete


@dataclass(frozen=True)
class Contents:
    """What a home holds: digests of bronze and of the derived tables as published, the day and the moment of that, and what is online."""

    digests: dict[str, str]
    published: tuple[str, str]
    online: dict[str, object]


@dataclass(frozen=True)
class Published:
    """`home` has five snapshots; the files in `late` have not landed in it. `undisturbed`: what it holds once they have, and were run."""

    home: Path
    late: tuple[Path, ...]
    undisturbed: Contents


def settings(home: Path) -> Settings:
    found = settings_of(home)
    return found.model_copy(update={"snapshots": found.snapshots.model_copy(update={"keep_newest": KEEP_NEWEST})})


def make(folder: Path) -> Published:
    """Takes half a minute."""
    write_sample(folder / "raw", seed=11, weeks=12, products=30, customers=60)
    files = sorted((folder / "raw").glob("*.csv"))
    home, late = folder / "home", tuple(files[-2:])
    _week(home, 5, *files[:6])
    _week(home, 6, files[6])
    _week(home, 8, files[8])
    _week(home, 8, files[7])  # late
    _week(home, 9, files[9])
    with Lake(settings(home)) as lake:
        plan = maintenance.plan(lake)
    assert any(one.compacts for one in plan) and any(one.deletes for one in plan), "maintenance would have nothing to do"
    shutil.copytree(home, folder / "undisturbed")
    _week(folder / "undisturbed", 11, *late)
    with Lake(settings(folder / "undisturbed")) as lake:
        maintain(lake, lambda _: None)
    return Published(home, late, contents(folder / "undisturbed"))


def _week(home: Path, number: int, *files: Path) -> None:
    with Lake(settings(home)) as lake:
        for file in files:
            load(lake, file, "canonical")
    run_stages(settings(home), ["features"], as_of=after_week(number))


def contents(home: Path) -> Contents:
    chosen = settings(home)
    with Lake(chosen) as lake:
        names = ["bronze.sales", *(name for name, table in lake.catalog.items() if table.kind == "derived")]
        digests = {name: lake.digest(name).digest for name in names}
        newest = lake.snapshot()
        assert newest is not None
        products = lake.read("features.product_sales").select("store", "product_code").distinct().toArrow().to_pylist()
        customers = lake.read("features.customer_history").select("customer_key").distinct().toArrow().to_pylist()
    answers = OnlineFeatures(chosen)
    online: dict[str, object] = {f"{row['store']} {row['product_code']}": answers.product(**row) for row in products}
    online |= {row["customer_key"]: answers.customer(row["customer_key"]) for row in customers}
    return Contents(digests, (str(newest.as_of), str(newest.moment)), {"moment": str(answers.marker), **online})


def begun(home: Path, *words: str, **chosen: object) -> subprocess.Popen[str]:
    """The command line on this home, on an endpoint of its own."""
    environ = shell.environ(home, SNAPSHOTS__KEEP_NEWEST=KEEP_NEWEST, **chosen)
    return subprocess.Popen(
        [*shell.PROGRAM, *words], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=processes.ROOT, text=True
    )


def done(home: Path, *words: str, **chosen: object) -> None:
    """The same in this process, to its good end."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        patch.delenv("SPARK_REMOTE", raising=False)
        for name, value in shell.environ(home, SNAPSHOTS__KEEP_NEWEST=KEEP_NEWEST, **chosen).items():
            patch.setenv(name, value)
        assert main([*words]) == 0, said.getvalue()[-2000:]
