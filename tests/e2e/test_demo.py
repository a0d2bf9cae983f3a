"""`make demo` on files of one's own, as far as Python is concerned: from files to three answers of champions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trained import Trained

ROOT = Path(__file__).resolve().parents[2]


def demo(home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(home.parent), **more}
    words = [sys.executable, "-m", "jobs.demo", "--home", str(home)]
    return subprocess.run(words, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_ends_with_three_answers_of_champions_and_says_where_everything_is(trained: Trained, tmp_path: Path) -> None:
    done = demo(tmp_path / "home", DATA=str(trained.raw), SOURCE="canonical")
    assert done.returncode == 0, done.stdout[-4000:]
    assert done.stdout.count('"fallback": null') == 3
    for part in ("/v1/forecast", "/v1/segment", "/v1/recommend", "notebooks", "quality", "models"):
        assert part in done.stdout


def test_files_without_a_source_are_wrong_use_and_say_how(tmp_path: Path) -> None:
    done = demo(tmp_path / "home", DATA=str(tmp_path))
    assert done.returncode == 2
    assert "DATA needs SOURCE" in done.stdout
