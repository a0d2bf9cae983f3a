"""What senders and hosts do to an inbox: names that are no text, folders that are links, files opened at the wrong moment, a log on a full disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs import inbox as inboxes
from jobs import processes
from jobs.inbox import pick_up
from lakehouse.errors import DiskFull, LeaseHeld, NoPermission
from lakehouse.settings import Settings
from lakehouse.tables import Lake
from tests.timetabled import names, put, table

# Opens the file to write just as it has been given the lease that tells whether anybody has.
OVERTAKEN = """
import fcntl, subprocess, sys, time
from pathlib import Path
from jobs.open_files import is_being_written
real = fcntl.fcntl
def overtaken(opened, command, *words):
    said = real(opened, command, *words)
    if words == (fcntl.F_RDLCK,):
        subprocess.Popen([sys.executable, "-c", "import sys; open(sys.argv[1], 'a')", sys.argv[1]])
        time.sleep(1)
    return said
fcntl.fcntl = overtaken
print(is_being_written(Path(sys.argv[1])))
"""


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake(settings)


def test_a_name_that_is_no_text_is_laid_aside_with_its_reason_and_those_after_it_land(lake: Lake, inbox: Path) -> None:
    folder = inbox / "canonical"
    wrong = Path(os.fsdecode(os.fsencode(folder) + b"/M\xe4rz.csv"))
    wrong.write_text("a,b\n1,2\n", encoding="utf-8")
    put(inbox, "z.csv")
    with lake:
        first, last = pick_up(lake, inbox, table())
    assert first.rejected and last.lines == 1
    assert [os.fsencode(name) for name in names(folder / "rejected")] == [b"M\xe4rz.csv", b"M\xe4rz.csv.reason.txt"]
    (reason,) = (folder / "rejected").glob("*.reason.txt")
    assert "does not begin with the columns of" in reason.read_text(encoding="utf-8") and "M\\udce4rz.csv" in reason.read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize(("into", "code"), [("/dev/full", 0), ("/dev/null", 0)])
def test_a_line_of_the_schedule_that_cannot_be_written_ends_nothing(into: str, code: int) -> None:
    program = "from jobs.cli_schedule import _say; _say('M\\udce4rz.csv: it is a link')"
    with Path(into).open("w", encoding="utf-8") as out:
        said = subprocess.run(
            [sys.executable, "-c", f"{program}; import os; os._exit(0)"],
            stdout=out,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
            cwd=processes.ROOT,
            check=False,
            text=True,
        )
    assert (said.returncode, said.stderr) == (code, "")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells who has a file open")
def test_whoever_opens_a_file_while_it_is_asked_for_ends_nobody(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a", encoding="utf-8")
    said = subprocess.run(
        [sys.executable, "-c", OVERTAKEN, str(tmp_path / "a.csv")],
        capture_output=True,
        text=True,
        cwd=processes.ROOT,
        check=False,
        timeout=60,
    )
    assert (said.returncode, said.stdout, said.stderr) == (0, "False\n", "")


def test_files_behind_a_folder_that_is_a_link_are_taken_and_counted(lake: Lake, inbox: Path, tmp_path: Path) -> None:
    (inbox / "canonical").rename(tmp_path / "sent")
    (inbox / "canonical").symlink_to(tmp_path / "sent")
    put(inbox, "a.csv")
    (inbox / "canonical" / "notes.doc").write_text("hello", encoding="utf-8")
    assert inboxes.put_aside(inbox, "test") == (2, 0)
    with lake:
        assert [one.lines for one in pick_up(lake, inbox, table())] == [1, 0]
    assert inboxes.put_aside(inbox, "test") == (0, 1)


@pytest.mark.parametrize(
    ("error", "meant"),
    [(OSError(28, "No space left on device"), DiskFull), (PermissionError(13, "Permission denied", "/home/secrets/vault"), NoPermission)],
)
def test_what_the_system_says_of_the_lake_is_not_told_as_a_file_that_cannot_be_moved(
    lake: Lake, inbox: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, meant: type[Exception]
) -> None:
    def load(*_: object) -> object:
        raise error

    monkeypatch.setattr(inboxes, "load", load)
    put(inbox, "a.csv")
    with lake, pytest.raises(meant):
        pick_up(lake, inbox, table())
    assert names(inbox / "canonical") == ["a.csv"]


def test_what_cannot_be_taken_back_of_a_file_that_grew_is_told(lake: Lake, inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(inbox, "a.csv")
    real = inboxes.load

    def load(lake: Lake, file: Path, source: str) -> object:
        landed = real(lake, file, source)
        with file.open("a", encoding="utf-8") as sender:
            sender.write("2,B,1,2011-01-04T10:00:00,1.00\n")
        return landed

    def unload(*_: object) -> object:
        raise LeaseHeld("somebody else writes")

    monkeypatch.setattr(inboxes, "load", load)
    monkeypatch.setattr(inboxes, "unload", unload)
    with lake:
        (one,) = pick_up(lake, inbox, table())
    assert one.lines == 1 and "stays in bronze as " in one.waits and one.waits.endswith("(zeromargin unload): somebody else writes")
