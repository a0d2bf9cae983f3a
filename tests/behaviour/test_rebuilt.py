"""A table whose log was damaged in place, repaired from the shell as `verify` says."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from jobs import keeping
from jobs.runner import run as run_stages
from lakehouse.ingest import load
from lakehouse.tables import Lake, handles
from tests import shell
from tests.canonical import written

SALES = "silver.sales"


@pytest.mark.slow
def test_entries_that_are_lost_below_a_checkpoint_are_repaired_by_the_command_that_verify_names(lake: Lake, tmp_path: Path) -> None:
    environment = shell.environ(lake.home, RUNNER__IN_PROCESS=True) | {"SPARK_REMOTE": os.environ["SPARK_REMOTE"]}
    load(
        lake,
        written(tmp_path, "a.csv", *(f"{day},A,thing,2,2011-01-{day:02}T10:00:00,2.50,17850,France" for day in range(3, 20))),
        "canonical",
    )
    run_stages(lake.settings, ["silver"])
    keeping.maintain(lake, lambda _: None)
    log = Path(lake.path(SALES)) / handles.LOG
    before = lake.digest(SALES, lake.head(SALES)).digest
    assert list(log.glob("*.checkpoint.parquet"))
    for version in (0, 1):
        (log / f"{version:020}.json").unlink()

    verified = shell.ran([*shell.PROGRAM, "verify", "--json"], environment)
    (found,) = [one for one in json.loads(verified.stdout)["checked"] if not one["whole"] and one["kind"] == "log"]
    _, said = found["found"].split("zeromargin run ")
    assert found["name"] == SALES
    repaired = shell.ran([*shell.PROGRAM, "run", "silver", *shlex.split(said)], environment)
    assert repaired.returncode == 0, repaired.stderr
    assert f"the history of {SALES} is dropped" in repaired.stderr
    again = json.loads(shell.ran([*shell.PROGRAM, "verify", "--json"], environment).stdout)
    assert [one for one in again["checked"] if not one["whole"]] == []
    assert lake.digest(SALES, lake.head(SALES)).digest == before
