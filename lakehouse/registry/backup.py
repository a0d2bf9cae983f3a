"""A home as one consistent set of files, and a home made of such a set, elsewhere if need be.

Nobody writes while it is taken: the lease is held. SQLite databases are copied by SQLite itself, whoever is reading or writing. The set is
whole once its list of files (`backup.json`, with sizes and SHA-256) is there, which is written last. It holds the vault: who is erased from the
home later is still in it. Files in the inbox are not in it: they are raw, with customer numbers as they were written. They are counted among what
is left out.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError
from sqlalchemy.engine import make_url

from lakehouse.databases import file_of, is_damaged, is_database
from lakehouse.errors import InputError, StateError
from lakehouse.registry import draft as drafts
from lakehouse.registry.moving import move
from lakehouse.settings import Settings
from lakehouse.tables import Lake, ops, reading

LIST = "backup.json"
_BEGUN = ".being-backed-up"  # says of which home, until the list is there
FORMAT: Literal[1] = 1
SPARE = 0.05  # of the disk's free bytes beyond what is copied
_INBOX = "inbox"
_SKIPPED = {
    "endpoint",
    "staging",
    _INBOX,
    drafts.OF_A_DISK,
}  # what an engine leaves, what is under way, and raw files, which hold customer numbers
_SECRETS = "secrets"
OUR_SECRET = "the vault's secret, which the settings hold (ZEROMARGIN_VAULT__SECRET): without it nobody is found in the vault again"
_LOG = Path("answers")  # the only files that somebody writes who does not hold the lease
_TRIES = 20
_CHUNK = 1 << 20
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class BackedUp:
    """A backup: where it is, of which home and snapshot, when it was taken (wall clock, UTC), how much it is, and what is not in it."""

    folder: str
    home: str
    snapshot: int | None
    taken_at: datetime
    files: int
    bytes: int
    left_out: tuple[str, ...]


class _File(BaseModel):
    bytes: int
    sha256: str


class _Listed(BaseModel):
    """The list of files, as it is written."""

    format: Literal[1] = FORMAT
    home: str
    snapshot: int | None
    taken_at: datetime
    left_out: tuple[str, ...]
    files: dict[str, _File]

    def told(self, folder: Path) -> BackedUp:
        size = sum(file.bytes for file in self.files.values())
        return BackedUp(str(folder), self.home, self.snapshot, self.taken_at, len(self.files), size, self.left_out)


def backup(lake: Lake, folder: Path, secrets: bool = True, progress: Progress = lambda *_: None) -> BackedUp:
    """Copies the home into `folder`, which must not be there or be empty, as a disk that is mounted there is; what the home links to is copied as if
    it lay there. `secrets`: with the vault's secret and the signing key, without which nobody can go on with it. What fails leaves nothing behind; what
    is left of one of this home that was killed is taken away by the next. A damaged database is copied as it is.

    Raises `InputError` for a folder that holds something or lies in the home, `StateError` where the disk has too little room, a link leads
    nowhere or a file goes away meanwhile, `LeaseHeld`, `NoPermission` where this user can't keep others from writing meanwhile; from a disk that is
    mounted read-only nobody needs to be kept.
    """
    target, home = folder.absolute(), lake.home.absolute()
    if target.resolve() == home.resolve() or home.resolve() in target.resolve().parents:
        raise InputError(f"{folder} lies in the home {home} that is to be backed up. Choose a folder elsewhere")
    was_there, is_left = target.exists(), _is_left(target, home)
    if was_there and not is_left and {one.name for one in target.iterdir()} - {drafts.OF_A_DISK}:
        raise InputError(f"{folder} is not empty. A backup needs a folder of its own")
    nobody_writes = ops.is_read_only(lake.ops) and reading.is_frozen(home)
    with nullcontext() if nobody_writes else lake.lease("backup"):
        if is_left:
            _take_away(target, itself=False)
        try:
            listed = _backed_up(lake, home, target, secrets, progress)
        except BaseException:
            _take_away(target, itself=not was_there)
            raise
    return listed.told(target)


def _backed_up(lake: Lake, home: Path, target: Path, secrets: bool, progress: Progress) -> _Listed:
    there = [file for file in _files(home) if secrets or file.parts[0] != _SECRETS]
    _check_room(target, sum(_size(home / file) for file in there))
    found = [file for file in there if file.parts[0] != str(_LOG)]
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    target.chmod(0o700)
    (target / _BEGUN).write_text(f"{home}\n", encoding="utf-8", errors="surrogateescape")
    files = {}
    for number, file in enumerate(found, 1):
        try:
            files[str(file)] = _copied(home / file, target / file)
        except FileNotFoundError:
            raise StateError(
                f"{file} went away while it was backed up: somebody writes to {home} without holding its lease. Nothing was kept; take the backup again"
            ) from None
        progress(number, len(found))
    files |= _copied_log(home, target)
    snapshot = lake.snapshot()
    listed = _Listed(
        home=str(home),
        snapshot=None if snapshot is None else snapshot.id,
        taken_at=ops.now(),
        left_out=(*_elsewhere(lake.settings), *_in_inbox(home), *(() if secrets else (_SECRETS,))),
        files=files,
    )
    draft = target / f"{LIST}.part"
    draft.write_text(listed.model_dump_json(indent=1), encoding="utf-8")
    draft.replace(target / LIST)
    (target / _BEGUN).unlink()
    return listed


def restore_backup(folder: Path, home: Path, progress: Progress = lambda *_: None) -> BackedUp:
    """Makes `home`, which must not be there or be empty, of a backup. Every file is held to its SHA-256 before the home appears: all at once, or, in a
    folder that is there, which a disk may be mounted at, folder by folder; broken off meanwhile, the same may be begun anew.

    Raises `InputError` for a folder that is no whole backup or a home that holds something, `StateError` where a file is not what was backed
    up or the disk has too little room.
    """
    listed, home = _listed(folder), home.absolute()
    names = {Path(name).parts[0] for name in listed.files}
    draft = drafts.begin(home, names)
    try:
        _check_room(home, sum(file.bytes for file in listed.files.values()))
        for number, (name, file) in enumerate(listed.files.items(), 1):
            if not (copy := _within(folder, name)).exists():
                raise StateError(f"{copy} is missing from the backup {folder}. Nothing was brought back")
            found = _copied(copy, draft / name, plain=True)
            if found != file:
                raise StateError(f"{folder / name} is not what was backed up: SHA-256 {found.sha256[:12]}…, expected {file.sha256[:12]}…")
            progress(number, len(listed.files))
        move(draft, listed.home, home)
        drafts.become(draft, home)
    except FileNotFoundError as error:
        raise StateError(f"{error.filename} went away while it was brought back. Nothing was; do the same again") from None
    finally:
        if not drafts.is_half_moved(draft, home, names):  # else what could not be moved back is told by it, and the next restore goes on
            shutil.rmtree(draft, ignore_errors=True)
    return listed.told(folder)


def _is_left(target: Path, home: Path) -> bool:
    """Whether a folder is what is left of a backup of this home that was killed."""
    try:
        begun = (target / _BEGUN).read_text(encoding="utf-8", errors="surrogateescape").rstrip("\n")
    except OSError:
        return False
    return begun == str(home) and not (target / LIST).exists()


def _files(home: Path) -> list[Path]:
    """Paths within the home, links followed, without databases' side files, which are in the copies that SQLite makes.

    Raises `StateError` for a link that leads nowhere, or to a folder that it lies in.
    """
    found = []
    for folder, below, names in os.walk(home, followlinks=True, onerror=_refuse):
        place = Path(folder)
        if place == home:
            below[:] = [name for name in below if name not in _SKIPPED and not name.endswith(drafts.ENDING)]
        for name in below:
            if (place / name).is_symlink() and _leads_back(home, place / name):
                raise StateError(f"{place / name} is a link to {(place / name).resolve()}, in which it lies itself. Take it away")
        for name in names:
            file = place / name
            if file.is_symlink() and not file.exists():
                raise StateError(f"{file} is a link to {file.readlink()}, where nothing is. Mount what it leads to, or take it away")
            is_beside_database = name.endswith(("-wal", "-shm", "-journal")) and file.with_name(name.rpartition("-")[0]).is_file()
            if file.is_file() and not is_beside_database:
                found.append(file.relative_to(home))
    return sorted(found)


def _leads_back(home: Path, link: Path) -> bool:
    """Whether a link's folder is one of those by which it was come to, or holds one of them."""
    way = {place.resolve() for place in link.parents if place == home or home in place.parents}
    return any(link.resolve() in (place, *place.parents) for place in way)


