"""A disk that is full: it is said so, nothing is half done, and with room again all goes on as if nothing had been."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import main
from lakehouse.engine import Endpoint
from lakehouse.errors import DiskFull
from lakehouse.features import marker, publish
from lakehouse.tables import Lake, delta, delta_log, maintenance, snapshots
from lakehouse.tables.writer import Writer
from tests import published, shell
from tests.conftest import skip_or_fail
from tests.once import once
from tests.published import RUN, Published

SYSTEM, SQLITE = "No space left on device", "database or disk is full"


@dataclass(frozen=True)
class Point:
    """Where a command meets the full disk: at the first call of a function, of those that are `meant`, which is told so by `said`.

    That is an expression: what SQLite says depends on what it was about to write."""

    command: str
    where: object
    name: str
    said: str = SYSTEM
    meant: Callable[..., object] = field(default=lambda *_, **__: True)


POINTS = {
    "bronze's data file": Point("load", Writer, "append"),
    "silver's data file": Point("run", Writer, "merge"),
    "gold's second table": Point("run", Writer, "merge", meant=lambda writer, name, *_, **__: name.startswith("gold.") and writer.written),
    "the commit that puts a table back": Point("run", delta, "restore", meant=lambda path, version, _: delta.head(path) != version),
    "the snapshot": Point("run", snapshots, "publish", SQLITE),
    "what is online": Point("run", publish, "_write", f"disk I/O error|{SQLITE}", lambda _store, _view, rows: rows.num_rows),
    "the moment that is online": Point("run", marker, "write"),
    "a larger file of small ones": Point("maintain", delta, "compact"),
    "the commit of a deletion": Point("maintain", delta, "vacuum", meant=lambda *_, dry_run=False: not dry_run),
    "a checkpoint": Point("maintain", delta_log, "checkpoint"),
    "what maintenance publishes": Point("maintain", snapshots, "publish", SQLITE),
}


@dataclass(frozen=True)
class Disk:
    """A disk of a home's own, which can be filled."""

    place: Path

    @property
    def home(self) -> Path:
        return self.place / "home"

    @contextmanager
    def filled(self) -> Iterator[Callable[[int], None]]:
        """Gives what fills it but for so many KiB; at the end of the block there is room again."""
        filler = self.place / "filler"

        def fill(left_kib: int) -> None:
            filler.write_bytes(bytes(max(0, shutil.disk_usage(self.place).free - 1024 * left_kib)))

        try:
            yield fill
        finally:
            filler.unlink(missing_ok=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128m", "none", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        skip_or_fail("no disk that is small enough to be filled may be mounted here")
    try:
        yield Disk(place)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return once(tmp_path_factory, "published", published.make)


@pytest.mark.slow
def test_wherever_the_disk_is_full_it_is_said_and_with_room_again_all_is_as_if_nothing_had_been(
    prepared: Published,
    disk: Disk,
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(prepared.home, disk.home)
    # A renewal of the lease gives its journal's pages back: one that is at it while the disk is filled would leave room for what is to fail.
    unrenewed = {"OPS__LEASE_S": 3600}
    environ = shell.environ(disk.home, SNAPSHOTS__KEEP_NEWEST=published.KEEP_NEWEST, RUNNER__IN_PROCESS=True, **unrenewed)
    for name, value in (environ | {"SPARK_REMOTE": endpoint.url}).items():
        monkeypatch.setenv(name, value)
    for command, words in {
        "load": ("load", *map(str, prepared.late), "--source", "canonical"),
        "run": RUN,
        "maintain": ("maintain",),
    }.items():
        for name, point in POINTS.items():
            if point.command != command:
                continue
            capsys.readouterr()
            _meets(disk, point, words)
            told = capsys.readouterr().err
            assert "Error: the disk is full (" in told and "Traceback" not in told and "\x1b" not in told, (name, told)
        assert main(words) == 0
    assert published.contents(disk.home) == prepared.undisturbed
    with Lake(published.settings(disk.home)) as lake:
        assert not [one for one in maintenance.plan(lake) if one.orphans]


def _meets(disk: Disk, point: Point, words: tuple[str, ...]) -> None:
    """The command ends where the disk becomes full, and that is what ended it."""
    real, met = getattr(point.where, point.name), list[BaseException | None]()

    def called(*given: Any, **named: Any) -> object:
        if met or not point.meant(*given, **named):
            return real(*given, **named)
        met.append(None)
        fill(0)
        try:
            return real(*given, **named)
        except BaseException as error:
            met[0] = error
            raise

    with disk.filled() as fill, pytest.MonkeyPatch.context() as patch:
        patch.setattr(point.where, point.name, called)
        assert main(words) == 1
    assert met and re.search(point.said, str(met[0])), (point, met)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("left_kib", "words", "in_kernels"), [(12, ("load", "LAST", "--source", "canonical"), False), (120, RUN, False), (12, RUN, True)]
)
def test_a_command_that_begins_on_a_full_disk_says_so(
    prepared: Published, disk: Disk, left_kib: int, words: tuple[str, ...], in_kernels: bool
) -> None:
    shutil.copytree(prepared.home, disk.home)
    environ = shell.environ(disk.home, RUNNER__IN_PROCESS=not in_kernels)
    with disk.filled() as fill:
        fill(left_kib)
        tried = shell.ran([*shell.PROGRAM, *(str(prepared.late[0]) if word == "LAST" else word for word in words)], environ)
    assert tried.returncode == 1 and "is full (" in tried.stderr and "Traceback" not in tried.stderr, tried.stderr


@pytest.mark.parametrize(
    "said",
    [
        "[Errno 28] No space left on device: '/lake/staging'",
        "External error: IO: No space left on device (os error 28)",
        "database or disk is full",
    ],
)
def test_a_full_disk_is_known_by_what_each_part_says_and_by_what_led_to_an_error(said: str) -> None:
    try:
        try:
            raise ValueError(f"first\n  {said}\nthen")
        except ValueError as error:
            raise RuntimeError("a stage failed") from error
    except RuntimeError as error:
        found = DiskFull.behind(error)
    assert found is not None
    assert said in str(found)
    assert DiskFull.behind(ValueError("something else")) is None


def test_a_message_is_told_without_the_colours_that_a_library_put_into_it() -> None:
    error = RuntimeError("Generic LocalFileSystem error\n  \x1b[31m↳\x1b[0m No space left on device (os error 28)")
    assert str(DiskFull.behind(error)).startswith("the disk is full (No space left on device (os error 28)).")
