"""A home as a set of files, brought back elsewhere: whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import threading
from collections import namedtuple
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from jobs.cli import main
from jobs.runner import run as run_stages
from lakehouse import journal
from lakehouse.errors import InputError, LeaseHeld, StateError
from lakehouse.registry import backup as backups
from lakehouse.registry import draft
from lakehouse.registry.backup import LIST, OUR_SECRET, backup, restore_backup
from lakehouse.registry.verifying import verify
from lakehouse.settings import Settings
from lakehouse.tables import Lake
from tests.conftest import SECRET
from tests.served import process, published, until
from tests.trained import PLANTED, Trained, settings_of


@pytest.fixture
def settings(trained: Trained, tmp_path: Path) -> Settings:
    return trained.copy(tmp_path / "home")


@pytest.fixture
def taken(settings: Settings, tmp_path: Path) -> Path:
    with Lake(settings) as lake:
        found = backup(lake, tmp_path / "backup")
    assert (found.snapshot, found.left_out) == (2, (OUR_SECRET,))
    return tmp_path / "backup"


def test_a_home_is_brought_back_elsewhere_and_goes_on_though_the_first_is_gone(settings: Settings, taken: Path, tmp_path: Path) -> None:
    with Lake(settings) as lake:
        held = {name: lake.digest(name, full=True).digest for name in ("silver.sales", "gold.products", "features.product_sales")}
    shutil.rmtree(settings.home)
    restore_backup(taken, tmp_path / "elsewhere" / "home")
    there = settings_of(tmp_path / "elsewhere" / "home")
    with Lake(there) as lake:
        assert {name: lake.digest(name, full=True).digest for name in held} == held
        assert [one for one in verify(lake, everything=True) if not one.whole] == []
    with sqlite3.connect(there.home / "mlflow.db") as connection:
        places = [place for (place,) in connection.execute("SELECT storage_location FROM model_versions")]
    assert places and all(str(there.home) in place for place in places)
    assert run_stages(there).snapshot is not None
    assert not settings.home.exists()
    assert (there.home / "secrets").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("old", "new"), [("data", "data/restored"), ("data/home", "data"), ("data", "data2")])
def test_everything_that_says_where_the_home_is_says_so_once_wherever_it_was(
    trained: Trained, taken: Path, tmp_path: Path, old: str, new: str
) -> None:
    restore_backup(taken, tmp_path / old)
    with sqlite3.connect(tmp_path / old / "mlflow.db") as connection:
        elsewhere = [f"{tmp_path / old}3/x", f"file://{tmp_path / old}3/x", f"a note on {tmp_path / old}/x"]
        connection.executemany("INSERT INTO experiment_tags VALUES (?, ?, '0')", enumerate(elsewhere))
    with Lake(settings_of(tmp_path / old)) as lake:
        backup(lake, tmp_path / "another")
    shutil.rmtree(tmp_path / old)

    restore_backup(tmp_path / "another", tmp_path / new)

    home, told = tmp_path / new, _places(tmp_path / new, homes=(trained.home, tmp_path))
    assert {
        "experiments.artifact_location",
        "runs.artifact_uri",
        "model_versions.storage_location",
        "logged_models.artifact_location",
        "datasets.dataset_source",
        "stages.notebook",
        "MLmodel",
    } <= told.keys()
    for name, places in told.items():
        assert all(place.is_relative_to(home) for place in places), name
    for name in (
        "runs.artifact_uri",
        "model_versions.storage_location",
        "logged_models.artifact_location",
        "datasets.dataset_source",
        "MLmodel",
    ):
        assert all(place.is_dir() for place in told[name]), told[name]
    with sqlite3.connect(home / "mlflow.db") as connection:
        assert [
            value for (value,) in connection.execute("SELECT value FROM experiment_tags WHERE experiment_id = 0 ORDER BY key")
        ] == elsewhere
    with Lake(settings_of(home)) as lake:
        assert [one for one in verify(lake) if not one.whole] == []


def _places(home: Path, homes: tuple[Path, ...]) -> dict[str, list[Path]]:
    """The paths in what were homes, by the column that holds them, of the databases and of MLflow's descriptions of models."""
    found: dict[str, list[Path]] = {}
    for database in ("mlflow.db", "ops.db"):
        with sqlite3.connect(home / database) as connection:
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                for _, column, *_ in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
                    for (text,) in connection.execute(f'SELECT "{column}" FROM "{table}" WHERE typeof("{column}") = \'text\''):
                        found.setdefault(f"{table}.{column}", []).extend(_paths(text))
    for model in (home / "mlartifacts").rglob("MLmodel"):
        found.setdefault("MLmodel", []).extend(_paths(yaml.safe_load(model.read_text(encoding="utf-8"))["artifact_path"]))
    del found["experiment_tags.value"]
    ours = {name: [path for path in paths if any(path.is_relative_to(one) for one in homes)] for name, paths in found.items()}
    return {name: paths for name, paths in ours.items() if paths}


