"""Folders that go with a process, and who clears those of a killed one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from lakehouse import process, scratch

MAKE = "import sys, pathlib, lakehouse.scratch as s; print(s.folder(pathlib.Path(sys.argv[1]), 'zm-'), flush=True); sys.stdin.read()"


def test_what_a_killed_process_left_is_removed_by_the_next_and_nobody_elses(tmp_path: Path) -> None:
    makers = [subprocess.Popen([sys.executable, "-c", MAKE, str(tmp_path)], stdin=-1, stdout=-1, text=True) for _ in range(3)]
    killed, living, shared = (Path(maker.stdout.readline().strip()) for maker in makers if maker.stdout)
    scratch.share(shared, makers[1].pid)
    others = {
        "of-another-host": [["elsewhere/1", 1, 0.0]],
        "of-another-container": [["/".join((*process.here().split("/")[:2], "1")), 1, 0.0]],
        "of-a-newer-version": {"what": "is this"},
    }
    for name, owners in others.items():
        (tmp_path / f"zm-{name}").mkdir()
        (tmp_path / f"zm-{name}" / scratch.OWNERS).write_text(json.dumps(owners))
    (tmp_path / "zm-of-an-older-version").mkdir()
    (tmp_path / "zm-link").symlink_to(killed)
    for maker in (makers[0], makers[2]):
        maker.kill()
        maker.wait()

    own = scratch.folder(tmp_path, "zm-")

    makers[1].communicate("")
    assert not killed.exists()
    assert living.exists() and shared.exists() and own.exists()
    assert {path.name for path in tmp_path.iterdir()} >= {"zm-link", "zm-of-an-older-version", *(f"zm-{name}" for name in others)}
    assert own.stat().st_mode & 0o077 == 0


def test_a_number_that_is_another_processs_by_now_keeps_nothing(tmp_path: Path) -> None:
    left = scratch.folder(tmp_path, "zm-")
    ((place, pid, born),) = json.loads((left / scratch.OWNERS).read_text())
    assert place == process.here()
    (left / scratch.OWNERS).write_text(json.dumps([[place, pid, born - 60]]))

    scratch.sweep(tmp_path, "zm-")

    assert not left.exists()
