"""A disk that is full: it is said so, nothing is half done, and with room again all goes on as if nothing had been."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lakehouse.errors import DiskFull
from lakehouse.ingest.sample import write_sample
from tests import shell
from tests.conftest import skip_or_fail

RUN = ("run", "silver", "gold")


@dataclass(frozen=True)
class Disk:
    """Where a home lies. `is_small`: on a disk of its own, which can be filled."""

    place: Path
    is_small: bool

    def command(self, *words: str, left_kib: int | None = None, in_kernels: bool = False) -> subprocess.CompletedProcess[str]:
        filler = self.place / "filler"
        if left_kib is not None:
            assert self.is_small
            filler.write_bytes(bytes(max(0, shutil.disk_usage(self.place).free - 1024 * left_kib)))
        try:
            return shell.ran([*shell.PROGRAM, *words], shell.environ(self.place / "home", RUNNER__IN_PROCESS=not in_kernels))
        finally:
            filler.unlink(missing_ok=True)

    def done(self, *words: str) -> str:
        found = self.command(*words)
        assert found.returncode == 0, found.stderr
        return found.stdout


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "none", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        skip_or_fail("no disk that is small enough to be filled may be mounted here")
    try:
        yield Disk(place, True)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.slow
def test_with_no_room_left_it_says_so_and_with_room_again_it_goes_on(disk: Disk, tmp_path: Path) -> None:
    write_sample(tmp_path / "raw", seed=11, weeks=4, products=30, customers=30)
    *first, last = sorted(map(str, (tmp_path / "raw").glob("*.csv")))
    (tmp_path / "other").mkdir()
    undisturbed = Disk(tmp_path / "other", False)
    disk.done("load", *first, "--source", "canonical")
    disk.done(*RUN)

    refused = []
    for left, words, in_kernels in ((12, ("load", last, "--source", "canonical"), False), (120, RUN, False), (12, RUN, True)):
        tried = disk.command(*words, left_kib=left, in_kernels=in_kernels)
        assert "Traceback" not in tried.stderr, tried.stderr
        if tried.returncode:
            refused.append(tried.stderr)
    assert len(refused) == 3
    assert all("is full (" in said for said in refused), refused

    disk.done("load", last, "--source", "canonical")
    undisturbed.done("load", *first, last, "--source", "canonical")
    names = ("bronze.sales", "silver.sales", "quarantine.sales", "gold.daily_sales", "gold.customers", "gold.baskets")
    for one in (disk, undisturbed):
        one.done("run", "features")
    assert _digests(disk, names) == _digests(undisturbed, names)


def _digests(disk: Disk, names: tuple[str, ...]) -> list[str]:
    """Without the version, which says how often it was tried."""
    return [f"{words[0]} {words[3]}" for words in map(str.split, disk.done("digest", *names).splitlines())]


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
