"""The timetable kept: files from the inbox, missed times caught up once, tries again where that helps, one keeper, an end in order."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from jobs import inbox as inboxes
from jobs import pipeline, scheduling
from jobs.cli import main
from jobs.inbox import pick_up
from jobs.processes import ROOT
from jobs.scheduling import BEGUN, DONE, FAILED, SEEN, WAITING, Schedule, turns
from jobs.timetable import Timetable
from lakehouse.errors import InputError, LeaseHeld, TryAgain
from lakehouse.ingest import sources
from lakehouse.ingest.unloading import unload
from lakehouse.settings import Settings
from lakehouse.tables import Lake, lease, ops, runs
from lakehouse.tables.runs import Terms
from tests import shell
from tests.conftest import SECRET
from tests.pages import page
from tests.retailers import grocery_lines, purchases
from tests.served import until

HEADER = "invoice,product_code,quantity,sold_at,unit_price"


def table(do: tuple[str, ...] = ("load",), tries: int = 3, **changes: object) -> Timetable:
    job = {"at": "0 3 * * *", "do": do, "tries": tries, "wait_s": 0}
    return Timetable.model_validate({"zone": "UTC", "inbox": None, "settle_s": 0, "keep_landed": False, "jobs": {"nightly": job}} | changes)


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake(settings)


@pytest.fixture
def inbox(settings: Settings) -> Path:
    (settings.home / "inbox" / "canonical").mkdir(parents=True)
    return settings.home / "inbox"


def put(inbox: Path, name: str, *lines: str, source: str = "canonical") -> Path:
    file = inbox / source / name
    file.write_text("\n".join((HEADER, *(lines or ("1,A,2,2011-01-03T10:00:00,2.50",)))) + "\n", encoding="utf-8")
    return file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def keeper(settings: Settings, found: Timetable) -> tuple[Schedule, list[str]]:
    said: list[str] = []
    made = Schedule(settings, said.append)
    made.timetable = found
    return made, said


def overdue(lake: Lake, settings: Settings, found: Timetable) -> tuple[Schedule, list[str]]:
    """A keeper whose jobs were last done two days ago."""
    missed(lake, days=2)
    return keeper(settings, found)


def missed(lake: Lake, days: float) -> None:
    """The jobs were last done so many days ago."""
    with lake.ops.begin() as connection:
        connection.execute(ops.turns.delete())
    scheduling._claim(lake, "nightly", ops.now() - timedelta(days=days), SEEN)


# ---------------------------------------------------------------------- the inbox


def test_files_land_by_source_and_are_gone_and_what_cannot_be_taken_lies_aside_with_the_reason(lake: Lake, inbox: Path) -> None:
    put(inbox, "a.csv")
    put(inbox, "b.csv", "2,B,1,2011-01-04T10:00:00,1.00", "3,B,x,2011-01-04T10:00:00,1.00")
    put(inbox, "same.csv")  # what a.csv says, once more
    (inbox / "canonical" / "broken.parquet").write_bytes(b"PAR1 and no more")
    (inbox / "canonical" / "notes.doc").write_text("hello", encoding="utf-8")
    put(inbox, "half.csv.part")
    (inbox / "canonicl").mkdir()
    put(inbox, "c.csv", source="canonicl")
    with lake:
        found = {one.file: one for one in pick_up(lake, inbox, table())}
        assert lake.read("bronze.sales").count() == 3
    assert (found["canonical/a.csv"].lines, found["canonical/b.csv"].lines, found["canonical/same.csv"].already) == (1, 2, True)
    assert "not a whole Parquet file" in found["canonical/broken.parquet"].rejected
    assert 'ends in ".doc"' in found["canonical/notes.doc"].rejected
    assert 'Did you mean "canonical"' in found["canonicl/"].waits
    assert names(inbox / "canonical") == ["half.csv.part", "rejected"]
    assert names(inbox / "canonical" / "rejected") == ["broken.parquet", "broken.parquet.reason.txt", "notes.doc", "notes.doc.reason.txt"]
    assert names(inbox / "canonicl") == ["c.csv"]


def test_a_file_that_is_still_written_to_waits_and_one_that_is_to_be_kept_is_moved(lake: Lake, inbox: Path) -> None:
    file = put(inbox, "a.csv")
    with lake:
        (one,) = pick_up(lake, inbox, table(settle_s=30))
        assert (one.file, one.lines, one.waits) == ("canonical/a.csv", 0, "") and "less than 30 s ago" in one.fresh
        assert names(inbox / "canonical") == ["a.csv"]
        os.utime(file, (time.time() - 60, time.time() - 60))
        assert [one.file for one in pick_up(lake, inbox, table(settle_s=30, keep_landed=True))] == ["canonical/a.csv"]
        put(inbox, "a.csv", "2,B,1,2011-01-04T10:00:00,1.00")
        pick_up(lake, inbox, table(keep_landed=True))
    assert names(inbox / "canonical" / "landed") == ["a-2.csv", "a.csv"]


def test_what_comes_under_the_same_name_while_a_file_lands_is_another_file(
    lake: Lake, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(inbox, "sales.csv")
    real = inboxes.load

    def load(*words: object) -> object:
        put(inbox, "sales.csv", "2,B,1,2011-01-04T10:00:00,1.00")  # the sender's next one
        return real(*words)  # type: ignore[arg-type]

    with lake:
        with monkeypatch.context() as patch:
            patch.setattr(inboxes, "load", load)
            assert [one.lines for one in pick_up(lake, inbox, table())] == [1]
        assert names(inbox / "canonical") == ["sales.csv"]
        assert [one.lines for one in pick_up(lake, inbox, table())] == [1]
        assert lake.read("bronze.sales").count() == 2
    assert names(inbox / "canonical") == []


def test_what_is_written_to_a_file_while_its_lines_are_committed_lands_at_the_next_look(
    lake: Lake, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, sender = inboxes.load, put(inbox, "sales.csv").open("a", encoding="utf-8")

    def load(*words: object) -> object:
        landed = real(*words)  # type: ignore[arg-type]
        sender.write("2,B,1,2011-01-04T10:00:00,1.00\n")
        sender.close()
        return landed

    with lake:
        with monkeypatch.context() as patch:
            patch.setattr(inboxes, "load", load)
            (one,) = pick_up(lake, inbox, table())
        assert (one.lines, "written to while it landed" in one.waits) == (1, True)
        assert names(inbox / "canonical") == ["sales.csv"]
        assert [one.lines for one in pick_up(lake, inbox, table())] == [2]  # the first of them is a copy, which silver takes once
        assert {row["product_code"] for row in lake.read("bronze.sales").toArrow().to_pylist()} == {"A", "B"}
    assert names(inbox / "canonical") == []


def test_what_a_killed_keeper_had_begun_to_take_is_taken_first(lake: Lake, inbox: Path) -> None:
    put(inbox, "sales.csv").rename(inbox / "canonical" / ".taking-sales.csv")
    put(inbox, "sales.csv", "2,B,1,2011-01-04T10:00:00,1.00")
    with lake:
        assert [(one.file, one.lines) for one in pick_up(lake, inbox, table())] == [("canonical/sales.csv", 1)] * 2
    assert names(inbox / "canonical") == []


def test_a_file_waits_where_the_fault_is_not_its_own(lake: Lake, inbox: Path) -> None:
    shape = inbox / "complete-journey"
    shape.mkdir()
    grocery_lines(shape)
    products = (shape / "products.csv").read_text(encoding="utf-8")
    (shape / "products.csv").write_text("product_id\n", encoding="utf-8")
    with lake:
        (one,) = pick_up(lake, inbox, table())
        assert 'no column "product_type"' in one.waits and ".taking" not in one.waits
        assert names(shape) == ["products.csv", "transactions.csv"]
        (shape / "products.csv").write_text(products, encoding="utf-8")
        assert pick_up(lake, inbox, table())[0].lines > 0
    assert names(shape) == ["products.csv"]


def test_the_files_of_a_source_wait_until_the_table_beside_them_is_whole(lake: Lake, inbox: Path) -> None:
    shape = inbox / "complete-journey"
    shape.mkdir()
    grocery_lines(shape)
    products = (shape / "products.csv").read_text(encoding="utf-8")
    (shape / "products.csv").write_text(products[: products.index("1020,")], encoding="utf-8")  # half of it, whole lines
    (inbox / "cdnow").mkdir()
    purchases(inbox / "cdnow")
    for file in (shape / "transactions.csv", inbox / "cdnow" / "CDNOW_master.txt"):
        os.utime(file, (time.time() - 60, time.time() - 60))
    with lake:
        found = pick_up(lake, inbox, table(settle_s=30))
        assert [(one.file, one.waits) for one in found] == [
            ("cdnow/CDNOW_master.txt", ""),
            ("complete-journey/products.csv", "it is still written to, and so the files beside it wait (1)"),
        ]
        assert names(shape) == ["products.csv", "transactions.csv"]
        os.utime(shape / "products.csv", (time.time() - 60, time.time() - 60))
        (one,) = pick_up(lake, inbox, table(settle_s=30))  # nobody can tell that more was to come: what is missing is said
    assert re.fullmatch(r"\d,\d{3} lines of products that products.csv lacks", one.lacks) and one.lines > 0


def test_a_wrong_entry_holds_up_its_own_folder_alone(
    lake: Lake, inbox: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(inbox, "a.csv")
    (inbox / "cdnow").mkdir()
    purchases(inbox / "cdnow")
    real = sources.conf_file
    with monkeypatch.context() as patch:
        patch.setattr(
            sources, "conf_file", lambda *words: (entries := real(*words)) | {"cdnow": entries["cdnow"] | {"currency": "dollars"}}
        )
        with lake:
            found = {one.file: one for one in pick_up(lake, inbox, table())}
            assert lake.read("bronze.sales").count() == 1
        assert 'source "cdnow" of sources.yml, currency' in found["cdnow/"].waits
        assert main(["--home", str(lake.home), "sources", "list", "--json"]) == 0
    rows = {row["name"]: row["fault"] for row in json.loads(capsys.readouterr().out)}
    assert "currency" in rows["cdnow"] and rows["canonical"] is None
    assert names(inbox / "cdnow") == ["CDNOW_master.txt"] and names(inbox / "canonical") == []


def test_what_lies_where_no_file_is_looked_for_is_named(lake: Lake, inbox: Path) -> None:
    put(inbox, "a.csv").rename(inbox / "a.csv")
    (inbox / "canonical" / "2011").mkdir()
    put(inbox, "2011/b.csv")
    (inbox / "canonical" / "empty").mkdir()
    with lake:
        found = {one.file: one.waits for one in pick_up(lake, inbox, table())}
    assert list(found) == ["a.csv", "canonical/2011/"]
    assert "lies in no source's folder" in found["a.csv"] and "Move its files up" in found["canonical/2011/"]
    assert inboxes.put_aside(inbox, "test") == (2, 0)


def test_a_source_of_another_currency_waits_and_the_rest_lands(lake: Lake, inbox: Path) -> None:
    put(inbox, "a.csv")
    (inbox / "cdnow").mkdir()
    purchases(inbox / "cdnow")
    put(inbox, "b.csv", "2,B,1,2011-01-04T10:00:00,1.00").rename(inbox / "canonical" / "~b.csv")
    with lake:
        found = {one.file: one for one in pick_up(lake, inbox, table())}
    assert found["canonical/a.csv"].lines == 1 and "is in USD, and this lake holds 1 lines" in found["cdnow/CDNOW_master.txt"].waits
    assert inboxes.put_aside(inbox, "test") == (1, 0)


def test_a_file_with_lines_later_than_the_clock_lands_and_is_kept_with_what_to_do(lake: Lake, settings: Settings, inbox: Path) -> None:
    lines = ("1,A,2,2011-01-03T10:00:00,2.50", "2,B,1,2091-01-03T10:00:00,1.00", "3,B,1,2091-01-03T10:00:00,1.00")
    put(inbox, "a.csv", *lines)
    schedule, said = overdue(lake, settings, table())
    assert not schedule.once()
    aside = inbox / "canonical" / "rejected"
    assert names(aside) == ["a.csv", "a.csv.reason.txt"] and inboxes.put_aside(inbox, "test") == (0, 1)
    assert turns(lake)["nightly"][0].message == "1 files landed (3 lines), 1 of them kept for lines later than the clock"
    assert any("a.csv: 2 of its lines were refused as in_the_future" in line for line in said)
    (aside / "a.csv").rename(inbox / "canonical" / "a.csv")
    with lake:
        (one,) = pick_up(lake, inbox, table())  # it had landed, and what it says is still nowhere else
        assert one.already and one.kept and names(aside)[0] == "a.csv"
        (digest,) = re.findall(r"zeromargin unload ([0-9a-f]+)", (aside / "a.csv.reason.txt").read_text(encoding="utf-8"))
        assert unload(lake, digest).lines == 3


def test_with_a_clock_behind_what_the_lake_has_recorded_no_line_is_judged_and_that_file_alone_waits(lake: Lake, inbox: Path) -> None:
    now = ops.now()
    recorded = now + timedelta(days=7)
    sold = f"{now + timedelta(days=5):%Y-%m-%dT%H:%M:%S}"
    new, old = put(inbox, "a.csv", "1,A,2,2011-01-03T10:00:00,2.50", f"2,B,1,{sold},1.00"), put(inbox, "b.csv")
    runs.begin(lake.ops, Terms(now, now, "week", False, {"bronze.sales": 1}, "sail", "code", "settings"), "lease")
    with lake:
        _begun(lake, recorded)
        waiting, landed = pick_up(lake, inbox, table())
        assert re.search(f"shows {now:%Y-%m-%d}.* recorded something at {recorded:%Y-%m-%d %H:%M:%S} UTC", waiting.waits)
        assert "door.trust_clock: true" in waiting.waits and new.name not in waiting.waits
        assert (landed.file, landed.lines, landed.waits) == ("canonical/b.csv", 1, "")  # a line of the past needs no clock
        assert new.exists() and not old.exists() and lake.read("bronze.sales").count() == 1
        with Lake(_trusting(lake.settings), endpoint=lake.endpoint) as trusting:
            (kept,) = pick_up(trusting, inbox, table())  # it was ahead before: the line is refused, and the file is not lost
        assert kept.lines == 2 and "1 of its lines were refused as in_the_future" in kept.kept
        assert names(inbox / "canonical" / "rejected") == ["a.csv", "a.csv.reason.txt"]


def _trusting(settings: Settings) -> Settings:
    return settings.model_copy(update={"door": settings.door.model_copy(update={"trust_clock": True})})


def _begun(lake: Lake, when: datetime) -> None:
    """The only run was begun then."""
    with lake.ops.begin() as connection:
        connection.execute(update(ops.runs).values(started_at=when))


def test_the_reason_names_the_file_where_it_lies_then(lake: Lake, inbox: Path) -> None:
    put(inbox, "it's a.csv", "1,A,x,2011-01-03T10:00:00,2.50")
    with lake:
        (one,) = pick_up(lake, inbox, table())
    command = shlex.split(one.rejected.partition("makes of it: ")[2])
    assert command[:3] == ["zeromargin", "sources", "check"] and Path(command[3]) == inbox / "canonical" / "rejected" / "it's a.csv"
    assert Path(command[3]).is_file()
    assert inboxes.put_aside(inbox, "test") == (0, 1)


def test_where_there_are_no_links_files_land_too_and_none_is_overwritten(lake: Lake, inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)
    put(inbox, "a.csv")
    with lake:
        assert [one.lines for one in pick_up(lake, inbox, table())] == [1]
    taken, other = put(inbox, "b.csv").rename(inbox / "b"), put(inbox, "c.csv")
    with pytest.raises(FileExistsError):
        inboxes._rename(other, taken)
    assert other.exists()


def test_a_lake_that_somebody_writes_to_leaves_the_files_where_they_are(lake: Lake, settings: Settings, inbox: Path) -> None:
    put(inbox, "a.csv")
    with lake, Lake(settings) as other, other.lease("a long load"), pytest.raises(LeaseHeld):
        pick_up(lake, inbox, table())
    assert names(inbox / "canonical") == ["a.csv"]


# ---------------------------------------------------------------------- turns


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
    assert (turn.state, turn.tries) == (state, times if state == DONE else (2 if times == 3 else 0))
    assert sum("again in" in line for line in said) == turn.tries
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
    assert not schedule._perform(lake, "nightly", due)
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
    assert schedule._perform(lake, "nightly", due) and said == []
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


def test_a_turn_that_a_killed_keeper_had_begun_is_done_and_a_clock_that_was_ahead_does_no_harm(lake: Lake, settings: Settings) -> None:
    schedule, _ = overdue(lake, settings, table())
    due = schedule._missed(lake, "nightly")
    assert due is not None and scheduling._claim(lake, "nightly", due, BEGUN)
    scheduling._claim(lake, "nightly", ops.now() + timedelta(days=2000), DONE)
    assert schedule.once()
    assert (turns(lake)["nightly"][0].due, turns(lake)["nightly"][0].state) == (due, DONE)


# ---------------------------------------------------------------------- clocks


class Enough(Exception):
    """What is said ends the keeper."""


@pytest.mark.timeout(15)
def test_a_turn_comes_though_the_clock_was_set_ahead_while_it_was_waited_for(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is after a sleep of the host, in which the clock by which a process waits stands still."""
    now, said = [datetime(2126, 3, 2, 12)], []
    monkeypatch.setattr(ops, "now", lambda: now[0])
    monkeypatch.setattr(scheduling, "LOOK_S", 0.05)

    def say(text: str) -> None:
        said.append(text)
        if text == "nightly: next 2126-03-03 03:00 UTC":
            now[0] += timedelta(hours=20)
        elif "done" in text:
            raise Enough

    schedule, _ = keeper(settings, table())
    schedule._say = say
    with pytest.raises(Enough):
        schedule.forever()
    assert said[1:] == ["nightly: due 2126-03-03 03:00 UTC", "nightly: done. 0 files landed (0 lines)"]


