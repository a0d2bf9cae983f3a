"""A home and its run database know each other: an empty one in its place, or another one's, is not taken for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.cli import main
from lakehouse.errors import SettingsError, StateError
from lakehouse.ingest import load
from lakehouse.settings import Settings
from lakehouse.tables import Lake, ops


@contextlib.contextmanager
def refused(settings: Settings, what: str) -> Iterator[None]:
    with pytest.raises(StateError, match=f"is not that of the lake in .*: {what}"), Lake(settings) as lake:
        lake.snapshots()
    yield


def written(settings: Settings) -> None:
    with Lake(settings) as lake, lake.lease("a load"):
        lake.create_tables()


def elsewhere(settings: Settings, file: Path) -> Settings:
    return settings.model_copy(update={"ops": settings.ops.model_copy(update={"url": f"sqlite:///{file}"})})


def test_a_run_database_that_was_lost_is_named_and_none_is_made_in_its_place(settings: Settings, tmp_path: Path) -> None:
    written(settings)
    for part in settings.home.glob("ops.db*"):
        part.rename(tmp_path / part.name)

    for command in (["verify"], ["status"], ["maintain"], ["maintain", "--dry-run"], ["snapshots"]):
        assert main(["--home", str(settings.home), *command]) == 1
    with refused(settings, "it is not there"):
        assert not (settings.home / "ops.db").exists()

    for part in tmp_path.glob("ops.db*"):
        part.rename(settings.home / part.name)
    written(settings)


def test_an_empty_one_and_one_of_another_lake_are_refused(settings: Settings, tmp_path: Path) -> None:
    written(settings)
    other = settings.model_copy(update={"home": tmp_path / "other"})
    written(other)

    empty = tmp_path / "empty.db"
    ops.connect(f"sqlite:///{empty}").dispose()
    with refused(elsewhere(settings, empty), "it knows of no lake"):
        pass
    with refused(elsewhere(settings, other.home / "ops.db"), "it belongs to another lake"):
        pass
    written(settings)


def test_a_home_that_lost_its_number_too_is_known_by_the_lines_in_it(settings: Settings, tmp_path: Path) -> None:
    written(settings)
    file = tmp_path / "a.csv"
    file.write_text("invoice,product_code,quantity,sold_at,unit_price\n1,A,2,2011-01-03T10:00:00,2.50\n", encoding="utf-8")
    with Lake(settings) as lake:
        load(lake, file, "canonical")
    (settings.home / "lake.id").unlink()
    with Lake(settings) as lake:
        assert lake.read("bronze.sales").count() == 1  # its run database still knows it
    for part in settings.home.glob("ops.db*"):
        part.rename(tmp_path / part.name)
    for command in (["verify"], ["status"], ["maintain"], ["load", str(file), "--source", "canonical"]):
        assert main(["--home", str(settings.home), *command]) == 1
    with refused(settings, "it is not there"):
        assert not (settings.home / "ops.db").exists()
    ops.connect(settings.ops_url).dispose()
    with refused(settings, "it knows of no lake"):
        pass


def test_a_number_that_is_none_is_said_to_be_damaged_and_is_written_anew(settings: Settings) -> None:
    written(settings)
    number = (settings.home / "lake.id").read_text(encoding="ascii")
    (settings.home / "lake.id").write_bytes(b"")
    with (
        pytest.raises(StateError, match=r"lake.id is damaged: expected the lake's number, 32 hex digits. Take it away"),
        Lake(settings) as lake,
    ):
        lake.snapshots()
    (settings.home / "lake.id").unlink()
    written(settings)
    assert (settings.home / "lake.id").read_text(encoding="ascii") == number


def test_a_home_from_before_gets_its_number_when_somebody_writes(settings: Settings) -> None:
    written(settings)
    number = (settings.home / "lake.id").read_text()
    (settings.home / "lake.id").unlink()

    with Lake(settings) as lake:
        assert lake.snapshots() == []
    assert not (settings.home / "lake.id").exists()
    written(settings)
    assert (settings.home / "lake.id").read_text() == number


def test_a_url_that_is_none_is_said_to_be_one_in_a_home_with_a_number_too(settings: Settings) -> None:
    written(settings)
    wrong = settings.model_copy(update={"ops": settings.ops.model_copy(update={"url": "no url"})})
    with pytest.raises(SettingsError, match="ops.url is no database"), Lake(wrong) as lake:
        lake.snapshots()
