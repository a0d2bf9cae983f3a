"""A computer whose clock shows another zone: what it makes of the same files is the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lakehouse.ingest.sample import write_sample
from lakehouse.tables import catalog
from tests import shell

ZONES = ("Pacific/Kiritimati", "America/St_Johns")  # fourteen hours ahead of UTC; three and a half behind it, in winter
TABLES = [
    table.name
    for table in catalog.load().values()
    if table.layer in ("bronze", "silver", "gold", "quarantine", "features") and table.kind != "log"
]


def answered(home: Path, zone: str, *words: str) -> object:
    done = shell.ran([*shell.PROGRAM, *words, "--json"], shell.environ(home) | {"TZ": zone})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_in_any_zone_the_same_files_make_the_same_tables_of_the_same_day(tmp_path: Path) -> None:
    write_sample(tmp_path / "raw", seed=11, weeks=4, products=30, customers=30)
    made = []
    for zone in ZONES:
        home = tmp_path / zone.replace("/", "-")
        answered(home, zone, "load", str(tmp_path / "raw"), "--source", "canonical")
        report = answered(home, zone, "run", "features")
        assert isinstance(report, dict)
        digests = answered(home, zone, "digest", *TABLES)
        assert isinstance(digests, list)
        made.append((report["as_of"], report["moment"], {one["table"]: one["digest"] for one in digests}))

    assert made[0] == made[1]
    assert len(made[0][2]) == len(TABLES)
