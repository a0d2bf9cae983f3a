"""A home as a set of files, brought back elsewhere: whole or not at all."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import namedtuple
from pathlib import Path

import pytest

from jobs.cli import main
from jobs.runner import run as run_stages
from lakehouse.errors import InputError, StateError
from lakehouse.registry import backup as backups
from lakehouse.registry.backup import LIST, backup, restore_backup
from lakehouse.registry.verifying import verify
from lakehouse.settings import Settings
from lakehouse.tables import Lake
from tests.trained import Trained, settings_of


@pytest.fixture
def settings(trained: Trained, tmp_path: Path) -> Settings:
    return trained.copy(tmp_path / "home")


@pytest.fixture
def taken(settings: Settings, tmp_path: Path) -> Path:
    with Lake(settings) as lake:
        found = backup(lake, tmp_path / "backup")
    assert (found.snapshot, found.left_out) == (2, ())
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


def test_from_the_shell(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ZEROMARGIN_PROFILE", "test")
    assert main(["--home", str(settings.home), "backup", str(tmp_path / "b")]) == 0
    assert main(["--home", str(tmp_path / "new"), "restore-backup", str(tmp_path / "b"), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out[told.out.index("{") :])["snapshot"] == 2
    assert main(["--home", str(tmp_path / "new"), "restore-backup", str(tmp_path / "b")]) == 1
    assert (tmp_path / "new" / "tables").is_dir()
