"""New files, picked up from where they are put: one folder per source. What lies here is before the door and holds customer numbers."""

from __future__ import annotations

import errno
import filecmp
import logging
import os
import shlex
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from jobs.open_files import is_being_written
from jobs.picked import Picked
from jobs.timetable import FILE, Timetable
from lakehouse.engine import explain
from lakehouse.errors import (
    ClockBehind,
    InputError,
    OtherCurrency,
    SettingsError,
    StillWritten,
    TableBeside,
    UnknownName,
    ZeromarginError,
)
from lakehouse.ingest import load, sources
from lakehouse.ingest.beside import lacking
from lakehouse.ingest.door import FUTURE
from lakehouse.ingest.loading import refused_of, stamp, told_reasons
from lakehouse.ingest.sources import Source
from lakehouse.ingest.unloading import unload
from lakehouse.registry.draft import OF_A_DISK
from lakehouse.tables import Lake

REJECTED, LANDED = "rejected", "landed"
TAKING = ".taking-"  # before the name of a file that is being landed: what comes under its own name meanwhile is another file
_REASON = ".reason.txt"
_LONGEST_NAME = 240  # bytes: what is put before and behind it must fit into the 255 that a name may have
_NOT_YET = (".part", ".tmp", ".crdownload", ".filepart")
_LOOK_AGAIN_S = 1
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV)
_NOT_ITS_FAULT = (TableBeside, StillWritten, OtherCurrency, ClockBehind)

log = logging.getLogger(__name__)


def pick_up(lake: Lake, inbox: Path, timetable: Timetable, note: Callable[[Picked], None] = lambda _: None) -> list[Picked]:
    """Lands every whole file of the inbox, source by source, in order of name. A file that has landed is removed, or moved to `landed` where the
    timetable keeps it; one that can't be taken is moved to `rejected` with the reason beside it, and those after it go on. So is one of which lines
    were refused, for nothing else holds what they say. What lies where no file is looked for, or in the folder of a source whose entry is wrong, waits
    with the reason, as does one with lines that this computer's clock can't be held to.

    A file is first given another name, so that what is removed is what was read. Raises what may pass on another try (`LeaseHeld`, `TryAgain`)
    or concerns every file (`SettingsError`, `VaultError`); the files wait. Where a fault of ours ends the taking of one, that one waits. `note` is told
    each file as soon as it is known what came of it.
    """
    picked: list[Picked] = []
    for one in _each(lake, inbox, timetable):
        note(one)
        picked.append(one)
    return picked


def _each(lake: Lake, inbox: Path, timetable: Timetable) -> Iterator[Picked]:
    described = sources.every(lake.settings.profile)
    if timetable.inbox is not None and not inbox.is_dir():
        yield Picked(f"{inbox}/", waits=f"there is no such folder, which {FILE} names as the inbox. Make it, or mount what it is on")
    for found in sorted(inbox.iterdir()) if inbox.is_dir() else ():
        if _is_passed_over(found):
            continue
        source = described.get(found.name, UnknownName("source", found.name, described))
        if not found.is_dir():
            yield Picked(found.name, waits="it lies in no source's folder. Move it into the one of its source, such as canonical/")
        elif isinstance(source, InputError):
            yield Picked(f"{found.name}/", waits=str(source))
        else:
            try:
                yield from _of_source(lake, found, source, timetable)
            except OSError as error:  # it, or a disk that is mounted there, may not be looked through: the sources after it go on
                yield Picked(f"{found.name}/", waits=f"it can't be looked through: {explain(error) or error.strerror}")


def put_aside(inbox: Path, profile: str) -> tuple[int, int]:
    """How many files wait in the inbox, and how many lie in `rejected`."""
    described = sources.every(profile).items()
    beside = {Path(name, one.beside.file) for name, one in described if isinstance(one, Source) and one.beside is not None}
    waiting = rejected = 0
    # A source's folder may be a link to another disk's, and into a link nothing is looked of itself.
    places = ((folder, path) for folder in inbox.iterdir() for path in (folder, *folder.resolve().rglob("*")))
    for folder, path in places:
        place = Path(folder.name) / (path.relative_to(folder.resolve()) if path != folder else "")
        if not path.is_file() or place in beside or (_is_passed_over(path) and not path.name.startswith(TAKING)):
            continue
        if REJECTED in place.parts[1:2]:
            rejected += not path.name.endswith(_REASON)
        elif LANDED not in place.parts[1:2]:
            waiting += 1
    return waiting, rejected


