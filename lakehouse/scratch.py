"""Folders that go with a process. What a killed one has left is removed when the next of its kind is made."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

from lakehouse import process

OWNERS = "owners.json"


def folder(parent: Path, prefix: str) -> Path:
    """A new folder of this process, readable by nobody else; those beside it with the same prefix whose processes are all gone are removed."""
    sweep(parent, prefix)
    made = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    share(made, os.getpid())
    return made


def share(made: Path, pid: int) -> None:
    """Keeps the folder until this process, too, is gone; one that is gone already changes nothing. On a full disk nobody will know whose it was."""
    with suppress(psutil.NoSuchProcess, OSError):
        owners = [*_owners(made), [process.here(), pid, process.born(pid)]]
        (made / OWNERS).write_text(json.dumps(owners), encoding="utf-8")


def sweep(parent: Path, prefix: str) -> None:
    """Removes the folders of this user whose processes, all of this host, are gone. One that doesn't say whose it is stays."""
    for found in parent.glob(f"{prefix}*"):
        with suppress(OSError):
            if found.lstat().st_uid == os.geteuid() and not found.is_symlink():
                owners = _owners(found)
                if owners and all(_is_gone(*owner) for owner in owners):
                    shutil.rmtree(found, ignore_errors=True)


def _owners(made: Path) -> list[tuple[str, int, float]]:
    try:
        return [(str(place), int(pid), float(born)) for place, pid, born in json.loads((made / OWNERS).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def _is_gone(place: str, pid: int, born: float) -> bool:
    return process.is_here(place) and (place != process.here() or not process.is_alive(pid, born))