def _paths(text: str) -> list[Path]:
    if text.startswith("file://"):
        return [Path(unquote(urlsplit(text).path))]
    if text.startswith("{"):
        return [path for value in json.loads(text).values() if isinstance(value, str) for path in _paths(value)]
    return [Path(text)] if text.startswith("/") and "\n" not in text else []


def test_a_home_that_is_being_written_to_is_backed_up_as_one_moment_of_it(settings: Settings, tmp_path: Path) -> None:
    with sqlite3.connect(settings.home / "ops.db") as open_writer:
        open_writer.execute("CREATE TABLE under_way (n)")
        open_writer.commit()
        open_writer.execute("INSERT INTO under_way VALUES (1)")
        open_writer.commit()
        with Lake(settings) as lake:
            backup(lake, tmp_path / "backup")
    assert not list((tmp_path / "backup").rglob("*-wal"))
    with sqlite3.connect(tmp_path / "backup" / "ops.db") as copied:
        assert copied.execute("SELECT n FROM under_way").fetchall() == [(1,)]


def test_without_secrets_nobody_can_go_on_and_it_says_so(settings: Settings, tmp_path: Path) -> None:
    with Lake(settings) as lake:
        found = backup(lake, tmp_path / "backup", secrets=False)
    assert "secrets" in found.left_out
    assert not (tmp_path / "backup" / "secrets").exists()


@pytest.mark.parametrize("damage", ["changed", "missing", "no list", "half a list", "outside"])
def test_a_backup_that_is_not_whole_brings_nothing_back(taken: Path, tmp_path: Path, damage: str) -> None:
    listed = json.loads((taken / LIST).read_text(encoding="utf-8"))
    victim = taken / next(name for name in listed["files"] if name.endswith(".parquet"))
    if damage == "changed":
        victim.write_bytes(victim.read_bytes()[:-1] + b"X")
    elif damage == "missing":
        victim.unlink()
    elif damage == "no list":
        (taken / LIST).unlink()
    elif damage == "half a list":
        (taken / LIST).write_text((taken / LIST).read_text(encoding="utf-8")[:200], encoding="utf-8")
    else:
        listed["files"]["../outside"] = listed["files"].popitem()[1]
        (taken / LIST).write_text(json.dumps(listed), encoding="utf-8")
    with pytest.raises((InputError, StateError), match="is not what was backed up|is missing from|no whole backup|is damaged|outside"):
        restore_backup(taken, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".new*"))


