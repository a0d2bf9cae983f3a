"""Finds the kernels that run for a home."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

from jobs import processes


def kernels(home: Path) -> list[psutil.Process]:
    """Kernels of stages of this home. Each was forked from what executes its notebook, and that from the nursery."""
    found = []
    for process in processes.marked(home / "runs"):
        with contextlib.suppress(psutil.Error):
            if "jobs.nursery" in process.cmdline() and sum("jobs.nursery" in one.cmdline() for one in (process, *process.parents())) == 3:
                found.append(process)
    return found