def _refuse(error: OSError) -> None:
    raise error


def _copied_log(home: Path, target: Path) -> dict[str, _File]:
    """The log of what the service answered, which goes on: a segment gets another name when it is closed. Then the log is copied anew, so that
    no answer is in it twice."""
    if not (home / _LOG).is_dir():
        return {}
    for _ in range(_TRIES):
        shutil.rmtree(target / _LOG, ignore_errors=True)
        with suppress(FileNotFoundError):
            return {str(_LOG / file): _copied(home / _LOG / file, target / _LOG / file, plain=True) for file in _files(home / _LOG)}
    raise StateError(f"the files in {home / _LOG} come and go faster than they can be copied. Nothing was kept; take the backup again")


def _size(file: Path) -> int:
    """Bytes of a file, 0 where it has gone away."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _take_away(target: Path, itself: bool) -> None:
    """What was copied so far; the folder too where it had not been there."""
    for place in target.iterdir() if target.is_dir() else ():
        if place.is_dir():
            if place.name != drafts.OF_A_DISK:
                shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink(missing_ok=True)
    if itself and target.is_dir():
        target.rmdir()


def _copied(source: Path, target: Path, plain: bool = False) -> _File:
    """Copies one file, a database as SQLite copies it unless `plain`. Returns what the copy is."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if plain or not is_database(source) or not _copied_by_sqlite(source, target):
        shutil.copyfile(source, target)
    shutil.copystat(source, target)
    if source.parent.name == _SECRETS:
        shutil.copystat(source.parent, target.parent)
    found = hashlib.sha256()
    for chunk in _chunks(target):
        found.update(chunk)
    return _File(bytes=target.stat().st_size, sha256=found.hexdigest())


