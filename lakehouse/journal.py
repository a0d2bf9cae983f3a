"""Segments of a log on disk: JSON lines with a checksum each, in files named by their own SHA-256.

Serving writes them, the lake lands them, and neither knows the other: this is all that they share. A line is

    {"crc32":"0a1b2c3d","record":{…}}

with the CRC-32 of the record's bytes as they stand, so a line stays plain JSON to every other tool. A segment has one of two names:

    open-<random>.jsonl           being written; its writer holds an exclusive lock on it
    <when closed>-<sha256>.jsonl  closed: the name says what the bytes must be

Closing is one rename, so a segment is never seen half closed, and a name that doesn't fit its bytes is damage. A segment whose writer
was killed is recognised by its lock being free: `recover` closes it without the torn line at its end.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from lakehouse.errors import InputError

Record = Mapping[str, object]

_CLOSED = re.compile(r"^\d{8}T\d{12}-(?P<digest>[0-9a-f]{64})\.jsonl$")
_HEAD, _TAIL = b'{"crc32":"', b"}\n"
_BODY = len(_HEAD) + 8 + len(b'","record":')


@dataclass(frozen=True)
class Segment:
    """A closed segment as it was found: `records` of its sound lines, how many lines were `damaged`, and whether its bytes are what
    its name says (`intact`)."""

    path: Path
    digest: str
    records: tuple[dict[str, object], ...]
    damaged: int
    intact: bool


def encode(record: Record) -> bytes:
    """One line. Raises `ValueError` or `TypeError` for what JSON can't hold, NaN and infinities included."""
    body = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return b'%b%08x","record":%b%b' % (_HEAD, zlib.crc32(body), body, _TAIL)


def decode(line: bytes) -> dict[str, object] | None:
    """The record of one line; None where the line is torn or altered."""
    body = line[_BODY : -len(_TAIL)]
    if not line.endswith(_TAIL) or line[:_BODY] != b'%b%08x","record":' % (_HEAD, zlib.crc32(body)):
        return None
    try:
        record = json.loads(body)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


class Writer:
    """The open segment of one process. Not for several threads."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.rows = 0
        self._size = 0
        self._sha = hashlib.sha256()
        self._path = folder / f"open-{os.urandom(8).hex()}.jsonl"
        # Locked before it gets the name that `recover` looks for: a segment of a live writer is never seen with its lock free.
        unborn = self._path.with_suffix(".new")
        self._file: FileIO = unborn.open("xb", buffering=0)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unborn.rename(self._path)

    def write(self, lines: list[bytes]) -> None:
        """Hand the lines to the operating system: they outlive this process, though not a loss of power before `close`.

        All of them or none: raises `OSError` with the segment as it was, so that the same lines can be tried again.
        """
        data = b"".join(lines)
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._file.fileno(), rest) :]
        except OSError:
            self._file.truncate(self._size)
            self._file.seek(self._size)
            raise
        self._size += len(data)
        self._sha.update(data)
        self.rows += len(lines)

    def close(self, now: datetime) -> Path:
        """Close the segment under its final name, on disk for good."""
        with self._file:
            os.fsync(self._file.fileno())
            path = self._path.with_name(_closed_name(now, self._sha.hexdigest()))
            self._path.rename(path)
            _sync_folder(path.parent)
        return path

    def discard(self) -> None:
        """Remove a segment into which nothing could be written."""
        with self._file:
            self._path.unlink(missing_ok=True)


def closed(folder: Path) -> list[Path]:
    """Closed segments, the oldest first."""
    return sorted(path for path in folder.glob("*.jsonl") if _CLOSED.match(path.name)) if folder.is_dir() else []


def read(path: Path) -> Segment:
    """A closed segment with its checksums looked at. Damage is told, not raised: the sound lines are still worth having."""
    match = _CLOSED.match(path.name)
    if match is None:
        raise InputError(f"{path.name} is not the name of a closed segment. Expected <when>-<sha256>.jsonl")
    sha, records, damaged = hashlib.sha256(), [], 0
    for line in _lines(path):
        sha.update(line)
        record = decode(line)
        if record is None:
            damaged += 1
        else:
            records.append(record)
    digest = match["digest"]
    return Segment(path, digest, tuple(records), damaged, sha.hexdigest() == digest)


@dataclass(frozen=True)
class Recovery:
    """What was found of writers that are gone: `segments` that were closed, `torn` lines that their ends had lost."""

    segments: tuple[Path, ...]
    torn: int


def recover(folder: Path, now: datetime) -> Recovery:
    """Close every segment whose writer is gone; an empty one is removed. Segments that are being written are left alone."""
    paths: list[Path] = []
    torn = 0
    for path in sorted(folder.glob("open-*.jsonl")) if folder.is_dir() else []:
        try:
            file = path.open("r+b")
        except FileNotFoundError:
            continue  # another process recovered it just now
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if not path.exists():
                continue
            torn += _cut_torn_end(file)
            digest = hashlib.sha256(file.read()).hexdigest()
            if file.tell() == 0:
                path.unlink()
                continue
            os.fsync(file.fileno())
            final = path.with_name(_closed_name(now, digest))
            path.rename(final)
            _sync_folder(folder)
            paths.append(final)
    return Recovery(tuple(paths), torn)


def _cut_torn_end(file: BinaryIO) -> int:
    """Cut the last line off if it was not written to its end; leaves the file at its start. How many lines were cut: 0 or 1."""
    whole = 0
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    for line in file:
        if line.endswith(b"\n"):
            whole += len(line)
    file.truncate(whole)
    file.seek(0)
    return int(whole < size)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _closed_name(now: datetime, digest: str) -> str:
    return f"{now:%Y%m%dT%H%M%S%f}-{digest}.jsonl"


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
