"""What this user may not read or write: it is named, nothing is half done, what can be read is read, and with the right again all goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from jobs.scheduling import SEEN
from lakehouse.engine import Endpoint
from lakehouse.errors import NoPermission, of_system
from lakehouse.ingest import load
from lakehouse.ingest.sample import write_sample
from lakehouse.tables import Lake, ops, runs, snapshots
from lakehouse.tables.snapshots import Snapshot
from tests import shell
from tests.conftest import skip_or_fail
from tests.once import once
from tests.trained import settings_of

# Root may do everything, unless it lets go of that.
RIGHTS = "-dac_override,-dac_read_search"
AS_ANYBODY = ["setpriv", f"--bounding-set={RIGHTS}", f"--inh-caps={RIGHTS}"] if os.geteuid() == 0 else []
DAYS, BRONZE = "gold.daily_sales", "bronze.sales"


@dataclass(frozen=True)
class Prepared:
    """A home with a snapshot, a file that is to land next, and what it then holds: digests of what is published and of bronze with that file."""

    home: Path
    next: Path
    published: str
    landed: str


@dataclass(frozen=True)
class Shop:
    """A copy of the prepared home, of a test's own."""

    prepared: Prepared
    home: Path

    def does(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command, by somebody who has the rights that files say."""
        return shell.ran([*AS_ANYBODY, *shell.PROGRAM, *words], shell.environ(self.home, RUNNER__IN_PROCESS=True))

    def answers(self, *words: str) -> str:
        done = self.does(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refuses(self, *words: str, names: Path) -> None:
        done = self.does(*words)
        said = done.stdout + done.stderr
        assert done.returncode in (1, 2), said
        assert "Traceback" not in said
        assert str(names) in said
        assert any(words in said for words in ("et this user", "is not readable")), said

    def load(self, file: Path | None = None) -> tuple[str, ...]:
        return ("load", str(file or self.prepared.next), "--source", "canonical")

    def has_lost_nothing(self, endpoint: Endpoint) -> None:
        with Lake(settings_of(self.home), endpoint=replace(endpoint, process=None)) as lake:
            assert lake.digest(DAYS).digest == self.prepared.published
            load(lake, self.prepared.next, "canonical")
            assert lake.digest(BRONZE).digest == self.prepared.landed


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return once(tmp_path_factory, "no-permission", _prepare)


def _prepare(folder: Path) -> Prepared:
    write_sample(folder / "raw", seed=11, weeks=3, products=30, customers=30)
    *first, last = sorted((folder / "raw").glob("*.csv"))
    settings = settings_of(folder / "home")
    environment = shell.environ(settings.home, RUNNER__IN_PROCESS=True)
    for words in (("load", *map(str, first), "--source", "canonical"), ("run", "silver", "gold")):
        done = shell.ran([*shell.PROGRAM, *words], environment)
        assert done.returncode == 0, done.stderr
    with Lake(settings) as lake:
        run = runs.newest(lake.ops)[0]
        versions = {name: lake.head(name) for name in lake.catalog}
        with lake.lease("publication") as held:
            snapshots.publish(lake.ops, Snapshot(0, run.id, run.as_of, run.moment, "week", versions), held.token)
        _missed(lake)
        published = lake.digest(DAYS).digest
    shutil.copytree(settings.home, folder / "other")
    with Lake(settings_of(folder / "other")) as lake:
        load(lake, last, "canonical")
        return Prepared(settings.home, last, published, lake.digest(BRONZE).digest)


def _missed(lake: Lake) -> None:
    """Has the timetable's nightly job be due."""
    due = ops.now() - timedelta(days=2)
    with lake.ops.begin() as connection:
        facts = {"job": "nightly", "due": due, "state": SEEN, "tries": 0, "message": "", "started_at": due}
        connection.execute(insert(ops.turns).values(**facts))


@pytest.fixture
def shop(prepared: Prepared, tmp_path: Path) -> Shop:
    if AS_ANYBODY and shutil.which("setpriv") is None:
        skip_or_fail("root may do everything here: setpriv, with which it could let go of that, is not installed")
    shutil.copytree(prepared.home, tmp_path / "home")
    return Shop(prepared, tmp_path / "home")


@contextmanager
def without(rights: int, *places: Path) -> Iterator[None]:
    """Takes rights from files and folders, and from what is in them; gives them back."""
    found = [path for place in places for path in (place, *place.rglob("*"))]
    before = {path: path.stat().st_mode for path in found}
    # What is below goes first: nobody comes there afterwards.
    for path in reversed(found):
        path.chmod(before[path] & ~rights)
    try:
        yield
    finally:
        for path in found:
            path.chmod(before[path])


WRITE, ALL = 0o222, 0o777


@pytest.mark.slow
def test_a_home_that_is_read_only_is_read_and_not_written_to(shop: Shop, endpoint: Endpoint, tmp_path: Path) -> None:
    inside = sorted(shop.home.rglob("*"))
    with without(WRITE, shop.home):
        assert "snapshot 1" in shop.answers("status")
        assert "WRITE" in shop.answers("history", DAYS)
        assert shop.prepared.published in shop.answers("digest", DAYS)
        assert "units" in shop.answers("sql", f"SELECT sum(units) AS units FROM {DAYS}")
        assert DAYS in shop.answers("audit", DAYS)
        assert "added" in shop.answers("diff", "silver.sales", "--from", "1")
        assert "all whole" in shop.answers("verify")
        for words in (shop.load(), ("run", "silver", "gold"), ("schedule", "--once"), ("backup", str(tmp_path / "backup"))):
            shop.refuses(*words, names=shop.home)
    assert sorted(shop.home.rglob("*")) == inside
    shop.answers("run", "silver", "gold")
    shop.has_lost_nothing(endpoint)


@pytest.mark.slow
def test_of_a_disk_that_is_mounted_read_only_a_backup_is_made(shop: Shop, endpoint: Endpoint, tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "--bind", str(shop.home), str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        skip_or_fail("nothing may be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)
        mounted = Shop(shop.prepared, place)
        assert "snapshot 1" in mounted.answers("status")
        mounted.refuses(*mounted.load(), names=place)
        mounted.refuses("run", "silver", "gold", names=place)
        mounted.answers("backup", str(tmp_path / "backup"))
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
    brought = Shop(shop.prepared, tmp_path / "again")
    brought.answers("restore-backup", str(tmp_path / "backup"))
    brought.has_lost_nothing(endpoint)


def _parquet(home: Path) -> Path:
    return next((home / "tables" / "gold" / "daily_sales").rglob("part-*.parquet"))


# What is closed, which rights are taken, the command that can't go on, and one that can all the same.
CASES = {
    "the run database": (lambda home: home / "ops.db", WRITE, ("load",), ("status",)),
    "all tables": (lambda home: home / "tables", WRITE, ("load",), ("status",)),
    "a table": (lambda home: home / "tables" / "gold" / "daily_sales", ALL, ("show", DAYS), ("show", "gold.products")),
    "a data file": (_parquet, ALL, ("sql", f"SELECT sum(units) FROM {DAYS}"), ("history", DAYS)),
    "the vault": (lambda home: home / "vault.db", ALL, ("load",), ("status",)),
    "the inbox": (lambda home: home / "inbox" / "canonical", ALL, ("schedule", "--once"), ("snapshots",)),
    "a file of the inbox": (lambda home: home / "inbox" / "canonical" / "next.csv", ALL, ("schedule", "--once"), ("snapshots",)),
    "the file that is loaded": (lambda home: home / "inbox" / "canonical" / "next.csv", ALL, ("load",), ("snapshots",)),
}
QUICK = ("a table", "the inbox")  # of these, those that are tried without `ALL=1`


@pytest.mark.parametrize("what", [one if one in QUICK else pytest.param(one, marks=pytest.mark.slow) for one in CASES])
def test_what_may_not_be_touched_is_named_and_goes_on_with_the_right_again(what: str, shop: Shop, endpoint: Endpoint) -> None:
    find, rights, refused, answered = CASES[what]
    inbox = shop.home / "inbox" / "canonical"
    inbox.mkdir(parents=True)
    shutil.copy2(shop.prepared.next, inbox / "next.csv")
    os.utime(inbox / "next.csv", (0, 0))
    place = find(shop.home)
    with without(rights, place):
        is_inbox = inbox in (place, place.parent)
        words = shop.load(inbox / "next.csv" if is_inbox else None) if refused == ("load",) else refused
        shop.refuses(*words, names=Path("canonical/next.csv") if place.name == "next.csv" else place)
        shop.answers(*answered)
    assert [file.name for file in inbox.rglob("*")] == ["next.csv"]
    shop.has_lost_nothing(endpoint)


@pytest.mark.parametrize(
    "said",
    [
        "[Errno 13] Permission denied: '/lake/staging'",
        "Generic LocalFileSystem error: Unable to open file /lake/staging: Permission denied (os error 13)",
        "External error: IO: Read-only file system (os error 30), /lake/staging",
    ],
)
def test_a_missing_right_is_known_by_what_each_part_says_and_names_the_place(said: str) -> None:
    try:
        try:
            raise ValueError(f"first\n  {said}\nthen")
        except ValueError as error:
            raise RuntimeError("a stage failed") from error
    except RuntimeError as error:
        found = of_system(error)
    assert isinstance(found, NoPermission)
    assert "may not read or write /lake/staging (" in str(found)
    assert of_system(ValueError("something else")) is None
