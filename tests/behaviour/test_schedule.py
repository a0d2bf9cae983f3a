"""The timetable kept: missed times caught up once, tries again where that helps, one keeper, an end in order."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from jobs import pipeline, scheduling
from jobs.cli import main
from jobs.processes import ROOT
from jobs.scheduling import BEGUN, DONE, FAILED, SEEN, WAITING, Schedule, turns
from jobs.timetable import Timetable
from lakehouse.errors import InputError, LeaseHeld, SettingsError, TryAgain
from lakehouse.settings import Settings
from lakehouse.tables import Lake, lease, ops, runs
from lakehouse.tables.runs import Terms
from tests import shell
from tests.conftest import SECRET
from tests.pages import page
from tests.served import until
from tests.timetabled import keeper, missed, names, overdue, put, table


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake(settings)


def test_what_was_missed_is_caught_up_once_however_long_it_was(lake: Lake, settings: Settings, inbox: Path) -> None:
    schedule, said = keeper(settings, table())
    put(inbox, "a.csv")
    assert schedule.once()  # a new job: its times count from now on
    assert turns(lake)["nightly"][0].state == SEEN and names(inbox / "canonical") == ["a.csv"]
    missed(lake, days=12)
    assert schedule.once()
    done = turns(lake, 5)["nightly"]
    assert [turn.state for turn in done] == [DONE, SEEN]
    assert timedelta(0) <= ops.now() - done[0].due < timedelta(days=1)
    assert done[0].message == "1 files landed (1 lines)" and names(inbox / "canonical") == []
    assert schedule.once() and len(turns(lake, 5)["nightly"]) == 2
    assert any("done. 1 files landed" in line for line in said)


def fails(times: int, error: Exception) -> Callable[..., list[object]]:
    """A pick-up that fails so often, and then finds nothing."""
    left = [error] * times

    def pick(*_: object) -> list[object]:
        if left:
            raise left.pop()
        return []

    return pick


@pytest.mark.parametrize(
    ("error", "times", "state"),
    [
        (TryAgain("the engine is away"), 2, DONE),
        (LeaseHeld("somebody is writing"), 2, DONE),
        (TryAgain("the engine is away"), 3, FAILED),
        (LeaseHeld("somebody is writing"), 3, WAITING),
        (InputError("no such thing"), 1, FAILED),
        (ZeroDivisionError("a defect"), 1, FAILED),
    ],
)
def test_it_is_tried_again_only_where_that_can_help(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception, times: int, state: str
) -> None:
    schedule, said = overdue(lake, settings, table(tries=3))
    monkeypatch.setattr(scheduling, "pick_up", fails(times, error))
    assert schedule.once() == (state == DONE)
    turn = turns(lake)["nightly"][0]
    tried_again = times if state == DONE else times - 1
    assert (turn.state, turn.tries) == (state, 0 if state == WAITING else tried_again)
    assert sum("again in" in line for line in said) == tried_again
    if state == WAITING:  # whoever writes may do so for hours: the turn is done at a later look
        assert schedule.once() and turns(lake)["nightly"][0].state == DONE
    if state == FAILED and not isinstance(error, ZeroDivisionError):  # what a defect says may name a file
        assert str(error) in turn.message


def test_what_an_earlier_try_landed_and_rejected_is_told_by_the_last_and_what_has_not_settled_too(
    lake: Lake, settings: Settings, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in (put(inbox, "a.csv"), inbox / "canonical" / "broken.parquet"):
        file.touch()
        os.utime(file, (time.time() - 600, time.time() - 600))
    put(inbox, "new.csv", "2,B,1,2011-01-04T10:00:00,1.00")
    schedule, said = overdue(lake, settings, table(("load", "verify"), tries=2, settle_s=300))
    monkeypatch.setattr(scheduling, "verify", fails(1, TryAgain("the registry is away")))
    assert not schedule.once()
    turn = turns(lake)["nightly"][0]
    assert (turn.state, turn.tries) == (FAILED, 1)
    assert turn.message == "1 files landed (1 lines), 1 rejected, 1 not settled yet; verified"
    assert any("the registry is away (of the inbox: 1 files landed (1 lines), 1 rejected, 1 not settled yet)" in line for line in said)
    assert sum("new.csv: it was written to less than 300 s ago" in line for line in said) == 2
    assert names(inbox / "canonical") == ["new.csv", "rejected"]


@pytest.mark.parametrize(("times", "state"), [(2, DONE), (4, FAILED)])
def test_a_run_whose_stage_is_killed_is_tried_again_by_itself_and_then_by_the_timetable(
    lake: Lake,
    settings: Settings,
    inbox: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    times: int,
    state: str,
) -> None:
    monkeypatch.setattr(pipeline, "NOTEBOOKS", tmp_path / "pages")
    flags = tmp_path / "flags"
    killed = (
        f"import pathlib\nfrom lakehouse.errors import ProcessKilled\nflags = pathlib.Path({str(flags)!r})\nflags.mkdir(exist_ok=True)\n"
        f"number = len(list(flags.iterdir()))\n(flags / str(number)).touch()\nif number < {times}:\n    raise ProcessKilled('out of memory')"
    )
    for stage in ("silver", "gold"):
        begin = f'import lakehouse\nlake = lakehouse.stage("{stage}", run=run, as_of=as_of)'
        page(tmp_path / "pages" / f"{stage}.ipynb", begin, killed if stage == "gold" else "pass", "lake.finish()")
    put(inbox, "a.csv")
    schedule, said = overdue(lake, settings, table(("load", "run silver gold"), tries=2))
    assert schedule.once() == (state == DONE)
    turn = turns(lake)["nightly"][0]
    assert (turn.state, turn.tries) == (state, 1)
    assert len(list(flags.iterdir())) == (3 if state == DONE else 4)  # two tries of a stage in each of the run
    assert any("stage gold failed" in line and "out of memory" in line for line in said)
    monkeypatch.setenv("ZEROMARGIN_PROFILE", "test")
    assert main(["--home", str(settings.home), "status"]) == 0
    shown = capsys.readouterr().out
    assert "inbox: 0 files wait, 0 in rejected/" in shown
    assert ("failed. stage gold failed in cell" in shown) == (state == FAILED)


def test_a_turn_that_kills_its_keeper_each_time_is_given_up(lake: Lake, settings: Settings) -> None:
    schedule, _ = overdue(lake, settings, table(tries=2))
    due = schedule._missed(lake, "nightly")
    assert due is not None
    for _ in range(3):  # begun, and begun anew by each that came after
        assert scheduling._claim(lake, "nightly", due, BEGUN)
    with lease.hold(lake.ops, "schedule", 60, 0, name=scheduling.LEASE) as held:
        assert not schedule._perform(lake, held, "nightly", due)
    assert turns(lake)["nightly"][0].state == FAILED and "was ended" in turns(lake)["nightly"][0].message


def test_a_keeper_that_is_ended_in_order_leaves_the_turn_to_the_next_one_and_it_was_no_try(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule, _ = overdue(lake, settings, table())

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(scheduling, "pick_up", interrupted)
        with pytest.raises(KeyboardInterrupt):
            schedule.once()
    assert (turns(lake)["nightly"][0].state, turns(lake)["nightly"][0].tries) == (WAITING, 0)
    assert schedule.once() and turns(lake)["nightly"][0].state == DONE


def test_where_nothing_is_due_the_next_time_is_said(lake: Lake, settings: Settings) -> None:
    schedule, said = keeper(settings, table())
    assert schedule.once() and schedule.once()
    assert [re.sub(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "DAY", line) for line in said] == [
        "nightly: first seen; next DAY 03:00 UTC",
        "nightly: nothing is due; next DAY 03:00 UTC",
    ]


def test_a_turn_that_has_ended_is_not_done_again_and_one_keeper_is_enough(lake: Lake, settings: Settings) -> None:
    schedule, said = overdue(lake, settings, table())
    due = schedule._missed(lake, "nightly")
    assert due is not None and scheduling._claim(lake, "nightly", due, DONE)
    with lease.hold(lake.ops, "schedule", 60, 0, name=scheduling.LEASE) as held:
        assert schedule._perform(lake, held, "nightly", due) and said == []
    with pytest.raises(LeaseHeld, match='the lease "schedule" was lost: nobody holds it now'):  # as where this host slept meanwhile
        schedule._perform(lake, held, "nightly", due)
    with (
        lease.hold(lake.ops, "schedule", 60, 0, name=scheduling.LEASE),
        pytest.raises(LeaseHeld, match=r'"schedule" \(process .* is at it already on this lake. Stop that one first'),
    ):
        schedule.once()


def test_a_run_is_left_out_where_nothing_has_landed(lake: Lake, settings: Settings, inbox: Path) -> None:
    put(inbox, "a.csv", *(f"{day},A,2,2011-01-{day:02}T10:00:00,2.50" for day in range(3, 29)))
    schedule, _ = overdue(lake, settings, table(("load", "run silver gold quality features", "verify")))
    assert schedule.once(), turns(lake)
    message = turns(lake)["nightly"][0].message
    assert "26 lines" in message and "published snapshot 1" in message and message.endswith("verified")
    whole, _ = overdue(lake, settings, table(("run",)))
    with lake.ops.begin() as connection:
        connection.execute(update(ops.runs).values(state="done"))
    assert whole.once()
    assert turns(lake)["nightly"][0].message == "nothing new to run on"
    begun = ops.now()
    runs.begin(lake.ops, Terms(begun, begun, "week", True, {"bronze.sales": 1}, "sail", "code", "settings"), "lease")
    again, _ = overdue(lake, settings, table(("run",)))
    assert again.once() and turns(lake)["nightly"][0].message == "nothing new to run on"  # a back-test that broke off is no work of its


def test_an_empty_lake_has_nothing_to_run_on_and_a_rejected_file_is_no_success(lake: Lake, settings: Settings, inbox: Path) -> None:
    schedule, _ = overdue(lake, settings, table(("load", "run")))
    assert schedule.once()
    assert turns(lake)["nightly"][0].message == "0 files landed (0 lines); nothing new to run on"
    (inbox / "canonical" / "orders-of-98765432109876.parquet").write_bytes(b"PAR1 and no more")
    missed(lake, days=2)
    assert not schedule.once()
    turn = turns(lake)["nightly"][0]
    assert (turn.state, turn.message) == (FAILED, "0 files landed (0 lines), 1 rejected; nothing new to run on")
    assert b"98765432109876" not in (settings.home / "ops.db").read_bytes()


def test_a_timetable_that_is_changed_counts_from_the_next_look_and_a_wrong_one_does_not(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = {"at": "0 3 * * *", "do": ("load",)}
    looks: list[Timetable | Exception] = [
        table(),
        SettingsError("jobs is no list"),
        SettingsError("jobs is no list"),
        table(jobs={}),
        table(jobs={"later": job}),
    ]
    said: list[str] = []

    def look(_: Settings) -> Timetable:
        if not looks:
            raise KeyboardInterrupt
        found = looks.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    schedule = Schedule(settings, said.append, look)
    monkeypatch.setattr(scheduling, "LOOK_S", 0)
    with pytest.raises(KeyboardInterrupt):
        schedule.forever()
    told = [line for line in said if "next" not in line]
    assert told == [
        "the timetable can't be read anew, and what it said before is kept: jobs is no list",
        *["the timetable was changed"] * 2,
    ]
    assert [line.partition(":")[0] for line in said if "next" in line] == ["nightly", "later"]


def test_a_turn_that_a_killed_keeper_had_begun_is_done_and_a_clock_that_was_ahead_does_no_harm(lake: Lake, settings: Settings) -> None:
    schedule, _ = overdue(lake, settings, table())
    due = schedule._missed(lake, "nightly")
    assert due is not None and scheduling._claim(lake, "nightly", due, BEGUN)
    scheduling._claim(lake, "nightly", ops.now() + timedelta(days=2000), DONE)
    assert schedule.once()
    assert (turns(lake)["nightly"][0].due, turns(lake)["nightly"][0].state) == (due, DONE)


@pytest.mark.slow
def test_it_does_what_was_missed_says_when_it_comes_next_and_ends_in_order(
    lake: Lake, settings: Settings, inbox: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(inbox, "a.csv")
    for name in ("nightly", "weekly"):
        scheduling._claim(lake, name, ops.now() - timedelta(days=1.5), SEEN)
    for file in (inbox / "canonical").iterdir():
        os.utime(file, (time.time() - 60, time.time() - 60))
    settings_of = {"ZEROMARGIN_HOME": str(settings.home), "ZEROMARGIN_PROFILE": "test", "ZEROMARGIN_VAULT__SECRET": SECRET}
    for name, value in settings_of.items():
        monkeypatch.setenv(name, value)
    log = (tmp_path / "log").open("w")
    process = subprocess.Popen(
        [*shell.PROGRAM, "schedule"], stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, env={**os.environ, **settings_of}
    )
    try:
        until(lambda: "nightly" in turns(lake) and turns(lake)["nightly"][0].state not in (SEEN, BEGUN), "the missed turn is done")
        assert main(["status"]) == 0
        told = " ".join(capsys.readouterr().out.split())
        assert 'Timetable: kept by "schedule" (process' in told and "nightly: next" in told
        assert main(["schedule", "--once"]) == 1  # there is a keeper
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 130
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
    text = (tmp_path / "log").read_text()
    assert "1 files landed (1 lines)" in text and "Traceback" not in text
    assert main(["status"]) == 0
    assert "nobody keeps it now" in capsys.readouterr().out
