"""Taking a landed file out again, while nothing that was published stands on it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from lakehouse.errors import InputError, StateError
from lakehouse.tables import Lake, delta
from lakehouse.tables.catalog import BRONZE

SHORTEST = 6  # characters of a digest


@dataclass(frozen=True)
class Unloaded:
    """One file that is in bronze no more, and how many lines it had there. It may land again."""

    digest: str
    lines: int
    version: int


def unload(lake: Lake, file: str) -> Unloaded:
    """Takes the lines of one landed file out of bronze. `file` is the file itself, or the first characters of its SHA-256.

    Raises `InputError` where no such file has landed, or several begin so; `StateError` where it is in a snapshot: what was published is taken
    back by `restore` alone.
    """
    with lake.lease("unload of a file"):
        lake.create_tables()
        lake.sweep()
        path = lake.path(BRONZE)
        landed = delta.partition_rows(path, "file_digest")
        digest = _known(file, landed)
        published = lake.snapshot()
        if published is not None and digest in delta.partition_values(path, "file_digest", published.versions[BRONZE]):
            raise StateError(
                f"file {digest[:12]} is in snapshot {published.id}, which readers rely on. Its lines can be refused or corrected from now on, or the "
                "whole lake put back to a snapshot before it: zeromargin snapshots, zeromargin restore N"
            )
        version = lake.writer.append(BRONZE, lake.read(BRONZE, lake.head(BRONZE)).where("false"), batch={"file_digest": digest})
        return Unloaded(digest, landed[digest], version)


def _known(file: str, landed: dict[str, int]) -> str:
    try:
        with Path(file).open("rb") as opened:
            wanted = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        wanted = file.lower()
        if len(wanted) < SHORTEST:
            raise InputError(
                f'"{file}" is neither a file nor {SHORTEST} characters or more of the SHA-256 of one that has landed'
            ) from None
    found = [digest for digest in landed if digest.startswith(wanted)]
    if len(found) != 1:
        many = "no file" if not found else f"{len(found)} files"
        raise InputError(f'"{file}" fits {many} that landed. Expected one, by its path or by its SHA-256 as load and the gate show it')
    return found[0]
