"""A backup brought back into a folder that is there, broken off while what it holds is moved."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from jobs.cli import main
from lakehouse.errors import InputError
from lakehouse.registry import draft
from lakehouse.registry.backup import LIST, restore_backup
from lakehouse.tables import ops, pins

NAMES = ["docs", "mlflow.db", "ops.db", "tables", "vault.db"]


@pytest.fixture
def taken(tmp_path: Path) -> Path:
    """A backup of a home of three databases and two folders."""
    folder, files = tmp_path / "backup", {}
    for name in ("docs/a.html", "tables/b.parquet"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(name, encoding="utf-8")
    for name in ("ops.db", "mlflow.db", "vault.db"):
        with sqlite3.connect(folder / name) as connection:
            connection.execute("CREATE TABLE model_versions (storage_location TEXT)")
    for file in sorted(one for one in folder.rglob("*") if one.is_file()):
        content = file.read_bytes()
        files[str(file.relative_to(folder))] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    listed = {"home": "/before", "snapshot": 1, "taken_at": "2024-05-06T00:00:00", "left_out": [], "files": files}
    (folder / LIST).write_text(json.dumps(listed), encoding="utf-8")
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / "home"
    (place / "lost+found").mkdir(parents=True)
    return place


def held(home: Path) -> list[str]:
    return sorted(place.name for place in home.iterdir() if place.name != "lost+found")


def noted(home: Path) -> list[str]:
    """All that its run database holds."""
    with closing(sqlite3.connect(home / "ops.db")) as connection:
        return list(connection.iterdump())


def break_off(monkeypatch: pytest.MonkeyPatch, after: int, forever: bool) -> list[str]:
    """So many moves go well, then one fails, or all do from then on, as where the process is gone. Returns the names that were moved."""
    moved: list[str] = []
    real, failed = Path.rename, False

    def rename(place: Path, target: Path) -> Path:
        nonlocal failed
        if len(moved) == after and (forever or not failed):
            failed = True
            raise OSError("input/output error")
        if not failed:
            moved.append(place.name)
        return real(place, target)

    monkeypatch.setattr(Path, "rename", rename)
    return moved


@pytest.mark.parametrize("after", range(5))
def test_what_was_moved_goes_back_where_the_next_can_not_be(taken: Path, home: Path, after: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        moved = break_off(patch, after, forever=False)
        with pytest.raises(OSError, match="input/output"):
            restore_backup(taken, home)
    assert len(moved) == after and "ops.db" not in moved and held(home) == []
    restore_backup(taken, home)
    assert held(home) == NAMES


@pytest.mark.parametrize("after", range(5))
def test_one_that_was_ended_in_the_middle_is_begun_anew(taken: Path, home: Path, after: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        moved = break_off(patch, after, forever=True)
        with pytest.raises(OSError, match="input/output"):
            restore_backup(taken, home)
    assert held(home) == sorted([*moved, draft.ENDING] if moved else [])
    restore_backup(taken, home)
    assert held(home) == NAMES and (home / "tables" / "b.parquet").read_text(encoding="utf-8") == "tables/b.parquet"
    with pytest.raises(InputError, match="not empty"):
        restore_backup(taken, home)


@pytest.mark.parametrize("left", [(), ("docs",), ("tables", "docs", "ops.db", "vault.db", "mlflow.db"), ("docs", "mlflow.db", "vault.db")])
def test_a_folder_in_which_somebody_has_begun_something_is_left_alone(taken: Path, home: Path, left: tuple[str, ...]) -> None:
    """A home whose run database is in PostgreSQL, or any folder with a name like ours; beside what was left of a draft."""
    (home / "tables").mkdir()
    (home / "tables" / "theirs").touch()
    for name in left:
        (home / draft.ENDING / name).mkdir(parents=True)
    with pytest.raises(InputError, match="not empty"):
        restore_backup(taken, home)
    assert (home / "tables" / "theirs").exists()


def test_a_home_that_was_only_looked_at_counts_as_empty_and_one_in_which_anything_was_noted_does_not(taken: Path, home: Path) -> None:
    assert main(["--home", str(home), "status"]) == 0
    assert "ops.db" in held(home)
    restore_backup(taken, home)
    assert held(home) == NAMES

    other = home.with_name("other")
    assert main(["--home", str(other), "status"]) == 0
    engine = ops.connect(f"sqlite:///{other / 'ops.db'}")
    pins.add(engine, "gold.stores", 1, "auditor", "a test")
    engine.dispose()
    before = noted(other)
    assert any("auditor" in line for line in before)
    with pytest.raises(InputError, match="not empty"):
        restore_backup(taken, other)
    assert noted(other) == before and "tables" not in held(other)