def _copied_by_sqlite(source: Path, target: Path) -> bool:
    """False of a database that is damaged: what is left of it is copied like any other file, and whoever looks whether all is whole says so."""
    try:
        with closing(reading.opened(source)) as read, closing(sqlite3.connect(target)) as written:
            read.backup(written)
    except sqlite3.DatabaseError as error:
        if not is_damaged(error):
            raise
        return False
    return True


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            yield chunk


def _check_room(target: Path, needed: int) -> None:
    """Raises `StateError` unless the disk under `target` has room for so many bytes, and some to spare."""
    there = next(place for place in (target, *target.parents) if place.exists())
    free = shutil.disk_usage(there).free
    if needed * (1 + SPARE) > free:
        raise StateError(f"the disk of {there} has {free:,} bytes free, and {needed:,} and some to spare are needed. Nothing was copied")


def _listed(folder: Path) -> _Listed:
    try:
        return _Listed.model_validate_json((folder / LIST).read_bytes())
    except OSError:
        raise InputError(f"{folder} is no whole backup: it has no {LIST}, which is written last") from None
    except ValidationError:
        raise InputError(f"{folder / LIST} is damaged, or of a format that this version does not know. Expected format {FORMAT}") from None


def _within(folder: Path, name: str) -> Path:
    """A listed file's place. Raises `InputError` for a name that leads out of the backup."""
    place = Path(name)
    if place.is_absolute() or ".." in place.parts:
        raise InputError(f"{folder / LIST} names {name}, which lies outside of the backup")
    return folder / place


def _in_inbox(home: Path) -> tuple[str, ...]:
    """How many files lie in the home's inbox; their names, which are their senders', are not told."""
    files = sum(place.is_file() for place in (home / _INBOX).rglob("*"))
    return (f"{_INBOX} ({files:,} files)",) if files else ()


def _elsewhere(settings: Settings) -> tuple[str, ...]:
    """What a home needs that is not in it: databases, which have backups of their own, and a secret that the settings hold."""
    found = []
    for name, url in (("ops.url", settings.ops_url), ("vault.url", settings.vault_url), ("mlflow", settings.mlflow_url)):
        file = file_of(url)
        if file is None or settings.home.absolute() not in file.absolute().parents:
            found.append(f"{name} ({make_url(url).render_as_string(hide_password=True)})")
    if settings.vault.secret is not None:
        found.append(OUR_SECRET)
    return tuple(found)