def _is_passed_over(path: Path) -> bool:
    return path.name.startswith((".", "~")) or path.name.endswith(_NOT_YET) or path.name == OF_A_DISK


def _of_source(lake: Lake, folder: Path, source: Source, timetable: Timetable) -> Iterator[Picked]:
    files, fresh = _sorted_out(folder, source, timetable.settle_s)
    for file in [one for one in files if one.is_symlink()]:
        files.remove(file)
        yield Picked(
            f"{source.name}/{file.name}",
            waits="it is a link. Put the file itself here: what has landed is removed, and a link says nothing of that",
        )
    for file in fresh:
        yield Picked(
            f"{source.name}/{file.name}",
            fresh=f"it was written to less than {timetable.settle_s:g} s ago (settle_s): it waits for the next look",
        )
    for number, file in enumerate(files):
        if source.beside is not None and not _is_at_rest(folder / source.beside.file, timetable.settle_s):
            left = len(files) - number
            yield Picked(f"{source.name}/{source.beside.file}", waits=f"it is still written to, and so the files beside it wait ({left:,})")
            break
        yield _take(lake, file, source, timetable)
    for below in sorted(folder.iterdir()):
        if below.is_dir() and below.name not in (REJECTED, LANDED) and not _is_passed_over(below) and not _is_empty(below):
            yield Picked(f"{source.name}/{below.name}/", waits=f"it is a folder. Move its files up, into {source.name}/ itself")


def _is_empty(folder: Path) -> bool:
    try:
        return not any(folder.iterdir())
    except OSError:
        return False


def _sorted_out(folder: Path, source: Source, settle_s: float) -> tuple[list[Path], list[Path]]:
    """Files that are no table beside: those that nobody writes to any more, what a killed process had begun to take among them and first, and those
    that somebody may still write to."""
    beside = "" if source.beside is None else source.beside.file
    whole: list[Path] = []
    fresh: list[Path] = []
    for file in sorted(folder.iterdir()):
        taken = file.name.startswith(TAKING)
        if taken or not (_is_passed_over(file) or file.name == beside):
            try:
                if file.is_file():
                    (whole if taken or _is_settled(file, settle_s) else fresh).append(file)
            except OSError:  # it went away
                continue
    return whole, fresh


def _is_at_rest(beside: Path, settle_s: float) -> bool:
    """Whether nobody writes to a table beside; where there is none, whoever reads it says so."""
    try:
        return _is_settled(beside, settle_s)
    except OSError:
        return True


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
    shown, taken, lines = f"{source.name}/{name}", file.with_name(f"{TAKING}{name}"), 0
    if len(os.fsencode(name)) > _LONGEST_NAME:
        return Picked(shown, waits=f"its name is longer than {_LONGEST_NAME} bytes. Give it a shorter one")
    try:
        if is_being_written(file):
            return Picked(shown, fresh="somebody has it open to write to: it waits for the next look")
        if file != taken:
            _rename(file, taken)
        before = stamp(taken.stat())
        try:
            (landed,) = load(lake, taken, source.name)
        except BaseException as error:
            return _not_taken(error, taken, name, shown, changed=stamp(taken.stat()) != before)
        lines = landed.lines
        # Where its sender had only paused, what has come since it was read is nowhere else.
        if stamp(taken.stat()) != before or is_being_written(taken):
            stays = "" if landed.already else _taken_back(lake, landed.digest)
            _put_back(taken, name)
            return Picked(
                shown,
                landed.lines if stays else 0,
                waits=f"it was written to while it landed, and is looked at again with what has come since{stays}",
            )
        reasons = refused_of(lake, landed.digest) if landed.already else landed.refused
        refused = 0 if landed.already else landed.lines - landed.accepted
        lacks = "; ".join(filter(None, (lacking(landed.unmatched, source), landed.doubt)))
        if reasons and not _lies_aside(taken):
            kept = _kept(landed.digest, reasons)
            _laid_aside(taken, name, kept)
            return Picked(shown, landed.lines, refused, landed.already, lacks, kept, later=FUTURE in reasons)
        if timetable.keep_landed:
            _moved(taken, name, LANDED)
        else:
            taken.unlink()
    except OSError as error:
        return Picked(shown, lines, waits=f"it can't be moved or removed{', though it has landed' if lines else ''}: {error.strerror}")
    return Picked(shown, landed.lines, refused, landed.already, lacks)