def test_folders_that_hold_something_and_disks_without_room_are_refused(
    settings: Settings, taken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Lake(settings) as lake:
        with pytest.raises(InputError, match="not empty"):
            backup(lake, taken)
        with pytest.raises(InputError, match="lies in the home"):
            backup(lake, settings.home / "backup")
        with pytest.raises(InputError, match="not empty"):
            restore_backup(taken, settings.home)
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(backups.shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 5, 5))
        with pytest.raises(StateError, match="5 bytes free"):
            backup(lake, tmp_path / "another")
        with pytest.raises(StateError, match="5 bytes free"):
            restore_backup(taken, tmp_path / "new")
    assert not (tmp_path / "another").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(place)], capture_output=True, check=False).returncode:
        pytest.skip("no disk may be mounted here; a disk without room is tried with its free bytes patched")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_small_disk_is_asked_first_and_one_that_fills_up_meanwhile_is_left_as_it_was(
    settings: Settings, taken: Path, small_disk: Path
) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(44 << 20))
    with Lake(settings) as lake:
        with pytest.raises(StateError, match="bytes free, and .* needed. Nothing was copied"):
            backup(lake, small_disk / "backup")
        with pytest.raises(StateError, match="bytes free, and .* needed. Nothing was copied"):
            restore_backup(taken, small_disk / "home")
        assert list(small_disk.iterdir()) == [filler]
        filler.unlink()

        def fill(done: int, of: int) -> None:
            if done == of // 2:
                filler.write_bytes(bytes(shutil.disk_usage(small_disk).free))

        with pytest.raises((OSError, sqlite3.OperationalError), match="No space left|is full"):
            backup(lake, small_disk / "backup", progress=fill)
        assert list(small_disk.iterdir()) == [filler]
        filler.unlink()
        backup(lake, small_disk / "backup")


def test_a_disk_that_is_mounted_where_the_home_is_to_be_is_asked_for_room_and_filled(
    settings: Settings, taken: Path, small_disk: Path
) -> None:
    (small_disk / "lost+found").mkdir()
    (small_disk / draft.ENDING / "tables").mkdir(parents=True)  # left by one that was killed
    with pytest.MonkeyPatch.context() as patch:
        usage = namedtuple("usage", "total used free")
        real = shutil.disk_usage
        patch.setattr(backups.shutil, "disk_usage", lambda place: usage(9, 4, 5) if Path(place) == small_disk else real(place))
        with pytest.raises(StateError, match=f"the disk of {small_disk} has 5 bytes free"):
            restore_backup(taken, small_disk)
    restore_backup(taken, small_disk)
    assert {one.name for one in small_disk.iterdir()} == {one.name for one in taken.iterdir()} - {LIST} | {"lost+found"}
    there = settings_of(small_disk)
    with Lake(there) as lake:
        assert [one for one in verify(lake) if not one.whole] == []
        assert backup(lake, small_disk.with_name("another")).files == len([one for one in taken.rglob("*") if one.is_file()]) - 1
    with pytest.raises(InputError, match="not empty"):
        restore_backup(taken, small_disk)


def test_a_run_database_of_another_name_within_the_home_says_where_it_is_now(settings: Settings, tmp_path: Path) -> None:
    (settings.home / "databases").mkdir()
    for part in settings.home.glob("ops.db*"):
        part.rename(settings.home / "databases" / part.name.replace("ops.db", "runs"))
    url = f"sqlite:///{settings.home / 'databases' / 'runs'}"
    named = settings.model_copy(update={"ops": settings.ops.model_copy(update={"url": url})})
    with Lake(named) as lake:
        backup(lake, tmp_path / "backup")
        restore_backup(tmp_path / "backup", tmp_path / "new")
    with sqlite3.connect(tmp_path / "new" / "databases" / "runs") as connection:
        notebooks = [Path(notebook) for (notebook,) in connection.execute("SELECT notebook FROM stages")]
        assert connection.execute("SELECT count(*) FROM leases").fetchone() == (0,)
    assert notebooks and all(notebook.is_relative_to(tmp_path / "new") for notebook in notebooks)


def test_files_that_wait_in_the_inbox_are_counted_and_left_out_and_so_are_drafts_of_homes(settings: Settings, tmp_path: Path) -> None:
    for name in (f"a-{PLANTED}.csv", "rejected/b.csv"):
        file = settings.home / "inbox" / "canonical" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("a line", encoding="utf-8")
    for left in (draft.ENDING, f".another{draft.ENDING}"):  # of a restore that was killed: into this folder, and into one below it
        (settings.home / left).mkdir()
        shutil.copy(settings.home / "vault.db", settings.home / left)
    disk = tmp_path / "backup"
    (disk / "lost+found").mkdir(parents=True)

    def break_off(done: int, of: int) -> None:
        if done == of:
            raise OSError

    with Lake(settings) as lake:
        with pytest.raises(OSError):
            backup(lake, disk, progress=break_off)
        assert [place.name for place in disk.iterdir()] == ["lost+found"]
        assert backup(lake, disk).left_out == (OUR_SECRET, "inbox (2 files)")
    assert not (disk / "inbox").exists()
    assert [str(place.relative_to(disk)) for place in disk.rglob("vault.db")] == ["vault.db"]
    assert PLANTED not in (tmp_path / "backup" / LIST).read_text(encoding="utf-8")


