"""A computer whose clock shows another zone, or is set back: what it makes of the same files is the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lakehouse.errors import StateError
from lakehouse.ingest.sample import write_sample
from lakehouse.tables import delta, ops, runs
from lakehouse.tables.delta import Commit
from lakehouse.tables.runs import Terms
from tests import canonical, set_clock, shell
from tests.conftest import skip_or_fail
from tests.set_clock import TABLES

# Fourteen hours ahead of UTC; three and a half behind it, in winter; as it, in winter.
ZONES = ("Pacific/Kiritimati", "America/St_Johns", "Europe/London")
# Times that are not there, or are there twice, in one of them.
CHANGES = ("2023-03-12T02:30:00", "2023-03-26T01:30:00", "2023-10-29T01:30:00", "2023-11-05T01:30:00")


def answered(home: Path, zone: str, *words: str) -> object:
    done = shell.ran([*shell.PROGRAM, *words, "--json"], shell.environ(home) | {"TZ": zone})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_in_any_zone_the_same_files_make_the_same_tables_of_the_same_day(tmp_path: Path) -> None:
    write_sample(tmp_path / "raw", seed=11, weeks=4, products=30, customers=30)
    canonical.written(tmp_path / "raw", "changes.csv", *(f"{number},A,thing,1,{time},2.50,,France" for number, time in enumerate(CHANGES)))
    made = []
    for zone in ZONES:
        home = tmp_path / zone.replace("/", "-")
        answered(home, zone, "load", str(tmp_path / "raw"), "--source", "canonical")
        report = answered(home, zone, "run", "features")
        assert isinstance(report, dict)
        digests = answered(home, zone, "digest", *TABLES)
        assert isinstance(digests, list)
        made.append((report["as_of"], report["moment"], {one["table"]: one["digest"] for one in digests}))

    assert made[0] == made[1] == made[2]
    assert len(made[0][2]) == len(TABLES)


def test_stages_are_told_in_the_order_in_which_they_began_though_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, midnight = ops.connect(f"sqlite:///{tmp_path / 'ops.db'}"), datetime(2027, 3, 2, 0, 20)
    terms = Terms(midnight, midnight, "week", False, {"bronze.sales": 1}, "sail", "code", "settings")
    run = runs.begin(engine, terms, "lease").id
    for name, back in {"silver": 0, "gold": 1, "quality": 25, "features": 0}.items():
        monkeypatch.setattr(runs, "now", lambda back=back: midnight - timedelta(hours=back))
        runs.start_stage(engine, run, name)
    assert [stage.name for stage in runs.stage_runs(engine, run)] == ["silver", "gold", "quality", "features"]


def test_which_version_was_the_newest_at_a_time_that_has_passed_stays_though_the_clock_was_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Versions 0 to 4, the third of them written after the clock was set back by an hour."""
    ten = datetime(2027, 3, 2, 10, tzinfo=UTC)
    times = [ten, ten + timedelta(minutes=30), ten - timedelta(minutes=20), ten - timedelta(minutes=10), ten + timedelta(hours=1)]
    commits = [Commit(version, time, "WRITE", None) for version, time in enumerate(times)]
    monkeypatch.setattr(delta, "history", lambda _: commits[::-1])
    assert [delta.version_at("", ten + timedelta(minutes=minutes)) for minutes in (0, 10, 30, 31, 60)] == [0, 0, 1, 3, 4]
    with pytest.raises(StateError, match="first written"):
        delta.version_at("", ten - timedelta(minutes=5))


@pytest.mark.slow
def test_a_clock_that_is_set_back_over_midnight_by_an_hour_or_a_day_changes_nothing_that_is_told(tmp_path: Path) -> None:
    if lacking := set_clock.missing():
        skip_or_fail(lacking)
    write_sample(tmp_path / "raw", seed=11, weeks=4, products=30, customers=30)
    homes = set_clock.told(tmp_path)
    never = homes.pop("never")
    assert never["published"] == never["made"] == never["newest runs"][::-1]
    assert never["at its day"] and never["asked again"]
    assert [due for due, _ in never["turns"]] == ["03-03 03", "03-02 03"] and never["left"] == []
    waited, landed = never["behind"]
    assert waited == "waits" and (landed["file"], landed["lines"], landed["kept"]) == ("canonical/new.csv", 1, "")
    shown = [name for name in never if name not in ("published", "made", "newest runs")]
    for name, found in homes.items():
        assert {key: found[key] for key in shown} == {key: never[key] for key in shown}, name
        assert found["published"] == found["made"] == found["newest runs"][::-1], name