def _taken_back(lake: Lake, digest: str) -> str:
    """Takes what had come of a file until then out of bronze, or says why it stays there: beside the whole file it could count twice."""
    try:
        unload(lake, digest)
    except ZeromarginError as error:
        return f". What had come until then stays in bronze as {digest[:12]}, and could count twice (zeromargin unload): {error}"
    return ""


def _not_taken(error: BaseException, taken: Path, name: str, shown: str, changed: bool) -> Picked:
    """A file that is wrong is put aside; one that still changes, or whose fault it is not, goes back to where it was. Raises what concerns more
    than this file."""
    can_be_read = os.access(taken, os.R_OK)
    if isinstance(error, InputError) and not isinstance(error, (SettingsError, *_NOT_ITS_FAULT)) and can_be_read and not changed:
        reason = _laid_aside(taken, name, str(error))
        return Picked(shown, rejected=reason)
    back = _put_back(taken, name)
    if changed or isinstance(error, _NOT_ITS_FAULT) or not can_be_read:
        return Picked(shown, waits="it is still written to" if changed else _said(str(error), taken, back))
    if isinstance(error, Exception) and not isinstance(error, SQLAlchemyError) and explain(error) is None:
        # A defect of ours must not keep out the files of others; what it says may hold a line of the file.
        log.error("a file can't be taken: %s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
        return Picked(
            shown, waits=f"it can't be taken, by a fault of ours ({type(error).__name__}, see what the schedule printed): the others go on"
        )
    raise explain(error) or error  # the system's own error would be taken for one of moving the file


def _put_back(taken: Path, name: str) -> Path:
    back = taken.with_name(name)
    try:
        os.link(taken, back)
    except FileExistsError:  # it was sent again: this one is taken under its other name at the next look
        return back
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Many shares have no links, and of another user's file none may be made.
        if not back.exists():
            taken.rename(back)
        return back
    taken.unlink()
    return back


def _lies_aside(taken: Path) -> bool:
    """Whether the same file, sent before, is kept already."""
    size = taken.stat().st_size
    aside = taken.parent / REJECTED
    alike = [one for one in (aside.iterdir() if aside.is_dir() else ()) if one.is_file() and one.stat().st_size == size]
    return any(filecmp.cmp(one, taken, shallow=False) for one in alike)


def _kept(digest: str, reasons: Mapping[str, int]) -> str:
    """Why a landed file is kept, and what to do with it. Its name is not in it."""
    others = {reason: lines for reason, lines in reasons.items() if reason != FUTURE}
    told = []
    if others:
        told.append(
            f"Lines of it were refused ({told_reasons(others)}), and the others have landed. What the former say stands in this file alone: say after "
            f"the next run what they should have been (zeromargin quarantine list; the file is {digest[:12]})"
        )
    if FUTURE in reasons:
        told.append(_later(digest, reasons[FUTURE]))
    return ". ".join((*told, "Remove this file then: it holds customer numbers"))


def _later(digest: str, lines: int) -> str:
    return (
        f"{lines:,} of its lines were refused as {FUTURE}: they are later than this computer's clock showed. The others have landed. Where the clock was "
        f"behind, set it, take the file out of bronze (zeromargin unload {digest[:12]}) and put it into the inbox again; once a snapshot stands on it, "
        "put those lines alone there, as a file, without those that were corrected meanwhile, for they could count twice. Where the clock was right, say what "
        "the lines should have been (zeromargin quarantine correct)"
    )


def _laid_aside(taken: Path, name: str, reason: str) -> str:
    """Moves a file to `rejected`, the reason beside it. Returns that, as it is written."""
    place = _moved(taken, name, REJECTED)
    said = _said(reason, taken, place)
    place.with_name(f"{place.name}{_REASON}").write_text(f"{said}\n", encoding="utf-8", errors="backslashreplace")
    return said


def _said(reason: str, taken: Path, place: Path) -> str:
    """The reason's words, the file named by the place where it lies now."""
    said = reason.replace(shlex.quote(str(taken)), shlex.quote(str(place))).replace(str(taken), str(place))
    return said.replace(TAKING, "")


def _rename(file: Path, place: Path) -> None:
    """Moves whatever has the name now. Raises `FileExistsError` rather than take the place of a file that a killed process had begun to take."""
    if place.exists():  # only one keeper takes files, so none comes after this look
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place))
    file.rename(place)


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
