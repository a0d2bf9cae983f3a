"""The past from the shell: a lake with models, verified, audited, put back and kept clean."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy import update

from jobs.cli import main
from jobs.runner import run as run_stages
from lakehouse.features import marker
from lakehouse.features.online import OnlineFeatures
from lakehouse.registry.loading import Registry
from lakehouse.registry.verifying import PINS_LAST, expired_pins
from lakehouse.settings import Settings
from lakehouse.tables import Lake, delta, pins, runs
from lakehouse.tables.ops import digests
from lakehouse.tables.ops import pins as pins_table
from lakehouse.tables.ops import runs as runs_table
from tests.conftest import SECRET

Output = pytest.CaptureFixture[str]


@pytest.fixture
def home(later: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that may be written to: published as of 2024-05-06 with three champions, and as of 2024-05-13 with late lines."""
    found = tmp_path / "home"
    shutil.copytree(later.home, found)
    for name, value in {"HOME": found, "PROFILE": "test", "VAULT__KEYS": "derived", "VAULT__SECRET": SECRET}.items():
        monkeypatch.setenv(f"ZEROMARGIN_{name}", str(value))
    return found


@pytest.fixture
def settings(later: Settings, home: Path) -> Settings:
    return later.model_copy(update={"home": home})


def told(capsys: Output, *words: str, code: int = 0) -> dict[str, object]:
    """What a command answers as JSON."""
    capsys.readouterr()
    assert main([*words, "--json"]) == code
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def broken(capsys: Output) -> list[tuple[str, str, str]]:
    found = told(capsys, "verify", code=1)["checked"]
    assert isinstance(found, list)
    return [(one["kind"], one["name"], one["found"]) for one in found if not one["whole"]]


def a_file_of(settings: Settings, name: str, version: int) -> Path:
    with Lake(settings) as lake:
        return Path(delta.open_table(lake.path(name), version).file_uris()[0].removeprefix("file://"))


def test_a_whole_lake_is_said_to_be_whole(home: Path, capsys: Output) -> None:
    found = told(capsys, "verify", "--all")
    assert found["whole"]
    checked = found["checked"]
    assert isinstance(checked, list)
    assert {one["kind"] for one in checked} == {"log", "table", "files", "model"}
    assert main(["verify"]) == 0
    assert "3 models" in capsys.readouterr().out


def test_a_file_that_is_missing_a_content_that_is_another_and_a_model_that_was_touched_are_named(
    settings: Settings, capsys: Output
) -> None:
    with Lake(settings) as lake:
        trained_on = next(pin for pin in pins.every(lake.ops) if pin.table == "features.product_sales")
        newest = lake.version("gold.products")
    rewritten = a_file_of(settings, trained_on.table, trained_on.version)
    rows = pq.read_table(rewritten)
    pq.write_table(rows.slice(1), rewritten)
    with Lake(settings) as lake:
        version = lake.version("gold.baskets")
        lake.pin("gold.baskets", version, "auditor", "a test")
        held = (digests.c.name == "gold.baskets") & (digests.c.version == version)
        with lake.ops.begin() as connection:
            connection.execute(update(digests).where(held).values(digest="0" * 64))
    a_file_of(settings, "gold.products", newest).unlink()
    champion = Registry(settings).by_alias("demand", "champion")
    assert champion is not None
    (champion.folder / "mean.txt").write_bytes(b"another model")

    found = broken(capsys)

    tables = {name: text for kind, name, text in found if kind == "table"}
    assert set(tables) == {"features.product_sales", "gold.baskets", "gold.products"}
    assert "can't be read" in tables["features.product_sales"]
    assert "its digest was 000000000000" in tables["gold.baskets"]
    assert "data files are not there" in tables["gold.products"]
    assert [(kind, name) for kind, name, _ in found if kind != "table"] == [
        ("log", "gold.products"),
        ("files", "gold.products"),
        ("model", "demand"),
    ]
    assert main(["verify"]) == 1
    assert "gold.products" in capsys.readouterr().out


