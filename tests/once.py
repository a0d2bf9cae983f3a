"""What takes long to make is made once, by whichever worker needs it first, and copied or read by the others."""

from __future__ import annotations

import fcntl
import os
import pickle
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest

from lakehouse.databases import is_database

T = TypeVar("T")


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], T]) -> T:
    """What `make` returns when it is given a folder of its own. It is called once per test run; the others wait, and get a copy."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / "made" / re.sub(r"[^\w.-]", "-", name)
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "made.pickle"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            done.write_bytes(pickle.dumps(make(folder)))
    found: T = pickle.loads(done.read_bytes())
    return found


def copy_home(home: Path, to: Path) -> None:
    """Copies a home that others may be reading: databases as SQLite copies them, since what lies beside one (its log) comes and goes with its readers."""
    shutil.copytree(home, to, ignore=shutil.ignore_patterns("*.db-wal", "*.db-shm"), copy_function=_copy)


def _copy(source: str, target: str) -> None:
    if is_database(Path(source)):
        with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as written:
            read.backup(written)
        shutil.copystat(source, target)
    else:
        shutil.copy2(source, target)
