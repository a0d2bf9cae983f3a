"""New files, picked up from where they are put: one folder per source. What lies here is before the door and holds customer numbers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.timetable import Timetable
from lakehouse.errors import InputError, UnknownName
from lakehouse.ingest import load, sources
from lakehouse.ingest.sources import Source
from lakehouse.tables import Lake

REJECTED, LANDED = "rejected", "landed"
_NOT_YET = (".part", ".tmp", ".crdownload", ".filepart")


@dataclass(frozen=True)
class Picked:
    """One file, by its place in the inbox: lines that landed, whether it had landed before, or why it was rejected."""

    file: str
    lines: int = 0
    already: bool = False
    rejected: str = ""


def pick_up(lake: Lake, inbox: Path, timetable: Timetable) -> list[Picked]:
    """Lands every whole file of the inbox, source by source, in order of name. A file that has landed is removed, or moved to `landed` where the
    timetable keeps it; one that can't be taken is moved to `rejected` with the reason beside it, and those after it go on.

    Raises what may pass on another try (`LeaseHeld`, `TryAgain`) or concerns every file (`VaultError`); the files wait.
    """
    picked = []
    for folder in sorted(inbox.iterdir()) if inbox.is_dir() else ():
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        try:
            source = sources.find(folder.name, lake.settings.profile)
        except UnknownName as error:
            picked.append(Picked(f"{folder.name}/", rejected=str(error)))
            continue
        picked += [_take(lake, file, source, timetable) for file in _whole(folder, source, timetable.settle_s)]
    return picked


def _whole(folder: Path, source: Source, settle_s: float) -> Iterator[Path]:
    """Files that nobody writes to any more, and that are no table beside."""
    beside = "" if source.beside is None else source.beside.file
    for file in sorted(folder.iterdir()):
        if not file.is_file() or file.name.startswith((".", "~")) or file.name.endswith(_NOT_YET) or file.name == beside:
            continue
        # A clock that was set back must not have a file wait for years.
        if abs(time.time() - file.stat().st_mtime) >= settle_s:
            yield file


def _take(lake: Lake, file: Path, source: Source, timetable: Timetable) -> Picked:
    shown = f"{source.name}/{file.name}"
    try:
        (landed,) = load(lake, file, source.name)
    except InputError as error:
        place = _moved(file, REJECTED)
        place.with_name(f"{place.name}.reason.txt").write_text(f"{error}\n", encoding="utf-8")
        return Picked(shown, rejected=str(error))
    if timetable.keep_landed:
        _moved(file, LANDED)
    else:
        file.unlink()
    return Picked(shown, landed.lines, landed.already)


def _moved(file: Path, folder: str) -> Path:
    """Moves a file into a folder beside it, under a name that is free there."""
    into = file.parent / folder
    into.mkdir(exist_ok=True)
    place, number = into / file.name, 1
    while place.exists():
        number += 1
        place = into / f"{file.stem}-{number}{file.suffix}"
    file.rename(place)
    return place
