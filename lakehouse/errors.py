"""Everything that zeromargin raises on purpose, split by what the caller can do about it.

    ZeromarginError
    ├── InputError            what was given is wrong: give something else
    │   ├── UnknownName           a name that nothing has; the nearest known one is named
    │   ├── WrongDay              what is given as a day is none
    │   ├── TableBeside           the table that lies beside a file can't be relied on
    │   ├── StillWritten          a file that changes while it is read
    │   ├── OtherCurrency         a source whose money is not the lake's
    │   ├── SettingsError         a setting that is unknown, mistyped or missing
    │   └── NotEnoughData         too little history to train or judge a model on
    ├── StateError            what is there forbids it: change that first
    │   ├── NothingPublished      there is no snapshot yet
    │   ├── DiskFull              there is no room to write
    │   ├── NoPermission          this user may not read or write there, or nobody may
    │   ├── OtherSchema           a database of the home is of another version of this library
    │   ├── LeaseHeld             somebody else is writing
    │   ├── GateFailed            a quality or model gate said no
    │   ├── VaultError            the vault's secret is missing or is not the one it was made with
    │   ├── TamperedModel         a model directory that is not what was signed
    │   └── StageFailed           a notebook of a run ended with an error
    └── TryAgain              it may pass on a second try
        ├── EndpointDown          the engine does not answer
        ├── CommitLost            another commit was faster
        ├── ClockBehind           this computer's clock is behind what the lake has recorded
        ├── ProcessKilled         a process of a stage was ended by a signal: for want of memory, say
        └── RegistryAway          the model registry does not answer
            └── RegistryDamaged   its file is no whole database

Messages say what was found, what was expected and what to do. `exit_code` is what the command line ends with: 2 for wrong use, 1 for the rest.
"""

from __future__ import annotations

import difflib
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar, Self

_DECORATION = re.compile(r"\x1b\[[0-9;]*m|↳")  # with which delta-rs says what led to an error


class ZeromarginError(Exception):
    """The root of the tree. Never raised itself."""

    exit_code = 1


class InputError(ZeromarginError):
    """What was given is wrong: a file, a value, a parameter."""


class UnknownName(InputError):
    """A name that nothing has. The message names the nearest known one and lists the rest: in their own order where they have one, else sorted."""

    exit_code = 2

    def __init__(self, kind: str, found: str, known: Iterable[str], where: str = "") -> None:
        names = list(known) if isinstance(known, Sequence) else sorted(known)
        near = difflib.get_close_matches(found, names, n=1, cutoff=0.5)
        hint = f' Did you mean "{near[0]}"?' if near else ""
        place = f" in {where}" if where else ""
        listed = ", ".join(names) if names else "none"
        plural = f"{kind[:-1]}ies" if kind.endswith("y") and kind[-2:-1] not in tuple("aeou") else f"{kind}s"
        super().__init__(f'{kind} "{found}" is unknown{place}.{hint} {plural.capitalize()}: {listed}')


class SettingsError(InputError):
    """A setting that is unknown, mistyped or missing."""

    exit_code = 2


class WrongDay(InputError):
    """What is given as a day is none."""

    exit_code = 2


class TableBeside(InputError):
    """The table that lies beside the files of sales is missing, or can't be relied on; the file itself is not judged."""


class StillWritten(InputError):
    """A file changes while it is read; what it says is not judged."""


class OtherCurrency(InputError):
    """A source's prices are in another currency than those that the lake holds."""


class NotEnoughData(InputError):
    """Too little history to train a model on, or to judge it by."""


class StateError(ZeromarginError):
    """What is there forbids what was asked."""


class NothingPublished(StateError):
    """The lake has no snapshot yet."""


