"""An auditor's questions of a day, asked of a lake that has learnt more since."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import nbformat
import pytest

from jobs.execute import execute
from jobs.pipeline import NOTEBOOKS
from lakehouse.registry.audit import Audit
from lakehouse.settings import Settings
from lakehouse.tables import Lake, handles, pins
from tests.conftest import SECRET
from tests.once import copy_home
from tests.trained import Trained

LATE = Decimal("36.00")


@pytest.fixture
def asked(later: Settings) -> Iterator[Audit]:
    """The day of the first run."""
    with Lake(later) as lake:
        yield Audit(lake, "2024-05-06")


def test_what_was_held_is_what_the_snapshot_published(asked: Audit, trained: Trained) -> None:
    with Lake(trained.settings) as then:
        for one in asked.held:
            assert (one.version, one.digest) == (then.version(one.table), then.digest(one.table).digest)


def test_what_has_changed_is_counted_by_key(asked: Audit) -> None:
    changes = {one.table: (one.added, one.changed, one.gone) for one in asked.changes}
    assert changes["silver.sales"] == (3, 0, 0)
    assert changes["gold.daily_sales"] == (3, 0, 0)
    assert changes["gold.products"] == (1, 0, 0)
    assert changes["quarantine.sales"] == (1, 0, 0)


def test_the_file_that_changed_it_is_named_with_what_of_it_was_of_the_past(asked: Audit) -> None:
    (file,) = asked.landed_since
    assert (file.source, file.lines, file.in_silver, file.in_quarantine) == ("canonical", 4, 3, 1)
    assert (file.of_the_past, file.amount_of_the_past) == (2, LATE)


def test_the_months_that_are_told_otherwise_and_by_how_much(asked: Audit) -> None:
    assert [(one.month, one.difference, one.products) for one in asked.restated] == [("2024-04", LATE, 1)]


def test_each_champion_is_shown_with_what_it_was_trained_on(asked: Audit) -> None:
    assert {one.model: (one.signed, one.pinned) for one in asked.champions} == dict.fromkeys(
        ("demand", "recommendations", "segments"), (True, True)
    )
    snapshot = asked.snapshot
    assert snapshot is not None
    for one in asked.champions:
        assert one.tables["silver.sales"] == snapshot.versions["silver.sales"]


def test_every_champion_says_again_what_it_said(asked: Audit) -> None:
    assert {one.model for one in asked.said} == {"demand", "segments", "recommendations"}
    for one in asked.said:
        assert one.asked > 0
        assert one.same == one.asked, one


def test_every_version_that_is_relied_on_is_whole(asked: Audit) -> None:
    assert [one for one in asked.whole if not one.whole] == []
    assert len(asked.whole) > len(asked.held)


def test_a_version_that_lost_a_file_is_named(later: Settings, tmp_path: Path) -> None:
    copy_home(later.home, tmp_path / "home")
    settings = later.model_copy(update={"home": tmp_path / "home"})
    with Lake(settings) as lake:
        version = lake.version("gold.stores")
        for uri in handles.open_table(lake.path("gold.stores"), version).file_uris():
            Path(uri.removeprefix("file://")).unlink()
        asked = Audit(lake)
        broken = [(one.table, one.version) for one in asked.whole if not one.whole]
        around = {(one.kind, one.name) for one in asked.around if not one.whole}
        verdict = asked.verdict
    assert ("gold.stores", version) in broken
    assert around == {("log", "gold.stores"), ("files", "gold.stores")}
    assert f"gold.stores version {version}, " in verdict and "files of gold.stores" in verdict


def test_before_the_first_publication_there_is_nothing_and_it_says_so(later: Settings) -> None:
    with Lake(later) as lake:
        asked = Audit(lake, "2020-01-01")
        assert "first snapshot is of 2024-05-06" in str(asked)
        assert list(asked.held) == list(asked.changes) == list(asked.champions) == []


@pytest.mark.timeout(180)
def test_the_auditors_notebook_shows_its_plots_the_table_and_the_pins_and_writes_nothing(
    later: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"HOME": later.home, "PROFILE": "test", "VAULT__KEYS": "derived", "VAULT__SECRET": SECRET}.items():
        monkeypatch.setenv(f"ZEROMARGIN_{name}", str(value))
    before = _rows(later)
    day = {"date": "2024-05-06", "known": "2024-04-01"}

    failure = execute(NOTEBOOKS / "audit.ipynb", tmp_path / "audited.ipynb", day, in_process=True)

    assert failure is None, failure
    assert _rows(later) == before
    told = [output for cell in nbformat.read(tmp_path / "audited.ipynb", as_version=4).cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in told) == 3
    text = "\n".join(str(output.get("data", {}).get("text/html", output.get("text", ""))) for output in told)
    with Lake(later) as lake:
        refused = lake.read("quarantine.sales").count()
        kept = pins.every(lake.ops)
    assert refused and kept
    assert all(pin.owner in text for pin in kept)
    assert "Known is what was known before 2024-04-01" in text
    assert "no line was ever corrected" in str(told)
    assert "not whole: none" in text


def _rows(settings: Settings) -> dict[str, int]:
    """How many rows each table of the run database has."""
    with closing(sqlite3.connect(settings.home / "ops.db")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}
