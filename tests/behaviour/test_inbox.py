"""Files picked up from the inbox: taken whole, by source, and none lost that can't be taken."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import update

from jobs import inbox as inboxes
from jobs import timetable
from jobs.cli import main
from jobs.inbox import pick_up
from jobs.picked import Tally
from jobs.scheduling import turns
from lakehouse.errors import LeaseHeld
from lakehouse.ingest import load, sources
from lakehouse.ingest.loading import Landed
from lakehouse.ingest.unloading import unload
from lakehouse.settings import Settings
from lakehouse.tables import Lake, ops, runs
from lakehouse.tables.runs import Terms
from tests.retailers import grocery_lines, purchases
from tests.timetabled import names, overdue, put, table


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake(settings)


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
    assert found["canonical/b.csv"].refused == 1 and "Lines of it were refused (bad_quantity 1)" in found["canonical/b.csv"].kept
    assert "not a whole Parquet file" in found["canonical/broken.parquet"].rejected
    assert 'ends in ".doc"' in found["canonical/notes.doc"].rejected
    assert 'Did you mean "canonical"' in found["canonicl/"].waits
    assert names(inbox / "canonical") == ["half.csv.part", "rejected"]
    aside = ["b.csv", "b.csv.reason.txt", "broken.parquet", "broken.parquet.reason.txt", "notes.doc", "notes.doc.reason.txt"]
    assert names(inbox / "canonical" / "rejected") == aside
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


def test_a_file_that_landed_and_cannot_be_moved_is_told_with_its_lines_and_lands_once(lake: Lake, inbox: Path) -> None:
    put(inbox, "a.csv")
    (inbox / "canonical" / "landed").symlink_to(inbox / "a-disk-that-is-away")
    tally = Tally()
    with lake:
        for lines in (1, 0):
            (one,) = pick_up(lake, inbox, table(keep_landed=True), tally.note)
            assert one.lines == lines and "can't be moved or removed" in one.waits
        assert ("though it has landed" in one.waits, tally.files, tally.lines) == (False, 1, 1)
        (inbox / "canonical" / "landed").unlink()
        (one,) = pick_up(lake, inbox, table(keep_landed=True))
        assert one.already and not one.waits
        assert lake.read("bronze.sales").count() == 1
    assert names(inbox / "canonical" / "landed") == ["a.csv"]


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
    put(inbox, "sales.csv")
    real, tally = inboxes.load, Tally()

    def load(lake: Lake, file: Path, source: str) -> object:
        landed = real(lake, file, source)
        with file.open("a", encoding="utf-8") as sender:
            sender.write("2,B,1,2011-01-04T10:00:00,1.00\n")
        return landed

    with lake:
        with monkeypatch.context() as patch:
            patch.setattr(inboxes, "load", load)
            (one,) = pick_up(lake, inbox, table(), tally.note)
        assert tally.told == "0 files landed (0 lines), 1 wait for something"
        assert (one.lines, "written to while it landed" in one.waits) == (0, True)
        assert names(inbox / "canonical") == ["sales.csv"]
        assert lake.read("bronze.sales").count() == 0  # of a source whose repeats are kept it would count twice beside the whole file
        assert [one.lines for one in pick_up(lake, inbox, table())] == [2]
        assert [row["product_code"] for row in lake.read("bronze.sales").orderBy("line_number").toArrow().to_pylist()] == ["A", "B"]
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
    for mounted in (inbox, inbox / "canonical"):
        (mounted / "lost+found").mkdir()
    long = f"{'售' * 80}.csv"
    put(inbox, long)
    with lake:
        found = {one.file: one.waits for one in pick_up(lake, inbox, table())}
    assert list(found) == ["a.csv", f"canonical/{long}", "canonical/2011/"]
    assert "longer than 240 bytes" in found[f"canonical/{long}"]
    assert "lies in no source's folder" in found["a.csv"] and "Move its files up" in found["canonical/2011/"]
    assert inboxes.put_aside(inbox, "test") == (3, 0)


def test_a_folder_that_may_not_be_looked_through_holds_up_no_other(lake: Lake, inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(inbox, "a.csv")
    for name in ("canonical/locked", "cdnow"):
        (inbox / name).mkdir()
    real = Path.iterdir

    def looked(folder: Path) -> Iterator[Path]:
        if folder.name in ("locked", "cdnow"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return real(folder)

    monkeypatch.setattr(Path, "iterdir", looked)  # whoever runs these tests may be allowed everything
    with lake:
        found = {one.file: one for one in pick_up(lake, inbox, table())}
    assert found["canonical/a.csv"].lines == 1 and "Move its files up" in found["canonical/locked/"].waits
    assert "it can't be looked through" in found["cdnow/"].waits and f"may not read or write {inbox / 'cdnow'}" in found["cdnow/"].waits


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
    assert turns(lake)["nightly"][0].message == (
        "1 files landed (3 lines, 2 of them refused), 1 of them kept for lines that were refused (1 for lines later than the clock)"
    )
    assert any("a.csv: 2 of its lines were refused as in_the_future" in line for line in said)
    (aside / "a.csv").rename(inbox / "canonical" / "a.csv")
    with lake:
        (one,) = pick_up(lake, inbox, table())  # it had landed, and what it says is still nowhere else
        assert one.already and one.kept and names(aside)[0] == "a.csv"
        (digest,) = re.findall(r"zeromargin unload ([0-9a-f]+)", (aside / "a.csv.reason.txt").read_text(encoding="utf-8"))
        assert unload(lake, digest).lines == 3


def test_a_file_of_which_lines_were_refused_is_kept_once_and_its_turn_has_gone_well(lake: Lake, settings: Settings, inbox: Path) -> None:
    lines = ("1,A,2,2011-01-03T10:00:00,2.50", "2,B,x,2011-01-03T10:00:00,1.00", "3,B,1")
    put(inbox, "a.csv", *lines)
    schedule, said = overdue(lake, settings, table())
    assert schedule.once()
    aside = inbox / "canonical" / "rejected"
    assert turns(lake)["nightly"][0].message == "1 files landed (3 lines, 2 of them refused), 1 of them kept for lines that were refused"
    assert any("a.csv: Lines of it were refused (bad_quantity 1, ragged_line 1)" in line for line in said)
    assert (aside / "a.csv").read_text(encoding="utf-8").endswith("3,B,1\n")
    with lake:
        put(inbox, "again.csv", *lines)  # the same content: what it says is kept already
        (one,) = pick_up(lake, inbox, table())
        assert (one.already, one.refused, one.kept, names(aside)) == (True, 0, "", ["a.csv", "a.csv.reason.txt"])
        (aside / "a.csv").rename(inbox / "canonical" / "a.csv")  # as if a kill had come between its landing and its move
        (one,) = pick_up(lake, inbox, table())
        assert one.already and "(bad_quantity 1, ragged_line 1)" in one.kept and "a.csv" in names(aside)


def test_a_fault_of_ours_in_one_file_does_not_keep_out_the_others(lake: Lake, inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(lake: Lake, path: Path, source: str) -> list[Landed]:
        if path.name.endswith("a.csv"):
            raise KeyError("17850")
        return load(lake, path, source)

    monkeypatch.setattr(inboxes, "load", fails)
    put(inbox, "a.csv")
    put(inbox, "b.csv", "2,B,1,2011-01-04T10:00:00,1.00")
    with lake:
        first, second = pick_up(lake, inbox, table())
    assert "by a fault of ours (KeyError" in first.waits and "17850" not in first.waits
    assert (second.lines, names(inbox / "canonical")) == (1, ["a.csv"])


def test_an_inbox_that_the_timetable_names_and_that_is_not_there_is_told(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    named = table(inbox="~/share")
    folder = timetable.inbox(lake.settings, named)
    assert folder == tmp_path / "share"
    with lake:
        (one,) = pick_up(lake, folder, named)
        assert "there is no such folder" in one.waits
        folder.mkdir()
        assert pick_up(lake, folder, named) == []
        assert pick_up(lake, lake.home / "no-inbox", table()) == []


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
        assert all(words in waiting.waits for words in ("door.trust_clock: true", "start a kept timetable anew"))
        assert new.name not in waiting.waits
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


def test_a_file_that_is_sent_anew_while_the_one_of_its_name_is_taken_lands_too(
    lake: Lake, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = put(inbox, "a.csv")

    def and_sent_anew(move: Callable[..., None], *names: Path) -> None:
        monkeypatch.undo()
        move(*names)
        put(inbox, "a.csv.part", "2,B,1,2011-01-04T10:00:00,1.00").replace(first)

    for name in ("link", "rename"):
        monkeypatch.setattr(os, name, partial(and_sent_anew, getattr(os, name)))
    with lake:
        assert [one.lines for one in pick_up(lake, inbox, table())] == [1]
        assert names(inbox / "canonical") == ["a.csv"]
        assert [one.lines for one in pick_up(lake, inbox, table())] == [1]
        assert lake.read("bronze.sales").count() == 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells who has a file open")
def test_a_file_that_somebody_has_open_to_write_to_waits_however_long_nothing_comes(lake: Lake, inbox: Path) -> None:
    file = put(inbox, "a.csv")
    with lake:
        with file.open("a", encoding="utf-8") as sender:
            os.utime(file, (time.time() - 600, time.time() - 600))
            (one,) = pick_up(lake, inbox, table(settle_s=30))
            assert one.fresh == "somebody has it open to write to: it waits for the next look"
            sender.write("2,B,1,2011-01-04T10:00:00,1.00\n")
        assert [one.lines for one in pick_up(lake, inbox, table())] == [2]


def test_a_text_whose_last_line_has_no_end_lands_with_a_word_of_doubt(lake: Lake, inbox: Path) -> None:
    for name in ("a.csv", "b.csv"):
        put(inbox, name, "1,A,2,2011-01-03T10:00:00,2.50" if name == "a.csv" else "2,A,2,2011-01-03T10:00:00,2.50")
    whole = (inbox / "canonical" / "b.csv").read_text(encoding="utf-8")
    (inbox / "canonical" / "b.csv").write_text(whole.rstrip("\n")[:-1], encoding="utf-8")
    with lake:
        ended, cut = pick_up(lake, inbox, table())
    assert (ended.lacks, cut.lines) == ("", 1)
    assert re.match(
        r"the last line has no line end. If the file was cut there, take it out again \(zeromargin unload [0-9a-f]{12}\)", cut.lacks
    )


def test_a_link_is_left_where_it_is_and_told(lake: Lake, inbox: Path, tmp_path: Path) -> None:
    put(inbox, "a.csv").rename(tmp_path / "elsewhere.csv")
    (inbox / "canonical" / "a.csv").symlink_to(tmp_path / "elsewhere.csv")
    with lake:
        (one,) = pick_up(lake, inbox, table())
    assert one.waits.startswith("it is a link. Put the file itself here")
    assert inboxes.put_aside(inbox, "test") == (1, 0)


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