class DiskFull(StateError):
    """There is no room left where something was to be written."""

    ROOM: ClassVar = 1 << 20  # bytes
    MARKS: ClassVar = ("No space left on device", "database or disk is full", "Disk quota exceeded")

    @classmethod
    def behind(cls, error: BaseException | None) -> Self | None:
        """This error, where a full disk is what an error or one that led to it tells of: the system, a database and the engine each say it
        in their own words."""
        _, said = _told(error, cls.MARKS)
        if not said:
            return None
        return cls(
            f"the disk is full ({said}). What was not finished counts as not begun, and nothing of it is published. Free some"
            " space and do the same again"
        )

    @classmethod
    def of_sqlite(cls, file: str | Path | None, error: BaseException) -> Self | None:
        """The same of a database in a file (None: in none): SQLite often says of a full disk no more than that it could not write."""
        if file and "disk I/O error" in str(error) and shutil.disk_usage(Path(file).parent).free < cls.ROOM:
            return cls(f"the disk of {file} is full (disk I/O error). Free some space and do the same again")
        return cls.behind(error)


class NoPermission(StateError):
    """This user may not read or write what is needed; or nobody may, since it lies on a disk that is mounted read-only."""

    MARKS: ClassVar = (
        "Permission denied",
        "Read-only file system",
        "attempt to write a readonly database",
        "unable to open database file",
    )
    _PLACE: ClassVar = re.compile(r"(?<![\w/.:])/[\w./=~+-]*[\w=~+-]")

    @classmethod
    def behind(cls, error: BaseException | None, place: object = None) -> Self | None:
        """This error, where a right that is missing is what an error or one that led to it tells of; `place`: what was to be read or written, if
        it is known."""
        source, _ = _told(error, cls.MARKS)
        if source is None:
            return None
        text = str(source)
        mark = next(mark for mark in cls.MARKS if mark in text)
        where = place or getattr(source, "filename", None) or cls._named(text, text.index(mark)) or "a file"
        return cls(
            f"this user may not read or write {where} ({mark}). What was not finished counts as not begun, and nothing of it is published. Let this"
            " user read and write there (chmod, chown; a disk that is mounted read-only is mounted anew) and do the same again"
        )

    @classmethod
    def _named(cls, text: str, until: int) -> str | None:
        """The last path that is named before a place in a text; where none is, the first after it."""
        before, after = cls._PLACE.findall(text, 0, until), cls._PLACE.search(text, until)
        return str(before[-1]) if before else after.group() if after else None


def of_system(error: BaseException | None) -> DiskFull | NoPermission | None:
    """What the system refused, where that is what an error or one that led to it tells of."""
    return DiskFull.behind(error) or NoPermission.behind(error)


def of_database(file: str | Path | None, error: BaseException) -> DiskFull | NoPermission | None:
    """The same of a database in a file (None: in none)."""
    return DiskFull.of_sqlite(file, error) or NoPermission.behind(error, file)


def _told(error: BaseException | None, marks: Iterable[str]) -> tuple[BaseException | None, str]:
    """The first of an error and those that led to it that says one of the marks, and the line in which it does; nothing where none does."""
    while error is not None:
        said = next((line for line in str(error).splitlines() if any(mark in line for mark in marks)), None)
        if said is not None:
            return error, _DECORATION.sub("", said).strip()[:200]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None, ""


class OtherSchema(StateError):
    """A database of the home has the tables of another version of this library than this one knows."""


class LeaseHeld(StateError):
    """Somebody else is writing to this lake."""


class GateFailed(StateError):
    """A gate said no; nothing was published."""


class VaultError(StateError):
    """The vault's secret is missing or wrong, or the vault can't be read."""


class TamperedModel(StateError):
    """A model directory that is not what was signed, or does not answer as it did."""


class StageFailed(StateError):
    """A notebook of a run ended with an error."""


class TryAgain(ZeromarginError):
    """What may pass on a second try."""


class EndpointDown(TryAgain):
    """The engine's endpoint does not answer."""


class CommitLost(TryAgain):
    """Another commit was faster, every time that it was tried."""


class ClockBehind(TryAgain):
    """This computer's clock is behind what the lake has recorded, and what is to be judged by it would be judged wrong."""


class ProcessKilled(TryAgain):
    """A process that a stage runs in, or is forked from, was ended from outside."""


class RegistryAway(TryAgain):
    """The model registry does not answer, or is not there yet."""


class RegistryDamaged(RegistryAway):
    """The model registry's file is no whole database. Whoever can do without the registry does, as where it does not answer."""