@pytest.mark.timeout(15)
def test_a_clock_that_is_set_back_brings_no_turn_twice_and_what_comes_next_is_told(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, said = [datetime(2126, 3, 2, 3, 30)], []
    scheduling._claim(lake, "nightly", datetime(2126, 3, 1, 3), DONE)
    monkeypatch.setattr(ops, "now", lambda: now[0])
    monkeypatch.setattr(scheduling, "LOOK_S", 0.05)
    clock = iter([datetime(2126, 3, 1, 2, 30), datetime(2126, 3, 1, 3, 30), datetime(2126, 3, 2, 3, 30), datetime(2126, 3, 3, 3, 30)])

    def say(text: str) -> None:
        said.append(text)
        if "next" in text:
            now[0] = next(clock)
        elif "due 2126-03-03" in text:
            raise Enough

    schedule, _ = keeper(settings, table())
    schedule._say = say
    with pytest.raises(Enough):
        schedule.forever()
    assert [text.removeprefix("nightly: ") for text in said] == [
        "due 2126-03-02 03:00 UTC",
        "done. 0 files landed (0 lines)",
        "next 2126-03-03 03:00 UTC",
        "next 2126-03-01 03:00 UTC",
        "next 2126-03-02 03:00 UTC",
        "next 2126-03-03 03:00 UTC",
        "due 2126-03-03 03:00 UTC",
    ]


def test_over_an_hour_that_is_shown_twice_what_was_missed_is_caught_up_once(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On 2026-10-25 London's clock goes from 01:59 back to 01:00, at 01:00 UTC."""
    found = table(zone="Europe/London", jobs={"nightly": {"at": "30 1 * * *", "do": ("load",), "tries": 1, "wait_s": 0}})
    schedule, said = keeper(settings, found)
    scheduling._claim(lake, "nightly", datetime(2026, 10, 23, 0, 30), DONE)
    looks = [(25, 0, 20), (25, 0, 35), (25, 0, 55), (25, 1, 20), (25, 1, 35), (25, 2, 5), (26, 1, 25), (26, 1, 35)]
    for day, hour, minute in looks:
        monkeypatch.setattr(ops, "now", lambda when=datetime(2026, 10, day, hour, minute): when)
        assert schedule.once()
    assert [text for text in said if ": due " in text] == [f"nightly: due 2026-10-{day} 01:30 Europe/London" for day in (24, 25, 26)]


@pytest.mark.parametrize("hours", [1, 25])
def test_a_keeper_that_slept_through_an_hour_that_is_shown_twice_catches_it_up_once(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    found = table(zone="Europe/London", jobs={"nightly": {"at": "30 1 * * *", "do": ("load",), "tries": 1, "wait_s": 0}})
    schedule, said = keeper(settings, found)
    scheduling._claim(lake, "nightly", datetime(2026, 10, 24, 0, 30), DONE)
    slept = datetime(2026, 10, 25, 0, 20) + timedelta(hours=hours)
    for look in (slept, slept + timedelta(minutes=5)):
        monkeypatch.setattr(ops, "now", lambda when=look: when)
        assert schedule.once()
    assert [text for text in said if ": due " in text] == ["nightly: due 2026-10-25 01:30 Europe/London"]


# ---------------------------------------------------------------------- as a process


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