def test_what_lies_on_a_larger_disk_is_in_the_backup_and_becomes_part_of_the_new_home(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "larger").mkdir()
    shutil.move(settings.home / "tables", tmp_path / "larger" / "tables")
    (settings.home / "tables").symlink_to(tmp_path / "larger" / "tables")
    shutil.move(settings.home / "vault.db", tmp_path / "larger" / "vault.db")
    (settings.home / "vault.db").symlink_to(tmp_path / "larger" / "vault.db")
    with Lake(settings) as lake:
        backup(lake, tmp_path / "backup")
    restore_backup(tmp_path / "backup", tmp_path / "new")
    assert not any(place.is_symlink() for place in (tmp_path / "new").rglob("*"))
    shutil.rmtree(tmp_path / "larger")
    with Lake(settings_of(tmp_path / "new")) as lake:
        found = verify(lake)
    assert len(found) > 20
    assert [one for one in found if not one.whole] == []


@pytest.mark.parametrize(
    ("link", "leads_to", "words"),
    [("tables/more", "/nowhere/at/all", "where nothing is"), ("docs/again", "..", "lies itself"), ("docs/round", "../runs", "lies itself")],
)
def test_a_link_that_leads_nowhere_or_back_is_named_and_nothing_is_left(
    settings: Settings, tmp_path: Path, link: str, leads_to: str, words: str
) -> None:
    (settings.home / link).symlink_to(leads_to)
    if link == "docs/round":
        (settings.home / "runs" / "about").symlink_to("../docs")
    with Lake(settings) as lake, pytest.raises(StateError, match=words) as refused:
        backup(lake, tmp_path / "backup")
    assert str(settings.home) in str(refused.value)
    assert not (tmp_path / "backup").exists()


