"""The past from the shell: pinned, kept clean and compared."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from jobs.cli import main
from lakehouse.registry.training_pins import PINS_LAST, expired_pins
from lakehouse.settings import Settings
from lakehouse.tables import Lake, delta, pins, runs
from lakehouse.tables.ops import pins as pins_table
from lakehouse.tables.ops import runs as runs_table
from tests.inside import Output, told


@pytest.fixture
def settings(kept: Settings) -> Settings:
    return kept


def test_pins_are_made_shown_and_taken_away(settings: Settings, capsys: Output) -> None:
    assert main(["pin", "gold.products", "2", "--owner", "auditor", "--reason", "case 12"]) == 0
    listed = told(capsys, "status")["pins"]
    assert isinstance(listed, list)
    assert [(pin["version"], pin["reason"]) for pin in listed if pin["owner"] == "auditor"] == [(2, "case 12")]
    assert main(["unpin", "gold.products", "2", "--owner", "auditor"]) == 0
    assert main(["unpin", "gold.products", "2", "--owner", "auditor"]) == 1
    assert 'not pinned for "auditor"' in capsys.readouterr().err
    assert main(["pin", "gold.products", "99"]) == 1
    assert "no version 99" in capsys.readouterr().err
    assert main(["pin", "gold.product", "2"]) == 2


def test_pins_of_models_that_never_answered_run_out_and_those_of_champions_do_not(settings: Settings, capsys: Output) -> None:
    with Lake(settings) as lake:
        kept = {(pin.table, pin.version, pin.owner) for pin in pins.every(lake.ops)}
        for owner, table in (("model demand 000000000000", "gold.stores"), ("auditor", "gold.baskets")):
            lake.pin(table, lake.version(table), owner, "a test")
        old = datetime.now(UTC).replace(tzinfo=None) - PINS_LAST - timedelta(days=1)
        with lake.ops.begin() as connection:
            connection.execute(update(pins_table).values(pinned_at=old))
            connection.execute(update(runs_table).values(started_at=old + PINS_LAST))  # a day ago
    found = told(capsys, "maintain")
    assert isinstance(found["pins_expired"], list)
    assert [(pin["table"], pin["owner"]) for pin in found["pins_expired"]] == [("gold.stores", "model demand 000000000000")]
    with Lake(settings) as lake:
        assert {pin.owner for pin in pins.every(lake.ops)} >= {owner for *_, owner in kept} | {"auditor"}
    assert told(capsys, "verify", "--all")["whole"]


def test_what_maintenance_would_do_is_shown_before_it_does_it_and_a_dry_run_changes_no_byte(settings: Settings, capsys: Output) -> None:
    with Lake(settings) as lake:
        stray = Path(lake.path("gold.stores")) / "part-00000-of-a-writer-that-was-killed.parquet"
        shutil.copy(Path(lake.path("gold.stores")) / delta.files(lake.path("gold.stores"))[0], stray)

    def state() -> dict[str, tuple[int, int]]:
        files = [file for file in (settings.home / "tables").rglob("*") if file.is_file()]
        return {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in files}

    before = state()
    assert main(["maintain", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "gold.stores" in shown and "orphans" in shown and "deleted" not in shown
    assert state() == before
    assert main(["maintain"]) == 0
    done = capsys.readouterr()
    assert done.out.startswith(shown.splitlines()[0])
    assert "files deleted" in done.out and not stray.exists()


def test_a_clock_that_is_years_ahead_makes_no_pin_run_out(settings: Settings) -> None:
    now = datetime.now(UTC).replace(tzinfo=None)
    ahead = now + timedelta(days=3650)
    with Lake(settings) as lake:
        lake.pin("gold.stores", lake.version("gold.stores"), "model demand 000000000000", "a test")
        lake.pin("gold.stores", lake.version("gold.stores"), "model risk committee", "a case, whose pin never runs out")
        with lake.ops.begin() as connection:
            connection.execute(update(pins_table).values(pinned_at=now - PINS_LAST + timedelta(days=10)))
        assert expired_pins(lake, ahead) == []
        run = runs.newest(lake.ops)[0].id
        with lake.ops.begin() as connection:  # by the same clock
            connection.execute(update(runs_table).where(runs_table.c.id == run).values(started_at=ahead - timedelta(minutes=5)))
        assert expired_pins(lake, ahead) == []
        assert [pin.owner for pin in expired_pins(lake, ahead + timedelta(days=1))] == ["model demand 000000000000"]


def test_a_difference_is_shown_by_key(settings: Settings, capsys: Output) -> None:
    with Lake(settings) as lake:
        first, last = (lake.snapshots()[place].versions["gold.products"] for place in (0, -1))
    found = told(capsys, "diff", "gold.products", "--from", str(first), "--to", str(last), "--sample", "1")
    assert (found["added"], found["removed"]) == (1, 0)
    assert isinstance(found["sample"], list)
    assert found["sample"][0]["key"] == {"product_code": "11111A", "store": "all"} or found["sample"][0]["key"] == {
        "product_code": "11111A"
    }
    assert main(["diff", "gold.products", "--from", str(first)]) == 0
    assert "A LATE CUP" in capsys.readouterr().out
