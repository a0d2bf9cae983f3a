"""New files, picked up from where they are put: one folder per source. What lies here is before the door and holds customer numbers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.timetable import Timetable
from lakehouse.errors import InputError, SettingsError, TableBeside, UnknownName
from lakehouse.ingest import load, sources
from lakehouse.ingest.loading import stamp
from lakehouse.ingest.sources import Source
from lakehouse.tables import Lake

REJECTED, LANDED = "rejected", "landed"
TAKING = ".taking-"  # before the name of a file that is being landed: what comes under its own name meanwhile is another file
_NOT_YET = (".part", ".tmp", ".crdownload", ".filepart")
_LOOK_AGAIN_S = 1


@dataclass(frozen=True)
class Picked:
    """One file, by its place in the inbox: lines that landed, whether it had landed before, or what is wrong: with the file itself (`rejected`), or
    with something else, so that it waits."""

    file: str
    lines: int = 0
    already: bool = False
    rejected: str = ""
    waits: str = ""


def pick_up(lake: Lake, inbox: Path, timetable: Timetable) -> list[Picked]:
    """Lands every whole file of the inbox, source by source, in order of name. A file that has landed is removed, or moved to `landed` where the
    timetable keeps it; one that can't be taken is moved to `rejected` with the reason beside it, and those after it go on.

    A file is first given another name, so that what is removed is what was read. Raises what may pass on another try (`LeaseHeld`, `TryAgain`)
    or concerns every file (`SettingsError`, `VaultError`); the files wait.
    """
    picked = []
    for folder in sorted(inbox.iterdir()) if inbox.is_dir() else ():
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        try:
            source = sources.find(folder.name, lake.settings.profile)
        except UnknownName as error:
            picked.append(Picked(f"{folder.name}/", waits=str(error)))
            continue
        for file in _whole(folder, source, timetable.settle_s):
            picked.append(_take(lake, file, source, timetable))
    return picked


def _whole(folder: Path, source: Source, settle_s: float) -> Iterator[Path]:
    """Files that nobody writes to any more, and that are no table beside; those first that a killed process had begun to take."""
    beside = "" if source.beside is None else source.beside.file
    for file in sorted(folder.iterdir()):
        taken = file.name.startswith(TAKING)
        if not taken and (file.name.startswith((".", "~")) or file.name.endswith(_NOT_YET) or file.name == beside):
            continue
        try:
            if file.is_file() and (taken or _is_settled(file, settle_s)):
                yield file
        except OSError:  # it went away
            continue


def _is_settled(file: Path, settle_s: float) -> bool:
    age = time.time() - file.stat().st_mtime
    if age >= 0 or settle_s == 0:
        return age >= settle_s or settle_s == 0
    # The writer's clock is ahead of ours, or ours was set back: nothing but looking twice tells.
    before = stamp(file.stat())
    time.sleep(min(settle_s, _LOOK_AGAIN_S))
    return stamp(file.stat()) == before


def _take(lake: Lake, file: Path, source: Source, timetable: Timetable) -> Picked:
    name = file.name.removeprefix(TAKING)
    shown, taken = f"{source.name}/{name}", file.with_name(f"{TAKING}{name}")
    try:
        if file != taken:
            _rename(file, taken)
        before = stamp(taken.stat())
        try:
            (landed,) = load(lake, taken, source.name)
        except BaseException as error:
            return _not_taken(error, taken, name, shown, changed=stamp(taken.stat()) != before)
        if timetable.keep_landed:
            _moved(taken, name, LANDED)
        else:
            taken.unlink()
    except OSError as error:
        return Picked(shown, waits=f"it can't be moved or removed: {error.strerror}")
    return Picked(shown, landed.lines, landed.already)


def _not_taken(error: BaseException, taken: Path, name: str, shown: str, changed: bool) -> Picked:
    """A file that is wrong is put aside; one that still changes, or whose fault it is not, goes back to where it was. Raises what concerns more
    than this file."""
    reason = str(error).replace(TAKING, "")
    can_be_read = os.access(taken, os.R_OK)
    if isinstance(error, InputError) and not isinstance(error, SettingsError | TableBeside) and can_be_read and not changed:
        place = _moved(taken, name, REJECTED)
        place.with_name(f"{place.name}.reason.txt").write_text(f"{reason}\n", encoding="utf-8")
        return Picked(shown, rejected=reason)
    back = taken.with_name(name)
    if not back.exists():  # else it is taken under its other name at the next look
        taken.rename(back)
    if changed or isinstance(error, TableBeside) or not can_be_read:
        return Picked(shown, waits="it is still written to" if changed else reason)
    raise error


def _rename(file: Path, place: Path) -> None:
    """Raises `FileExistsError` rather than take the place of a file that a killed process had begun to take."""
    os.link(file, place)
    file.unlink()


def _moved(file: Path, name: str, folder: str) -> Path:
    """Moves a file into a folder beside it, under a name that is free there."""
    into = file.parent / folder
    into.mkdir(exist_ok=True)
    place, number = into / name, 1
    while place.exists():
        number += 1
        place = into / f"{Path(name).stem}-{number}{Path(name).suffix}"
    file.rename(place)
    return place