def test_a_file_that_goes_away_meanwhile_is_named_and_nothing_is_left(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    victim = max((settings.home / "tables").rglob("*.parquet"))

    def take_away(done: int, of: int) -> None:
        victim.unlink(missing_ok=True)

    with Lake(settings) as lake, pytest.raises(StateError, match="went away while it was backed up") as refused:
        backup(lake, tmp_path / "backup", progress=take_away)
    assert victim.name in str(refused.value)
    assert list((tmp_path / "backup").iterdir()) == []


def test_nobody_writes_while_a_backup_is_taken_and_none_is_taken_while_somebody_writes(settings: Settings, tmp_path: Path) -> None:
    impatient = settings.model_copy(update={"ops": settings.ops.model_copy(update={"wait_s": 0.1})})
    refused: list[str] = []

    def run(done: int, of: int) -> None:
        if done == 1:
            with pytest.raises(LeaseHeld, match="backup") as held:
                run_stages(impatient, ["silver"])
            refused.append(str(held.value))

    with Lake(settings) as lake, Lake(impatient) as another:
        backup(lake, tmp_path / "backup", progress=run)
        assert refused
        with lake.lease("run silver"), pytest.raises(LeaseHeld, match="run silver"):
            backup(another, tmp_path / "more")
    assert not (tmp_path / "more").exists()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_service_that_answers_meanwhile_loses_nothing_and_no_answer_is_in_the_backup_twice(settings: Settings, tmp_path: Path) -> None:
    product = str(published(settings, "forecasts")[0]["product_code"])
    with process(settings.home, tmp_path / "log", segment_rows=2, segment_s=0.05) as service, Lake(settings) as lake:
        done, asked = threading.Event(), 0

        def ask() -> None:
            nonlocal asked
            while not done.is_set():
                assert service.post("/v1/forecast", {"product": product}).status_code == 200
                asked += 1

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            until(lambda: asked > 5, "it answers")
            for number in range(5):
                backup(lake, tmp_path / f"backup {number}")
        finally:
            done.set()
            asking.join()
    assert asked > 10
    for number in range(5):
        restore_backup(tmp_path / f"backup {number}", tmp_path / f"new-{number}")
        answers = tmp_path / f"new-{number}" / "answers"
        journal.recover(answers, datetime(2024, 5, 6))
        segments = [journal.read(path) for path in journal.closed(answers)]
        assert all(segment.intact and not segment.damaged for segment in segments)
        told = [json.dumps(record, sort_keys=True) for segment in segments for record in segment.records]
        assert len(told) == len(set(told)) > 0
    with Lake(settings_of(tmp_path / "new-4")) as there:
        assert [one for one in verify(there) if not one.whole] == []


def test_a_damaged_database_is_backed_up_as_it_is_and_said_to_be(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("vault.db", "mlflow.db", "feast/online.db"):
        os.truncate(settings.home / name, 9_000)
        (settings.home / f"{name}-wal").unlink(missing_ok=True)
    for name, value in {"HOME": str(settings.home), "PROFILE": "test", "VAULT__SECRET": SECRET, "VAULT__KEYS": "derived"}.items():
        monkeypatch.setenv(f"ZEROMARGIN_{name}", value)
    assert main(["backup", str(tmp_path / "backup")]) == 0
    told = capsys.readouterr().err
    for what in ("Vault of customers: ", "Registry of models: ", "Features of online.db: "):
        assert f"What was backed up is not whole. {what}" in told
    restore_backup(tmp_path / "backup", tmp_path / "there")
    assert (tmp_path / "there" / "vault.db").read_bytes() == (settings.home / "vault.db").read_bytes()


def test_what_is_left_of_a_backup_that_was_killed_is_taken_away_by_the_next_of_that_home(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "backup"
    with Lake(settings) as lake:
        with monkeypatch.context() as patch:
            patch.setattr(backups, "_copied_log", _killed)
            patch.setattr(backups, "_take_away", lambda *_, **__: None)  # whom it kills takes nothing away
            with pytest.raises(KeyboardInterrupt):
                backup(lake, place)
        assert (place / "secrets").is_dir() and not (place / LIST).exists()
        with pytest.raises(InputError, match="is no whole backup"):
            restore_backup(place, tmp_path / "there")
        (place / ".being-backed-up").write_text("/another/home\n", encoding="utf-8")
        with pytest.raises(InputError, match="is not empty"):
            backup(lake, place)
        (place / ".being-backed-up").write_text(f"{settings.home}\n", encoding="utf-8")
        (place / "left").write_text("of before", encoding="utf-8")
        backup(lake, place)
    assert not {"left", ".being-backed-up"} & {one.name for one in place.iterdir()}
    restore_backup(place, tmp_path / "there")


def test_what_a_killed_restore_left_beside_the_home_is_private_and_goes_with_the_next(taken: Path, tmp_path: Path) -> None:
    home = tmp_path / "new"
    left = draft.begin(home, ())
    assert left.stat().st_mode & 0o077 == 0
    (left / "vault.db").write_bytes(b"of somebody")
    with Lake(settings_of(home)) as lake:  # as `status` does
        lake.snapshots()
    restore_backup(taken, home)
    assert not left.exists() and (home / "vault.db").read_bytes()[:6] == b"SQLite"


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_from_the_shell(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ZEROMARGIN_PROFILE", "test")
    assert main(["--home", str(settings.home), "backup", str(tmp_path / "b")]) == 0
    assert main(["--home", str(tmp_path / "new"), "restore-backup", str(tmp_path / "b"), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out[told.out.index("{") :])["snapshot"] == 2
    assert main(["--home", str(tmp_path / "new"), "restore-backup", str(tmp_path / "b")]) == 1
    assert (tmp_path / "new" / "tables").is_dir()
