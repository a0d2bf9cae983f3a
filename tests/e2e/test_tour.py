"""The README's tour: every command of it, in order, as a reader would paste them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def commands() -> str:
    """All shell blocks below the tour's heading, as one script."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tour = text.split("## A tour of ten minutes")[1].split("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```$", tour, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 5
    return "\n".join(blocks)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_command_of_the_tour_works_in_order(tmp_path: Path) -> None:
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {"PATH": path, "HOME": str(tmp_path), "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)}

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands()],
        cwd=tmp_path,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-6000:]
    assert "1 of 71 files landed" in done.stdout
    assert '"forecast"' in done.stdout
    assert '"fallback":null' in done.stdout.replace(" ", "")
    assert (tmp_path / ".tour" / "explored.ipynb").is_file()
