"""The version of the run database's tables, and of the vault's: older ones are brought up, newer ones are refused by name."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from jobs.cli import main
from lakehouse import release
from lakehouse import settings as settings_module
from lakehouse.errors import OtherSchema, TryAgain
from lakehouse.privacy.vault import open_vault
from lakehouse.registry import tracking
from lakehouse.settings import Settings
from lakehouse.tables import ops, schema
from lakehouse.tables.schema import Step

CAME = Step("pins", "ALTER TABLE pins ADD COLUMN colour VARCHAR")


def change(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(statement)


def written(file: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("SELECT version, release FROM schema_version").fetchall()


def columns(url: str) -> set[str]:
    engine = ops.connect(url)
    return {str(column["name"]) for column in inspect(engine).get_columns("pins")}


def test_a_home_says_which_version_it_is_of_and_which_release_made_it_so(settings: Settings) -> None:
    for _ in range(2):
        ops.connect(settings.ops_url)
        assert written(settings.home / "ops.db") == [(1, release.here())]


def test_a_home_from_before_versions_were_written_down_counts_as_the_first_and_is_brought_up_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = settings.home / "ops.db"
    assert "colour" not in columns(settings.ops_url)
    change(file, "DROP TABLE schema_version")
    change(file, "INSERT INTO pins (name, version, owner, reason, pinned_at) VALUES ('gold.stores', 3, 'Ada', '', '2026-01-01')")

    monkeypatch.setattr(schema, "STEPS", (CAME,))
    for _ in range(2):
        assert "colour" in columns(settings.ops_url)
    assert written(file) == [(2, release.here())]
    with ops.connect(settings.ops_url).connect() as connection:
        assert connection.execute(text("SELECT owner, colour FROM pins")).all() == [("Ada", None)]


def test_a_table_that_is_only_made_now_takes_no_step(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    ops.connect(settings.ops_url)
    change(settings.home / "ops.db", "DROP TABLE pins")
    monkeypatch.setattr(schema, "STEPS", (CAME,))
    assert "colour" not in columns(settings.ops_url)
    assert written(settings.home / "ops.db") == [(2, release.here())]


def test_a_step_that_fails_leaves_all_as_it_was(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    ops.connect(settings.ops_url)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "STEPS", (CAME, Step("pins", "ALTER TABLE pins ADD COLUMN colour VARCHAR")))
        with pytest.raises(Exception, match="duplicate column"):
            ops.connect(settings.ops_url)
    assert "colour" not in columns(settings.ops_url)
    assert written(settings.home / "ops.db") == [(1, release.here())]


@pytest.mark.parametrize("command", [["status"], ["snapshots"], ["run"], ["verify"]])
def test_a_home_of_a_newer_release_is_refused_by_name(command: list[str], settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    ops.connect(settings.ops_url)
    change(settings.home / "ops.db", "UPDATE schema_version SET version = 7, release = '9.1.0'")
    assert main([*command, "--home", str(settings.home), "--profile", "test"]) == 1
    said = capsys.readouterr().err
    assert f"zeromargin 9.1.0 wrote the run database sqlite:///{settings.home}/ops.db" in said
    assert f"this is {release.here()} (schema 1): install 9.1.0 or newer" in said
    assert written(settings.home / "ops.db") == [(7, "9.1.0")]


def test_a_vault_of_a_newer_release_is_refused_by_name(settings: Settings) -> None:
    open_vault(settings).close()
    open_vault(settings).close()
    change(settings.home / "vault.db", "UPDATE vault_facts SET value = '2 9.1.0' WHERE name = 'schema'")
    with pytest.raises(OtherSchema, match=r"zeromargin 9\.1\.0 wrote the vault .*vault\.db \(schema 2\).*install 9\.1\.0 or newer"):
        open_vault(settings)
    change(settings.home / "vault.db", "UPDATE vault_facts SET value = '1' WHERE name = 'schema'")
    open_vault(settings).close()  # which release wrote it is told by one that is refused alone


def test_a_registry_that_another_mlflow_wrote_is_said_to_be_one(settings: Settings) -> None:
    tracking.connect(settings)
    # MLflow keeps one store per place and process, and looks at its database when it makes one.
    elsewhere = settings_module.load(settings.home.with_name("moved"), "test", environ={})
    settings.home.rename(elsewhere.home)
    change(elsewhere.home / "mlflow.db", "UPDATE alembic_version SET version_num = 'ffffffffffff'")
    with pytest.raises(OtherSchema, match=r"another MLflow than this one .* wrote sqlite.*found version ffffffffffff.*mlflow db upgrade"):
        tracking.connect(elsewhere)


def test_a_database_that_somebody_else_has_locked_is_worth_another_try(tmp_path: Path) -> None:
    file = tmp_path / "ops.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("CREATE TABLE somebody (name TEXT)")
        with pytest.raises(TryAgain, match=r"the run database .* is locked by another process"):
            ops.connect(f"sqlite:///{file}?timeout=0.05")
    ops.connect(f"sqlite:///{file}").dispose()
