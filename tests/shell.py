"""The command line on a home of a test's own, as a shell calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from jobs import processes
from tests.conftest import SECRET

PROGRAM = [sys.executable, "-m", "jobs.cli"]
PATIENCE_S = 600


def environ(home: Path, **own: object) -> dict[str, str]:
    """A command's environment: the profile of tests on this home, an engine of its own, and these settings (`ENDPOINT__MEMORY_GB=1`)."""
    chosen = {"HOME": home, "PROFILE": "test", "VAULT__KEYS": "derived", "VAULT__SECRET": SECRET} | own
    kept = {name: value for name, value in os.environ.items() if name != "SPARK_REMOTE"}
    return kept | {f"ZEROMARGIN_{name}": str(value) for name, value in chosen.items()} | {"PYTHONPATH": str(processes.ROOT)}


def ran(words: list[str], environment: dict[str, str], patience_s: int = PATIENCE_S) -> subprocess.CompletedProcess[str]:
    """What a program printed, on both channels apart, and its exit code."""
    return subprocess.run(words, env=environment, cwd=processes.ROOT, capture_output=True, text=True, check=False, timeout=patience_s)
