"""A home as one consistent set of files, and a home made of such a set, elsewhere if need be.

Nobody writes while it is taken: the lease is held. SQLite databases are copied by SQLite itself, whoever is reading or writing. The set is
whole once its list of files (`backup.json`, with sizes and SHA-256) is there, which is written last. It holds the vault: who is erased from the
home later is still in it.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ValidationError
from sqlalchemy.engine import make_url

from lakehouse.errors import InputError, StateError
from lakehouse.settings import Settings
from lakehouse.tables import Lake, ops, reading

LIST = "backup.json"
FORMAT: Literal[1] = 1
SPARE = 0.05  # of the disk's free bytes beyond what is copied
_SKIPPED = {"endpoint", "staging", "inbox"}  # what an engine leaves, what is under way, and raw files, which hold customer numbers
_SECRETS = "secrets"
_SQLITE = b"SQLite format 3\0"
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
    """Copies the home into `folder`, which must not be there or be empty. `secrets`: with the vault's secret and the signing key, without which
    nobody can go on with it.

    Raises `InputError` for a folder that holds something or lies in the home, `StateError` where the disk has too little room, `LeaseHeld`,
    `NoPermission` where this user can't keep others from writing meanwhile; from a disk that is mounted read-only nobody needs to be kept.
    """
    target, home = folder.absolute(), lake.home.absolute()
    if target == home or home in target.parents:
        raise InputError(f"{folder} lies in the home {home} that is to be backed up. Choose a folder elsewhere")
    if target.exists() and any(target.iterdir()):
        raise InputError(f"{folder} is not empty. A backup needs a folder of its own")
    nobody_writes = ops.is_read_only(lake.ops) and reading.is_frozen(home)
    with nullcontext() if nobody_writes else lake.lease("backup"):
        found = [file for file in _files(home) if secrets or file.parts[0] != _SECRETS]
        _check_room(target, sum((home / file).stat().st_size for file in found))
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        target.chmod(0o700)
        files = {}
        for number, file in enumerate(found, 1):
            files[str(file)] = _copied(home / file, target / file)
            progress(number, len(found))
        snapshot = lake.snapshot()
    listed = _Listed(
        home=str(home),
        snapshot=None if snapshot is None else snapshot.id,
        taken_at=ops.now(),
        left_out=(*_elsewhere(lake.settings), *(() if secrets else (_SECRETS,))),
        files=files,
    )
    draft = target / f"{LIST}.part"
    draft.write_text(listed.model_dump_json(indent=1), encoding="utf-8")
    draft.replace(target / LIST)
    return listed.told(target)


def restore_backup(folder: Path, home: Path, progress: Progress = lambda *_: None) -> BackedUp:
    """Makes `home`, which must not be there or be empty, of a backup. Every file is held to its SHA-256 before the home appears, all at once.

    Raises `InputError` for a folder that is no whole backup or a home that holds something, `StateError` where a file is not what was backed
    up or the disk has too little room.
    """
    listed = _listed(folder)
    home = home.absolute()
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise InputError(f"the home {home} is not empty. A backup is brought back into a new one: --home DIR")
    _check_room(home, sum(file.bytes for file in listed.files.values()))
    draft = home.with_name(f".{home.name}.being-restored")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        for number, (name, file) in enumerate(listed.files.items(), 1):
            found = _copied(_within(folder, name), draft / name, plain=True)
            if found != file:
                raise StateError(f"{folder / name} is not what was backed up: SHA-256 {found.sha256[:12]}…, expected {file.sha256[:12]}…")
            progress(number, len(listed.files))
        draft.mkdir(parents=True, exist_ok=True)
        _moved(draft, listed.home, home)
        if home.exists():
            home.rmdir()
        draft.rename(home)
    except FileNotFoundError as error:
        raise StateError(f"{error.filename} is missing from the backup {folder}. Nothing was brought back") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return listed.told(folder)


def _files(home: Path) -> list[Path]:
    """Paths within the home, without databases' side files, which are in the copies that SQLite makes."""
    found = []
    for place in sorted(home.rglob("*")):
        below = place.relative_to(home)
        if below.parts[0] in _SKIPPED or not place.is_file() or place.is_symlink():
            continue
        if place.name.endswith(("-wal", "-shm", "-journal")) and place.with_name(place.name.rpartition("-")[0]).is_file():
            continue
        found.append(below)
    return found


def _copied(source: Path, target: Path, plain: bool = False) -> _File:
    """Copies one file, a database as SQLite copies it unless `plain`. Returns what the copy is."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not plain and _is_database(source):
        with closing(reading.opened(source)) as read, closing(sqlite3.connect(target)) as written:
            read.backup(written)
    else:
        shutil.copyfile(source, target)
    shutil.copystat(source, target)
    if source.parent.name == _SECRETS:
        shutil.copystat(source.parent, target.parent)
    found = hashlib.sha256()
    for chunk in _chunks(target):
        found.update(chunk)
    return _File(bytes=target.stat().st_size, sha256=found.hexdigest())


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            yield chunk


def _is_database(file: Path) -> bool:
    with file.open("rb") as content:
        return content.read(len(_SQLITE)) == _SQLITE


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


def _moved(draft: Path, old: str, new: Path) -> None:
    """What in a home's databases says where the home is: MLflow's absolute paths, and the lease under which the backup was taken."""
    ops = draft / "ops.db"
    if ops.is_file():
        with closing(sqlite3.connect(ops)) as connection, connection:
            connection.execute("DELETE FROM leases")
    mlflow = draft / "mlflow.db"
    if not mlflow.is_file():
        return
    with closing(sqlite3.connect(mlflow)) as connection, connection:
        homes = {Path(old), *_homes_before(connection)}
        pairs = {(f"{home}/", f"{new}/") for home in homes} | {(f"{home.as_uri()}/", f"{new.as_uri()}/") for home in homes}
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for _, column, kind, *_ in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
                if not any(text in str(kind).upper() for text in ("CHAR", "TEXT", "CLOB")):
                    continue
                for before, after in pairs:
                    connection.execute(
                        f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) WHERE instr("{column}", ?)', (before, after, before)
                    )


def _homes_before(connection: sqlite3.Connection) -> set[Path]:
    """Where the home was when its models were registered, if it has been moved since."""
    places = [place for (place,) in connection.execute("SELECT storage_location FROM model_versions") if place]
    paths = [unquote(urlsplit(place).path).partition("/mlartifacts/") for place in places]
    return {Path(before) for before, found, _ in paths if found}


def _elsewhere(settings: Settings) -> tuple[str, ...]:
    """Databases that are not in the home: they have backups of their own."""
    found = []
    for name, url in (("ops.url", settings.ops_url), ("vault.url", settings.vault_url), ("mlflow", settings.mlflow_url)):
        where = make_url(url)
        in_home = where.get_backend_name() == "sqlite" and settings.home.absolute() in Path(str(where.database)).absolute().parents
        if not in_home:
            found.append(f"{name} ({where.render_as_string(hide_password=True)})")
    return tuple(found)
