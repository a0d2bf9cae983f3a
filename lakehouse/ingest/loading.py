"""Loading: files through the door into bronze, one commit each. The raw file is not kept, and no customer number comes past here.

Nor is the file's name kept anywhere: it is the sender's to choose and may hold a customer's number (`orders-of-17850.csv`). A landed file is
known by its SHA-256, which `load` prints beside the name; only that print and the error messages show names, to whoever gave the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BufferedReader
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from lakehouse.errors import InputError, SettingsError, StateError, StillWritten, ZeromarginError
from lakehouse.ingest import door, readers
from lakehouse.ingest.beside import WithTable
from lakehouse.ingest.clock import refuse_clock_behind, wall
from lakehouse.ingest.door import Limits
from lakehouse.ingest.rows import SCHEMA, as_rows
from lakehouse.ingest.source_parts import Format
from lakehouse.ingest.sources import Source, find
from lakehouse.ingest.told import refuse_other_currency
from lakehouse.ingest.vault_age import note_keys, refuse_other_vault
from lakehouse.privacy.vault import Vault, open_vault
from lakehouse.tables import Lake, delta, home_id
from lakehouse.tables.catalog import BRONZE
from lakehouse.tables.staging import Staged

Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Landed:
    """One file's way through the door. `already`: its content had landed before, under this name or another, and nothing was done. `skipped`:
    lines that the source says are no sales, which are not kept. `unmatched`: lines of which the table beside says nothing. `open_end`: the last line of
    a text has no end, as where the file was cut."""

    file: str
    digest: str
    lines: int
    accepted: int
    refused: dict[str, int]
    already: bool
    version: int
    skipped: int = 0
    unmatched: int = 0
    open_end: bool = False

    @property
    def doubt(self) -> str:
        """What to think of where the file may not be whole; nothing where it ends as it should."""
        if not self.open_end:
            return ""
        return (
            f"the last line has no line end. If the file was cut there, take it out again (zeromargin unload {self.digest[:12]}) and load the whole one:"
            " what that line says of a sale may be half of it"
        )


def load(lake: Lake, path: Path, source: str, progress: Progress | None = None) -> list[Landed]:
    """Lands a file, or the files of a folder by name, in bronze: one commit a file.

    A file that can't be taken, as a whole or in any of its lines, is an `InputError` and changes nothing; the files before it stay landed.
    Raises `UnknownName` for a source that sources.yml lacks, `VaultError` for a wrong secret, `LeaseHeld` when somebody else is writing,
    `StateError` where the home can't be written to, `OtherCurrency` where the lake holds another than the source's, `ClockBehind` where lines seem to be
    of the future only since this computer's clock is behind.
    """
    described = find(source, lake.settings.profile)
    files = _files(path, described)
    for file in files:
        _form(file, described)
    _check_home(lake.home)
    with lake.lease(f"load of source {described.name}"), open_vault(lake.settings) as vault:
        lake.create_tables()
        lake.sweep()
        refuse_other_vault(lake, vault)
        refuse_other_currency(lake, described)
        home_id.note_currency(lake.ops, described.currency)
        landed: list[Landed] = []
        for file in files:
            try:
                landed.append(_land(lake, vault, file, described, progress or _silent))
                if not landed[-1].already:
                    note_keys(lake, vault)
            except ZeromarginError as error:
                if landed:
                    before = ", ".join(f"{one.file} ({one.digest[:12]})" for one in landed)
                    error.args = (f"{error}\n{len(landed)} of {len(files)} files landed before it: {before}. Those after it did not",)
                raise
        return landed


def refused_of(lake: Lake, digest: str) -> dict[str, int]:
    """How many lines of a file that has landed were refused, by reason; a line may have several."""
    of_it = lake.read(BRONZE).where(f"file_digest = '{digest}'")
    rows = of_it.selectExpr("explode(reasons) AS reason").groupBy("reason").count().collect()
    return dict(sorted((row.reason, row["count"]) for row in rows))


def told_reasons(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(reasons.items()))


def _files(path: Path, source: Source) -> list[Path]:
    try:
        return _files_of(path, "" if source.beside is None else source.beside.file)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}. Let this user read it. Nothing was loaded") from None


def _files_of(path: Path, beside: str) -> list[Path]:
    if path.is_dir():
        found = sorted(below for below in path.iterdir() if below.is_file() and not below.name.startswith(".") and below.name != beside)
        if not found:
            raise InputError(f"{path} has no files. Expected files of sales in it")
        return found
    if not path.is_file():
        raise InputError(f"there is no file or folder {path}")
    return [path]


def _form(file: Path, source: Source) -> Format:
    return readers.format_of(file.suffix.lstrip(".").lower(), source, file.name)


def _check_home(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            return
    except OSError as error:
        raise StateError(
            f"the home {home} can't be written to: {error.strerror}. Choose another with --home or ZEROMARGIN_HOME, or let this user"
            " write there. Nothing was loaded"
        ) from None


def _land(lake: Lake, vault: Vault, file: Path, source: Source, progress: Progress) -> Landed:
    form = _form(file, source)
    with _opened(file) as opened:
        before, digest = stamp(os.fstat(opened.fileno())), _digest(opened)
        if digest in delta.partition_values(lake.path(BRONZE), "file_digest"):
            return Landed(file.name, digest, 0, 0, {}, already=True, version=lake.head(BRONZE))
        with _staging(lake.home / "staging", digest) as folder:
            counted = Counter[str]()
            lines = accepted = skipped = 0
            open_end = form.kind in ("csv", "fixed") and _last_byte(opened) not in b"\r\n"
            read = WithTable(readers.read(opened, file.name, source, form, lake.settings.door.batch_rows), file.parent, source)
            with pq.ParquetWriter(folder / "lines.parquet", SCHEMA, compression="zstd") as writer:
                for batch in read:
                    judged = door.judge(batch, source, form, limits(lake, source))
                    refuse_clock_behind(lake, source, judged)
                    table, good = as_rows(judged, batch.refused, vault, source, digest)
                    writer.write_table(table)
                    lines, accepted, skipped = lines + table.num_rows, accepted + good, skipped + judged.skipped
                    counted.update(pc.list_flatten(table.column("reasons")).to_pylist())
                    progress(file.name, lines)
            # Neither tells alone: what was written within one tick of the clock leaves no stamp, what was written as it had been no digest.
            if stamp(os.fstat(opened.fileno())) != before or _digest(opened) != digest:
                raise StillWritten(f"{file.name} changed while it was read. Nothing of it was loaded; load it again when it is whole")
            if lines and not accepted:
                raise InputError(
                    f"{file.name}: none of its {lines:,} lines can be taken ({told_reasons(counted)}). Nothing of it was loaded. Look at what source "
                    f"{source.name} makes of it: zeromargin sources check {shlex.quote(str(file))} --source {source.name}"
                )
            staged = Staged(lake.spark.read.parquet(str(folder)), lines)
            version = lake.writer.append(BRONZE, staged, batch={"file_digest": digest})
    refused = dict(sorted(counted.items()))
    facts = (file.name, digest, lines, accepted, refused)
    return Landed(*facts, already=False, version=version, skipped=skipped, unmatched=read.unmatched, open_end=open_end)


def limits(lake: Lake, source: Source) -> Limits:
    published = lake.snapshot()
    try:
        oldest = datetime.fromisoformat(lake.settings.door.oldest)
    except ValueError:
        raise SettingsError(f'setting door.oldest is "{lake.settings.door.oldest}", expected a day such as 1990-01-01') from None
    return Limits(oldest, wall(source), None if published is None else published.moment)


@contextlib.contextmanager
def _staging(folder: Path, digest: str) -> Iterator[Path]:
    staged = folder / f"load-{digest[:16]}-{os.getpid()}"
    staged.mkdir(parents=True)
    try:
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _opened(file: Path) -> BufferedReader:
    try:
        return file.open("rb")
    except OSError as error:
        raise InputError(f"{file} can't be read: {error.strerror}. Let this user read it (chmod). Nothing of it was loaded") from None


def stamp(found: os.stat_result) -> tuple[int, int]:
    """What tells that a file was written to since: its size, and when that was last."""
    return found.st_size, found.st_mtime_ns


def _last_byte(opened: BufferedReader) -> bytes:
    """None of an empty file, which is read from its begin afterwards."""
    size = opened.seek(0, os.SEEK_END)
    opened.seek(max(0, size - 1))
    last = opened.read(1)
    opened.seek(0)
    return last


def _digest(opened: BufferedReader) -> str:
    """The SHA-256 of the whole file, which is read from its begin afterwards."""
    opened.seek(0)
    found = hashlib.file_digest(opened, "sha256").hexdigest()
    opened.seek(0)
    return found


def _silent(file: str, lines: int) -> None:
    """Nobody is told how far it got."""