def test_an_audit_names_the_files_the_run_the_models_and_the_predictions(home: Path, settings: Settings, capsys: Output) -> None:
    found = told(capsys, "audit", "features.product_sales", "--at", "2024-05-06")
    held, files, models, predictions = (
        found[name] for name in ("held", "files_behind_it", "models_trained_on_it", "predictions_published_with_it")
    )
    assert isinstance(held, list) and isinstance(files, list) and isinstance(models, list) and isinstance(predictions, list)
    with Lake(settings) as lake:
        then = lake.at("2024-05-06")
        assert (held[0]["rows"], held[0]["version"]) == (
            then.read("features.product_sales").count(),
            then.version("features.product_sales"),
        )
        assert sum(file["lines"] for file in files) == then.read("bronze.sales").count()
        assert sum(file["accepted"] for file in files) == then.read("bronze.sales").where("size(reasons) = 0").count()
    assert found["known"] == held[0]["rows"]
    assert {model["model"] for model in models} == {"demand"}
    assert {one["table"] for one in predictions} == {"predictions.forecasts", "predictions.recommendations", "predictions.segments"}
    silver = told(capsys, "audit", "silver.sales", "--at", "2024-05-13")
    assert isinstance(silver["known"], int) and isinstance(silver["held"], list)
    assert silver["known"] == silver["held"][0]["rows"]
    assert all(file["known"] <= file["accepted"] <= file["lines"] for file in files)

    page = home / "audit.html"
    assert main(["audit", "gold.products", "--at", "2024-05-06", "--html", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>") and "gold.products on 2024-05-06" in text and "predictions.forecasts" in text
    assert main(["audit", "gold.products", "--at", "2020-01-01"]) == 1
    assert "first snapshot is of 2024-05-06" in capsys.readouterr().err


def test_a_restore_takes_the_late_file_out_and_puts_the_online_store_back_and_a_run_goes_on(settings: Settings, capsys: Output) -> None:
    with Lake(settings) as lake:
        before = [one for one in lake.snapshots() if one.as_of == datetime(2024, 5, 6)][-1]
        late = lake.snapshots()[-1]
        held = lake.digest("gold.products", before.versions["gold.products"])
    run_stages(settings, ["features"])
    found = told(capsys, "restore", str(before.id))
    assert found["undone"][-1] >= late.id  # type: ignore[index]
    assert isinstance(found["taken_out"], list)
    assert [(file["source"], file["lines"]) for file in found["taken_out"]] == [("canonical", 4)]
    online = marker.read(settings.home)
    assert online is not None
    assert (online.moment, online.snapshot) == (datetime(2024, 5, 6), found["published"])
    assert OnlineFeatures(settings).product("all", "11111A") is None
    with Lake(settings) as lake:
        assert lake.digest("gold.products").digest == held.digest
    assert run_stages(settings).snapshot is not None
    assert told(capsys, "verify")["whole"]


def test_pins_are_made_shown_and_taken_away(home: Path, capsys: Output) -> None:
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


def test_what_maintenance_would_do_is_shown_before_it_does_it_and_a_dry_run_changes_no_byte(
    home: Path, settings: Settings, capsys: Output
) -> None:
    with Lake(settings) as lake:
        stray = Path(lake.path("gold.stores")) / "part-00000-of-a-writer-that-was-killed.parquet"
        shutil.copy(Path(lake.path("gold.stores")) / delta.files(lake.path("gold.stores"))[0], stray)

    def state() -> dict[str, tuple[int, int]]:
        files = [file for file in (home / "tables").rglob("*") if file.is_file()]
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
        with lake.ops.begin() as connection:
            connection.execute(update(pins_table).values(pinned_at=now - PINS_LAST + timedelta(days=10)))
        assert expired_pins(lake, ahead) == []
        run = runs.newest(lake.ops)[0].id
        with lake.ops.begin() as connection:  # by the same clock
            connection.execute(update(runs_table).where(runs_table.c.id == run).values(started_at=ahead - timedelta(minutes=5)))
        assert expired_pins(lake, ahead) == []
        assert [pin.table for pin in expired_pins(lake, ahead + timedelta(days=1))] == ["gold.stores"]


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
