"""The past from the shell: a lake with models, verified, audited, put back and kept clean."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import update

from jobs import processes
from jobs.cli import main
from jobs.runner import run as run_stages
from lakehouse.errors import StateError
from lakehouse.features import marker, popular
from lakehouse.features.online import OnlineFeatures
from lakehouse.features.popular import PopularProduct
from lakehouse.registry import tracking
from lakehouse.registry.loading import MOMENT, Registry
from lakehouse.registry.training_pins import PINS_LAST, expired_pins
from lakehouse.settings import Settings
from lakehouse.tables import Lake, delta, handles, pins, runs
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
        return Path(handles.open_table(lake.path(name), version).file_uris()[0].removeprefix("file://"))


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


def audited(capsys: Output, *words: str) -> dict[str, list[dict[str, Any]]]:
    """The parts of an audit, by title."""
    found = told(capsys, "audit", *words)
    return {name: part for name, part in found.items() if isinstance(part, list)}


def test_an_audit_names_the_files_the_run_the_models_and_the_predictions(settings: Settings, capsys: Output) -> None:
    found = audited(capsys, "features.product_sales", "--at", "2024-05-06")
    with Lake(settings) as lake:
        then = lake.at("2024-05-06")
        snapshot = then.snapshot()
        assert snapshot is not None
        version, silver = then.version("features.product_sales"), snapshot.versions["silver.sales"]
        assert (found["held"][0]["rows"], found["held"][0]["version"]) == (then.read("features.product_sales").count(), version)
        # Its rows name no file; those of silver.sales, of which it is made, do.
        rows = {row["_file"][:12]: row["count"] for row in then.read("silver.sales").groupBy("_file").count().toArrow().to_pylist()}
        assert {file["file"]: file["rows"] for file in found["files_behind_it"]} == rows
    assert all(file["rows"] <= file["known"] <= file["accepted"] <= file["lines"] for file in found["files_behind_it"])
    assert found["versions_up_to_then"][-1]["run"] == snapshot.run
    (model,) = found["models_trained_on_it"]
    assert (model["model"], model["through"], model["table_version"], model["is_held"]) == ("demand", "directly", version, True)
    (prediction,) = found["predictions_made_of_it"]
    assert (prediction["table"], prediction["model_version"]) == ("predictions.forecasts", "1")
    assert prediction["through"] == f"features.product_sales version {version}, model demand 1"
    # Silver is in all that answered, with every model, and itself of the version that they were trained on.
    found = audited(capsys, "silver.sales", "--at", "2024-05-06")
    assert {(one["model"], one["table_version"]) for one in found["models_trained_on_it"]} == {
        (name, silver) for name in ("demand", "segments", "recommendations")
    }
    assert {one["table"] for one in found["predictions_made_of_it"]} == {
        f"predictions.{name}" for name in ("forecasts", "segments", "recommendations")
    }


def test_an_audit_follows_what_was_made_of_a_table_and_nothing_else(settings: Settings, capsys: Output) -> None:
    with Lake(settings) as lake:
        then = lake.at("2024-05-06").snapshot()
        assert then is not None
        late = lake.version("quarantine.sales")
    through = audited(capsys, "gold.daily_sales", "--at", "2024-05-06")
    (model,) = through["models_trained_on_it"]
    assert (model["model"], model["through"]) == ("recommendations", f"gold.products version {then.versions['gold.products']}")
    assert (model["table_version"], model["is_held"]) == (then.versions["gold.daily_sales"], True)
    assert [one["through"] for one in through["predictions_made_of_it"]] == ["model recommendations 1"]

    refused = audited(capsys, "quarantine.sales", "--at", "2024-05-13")
    assert refused["held"][0]["version"] == late
    assert refused["models_trained_on_it"] == refused["predictions_made_of_it"] == []
    with Lake(settings) as lake:
        counted = lake.read("quarantine.sales").groupBy("file_digest").count().toArrow().to_pylist()
    assert {file["file"]: file["rows"] for file in refused["files_behind_it"]} == {row["file_digest"][:12]: row["count"] for row in counted}
    assert refused["files_behind_it"][-1]["lines"] == 4

    champion = Registry(settings).by_alias("recommendations", "champion")
    assert champion is not None
    (champion.folder / "manifest.json").write_text("{}", encoding="utf-8")
    (model,) = audited(capsys, "gold.stores", "--at", "2024-05-06")["models_trained_on_it"] or [None]  # type: ignore[list-item]
    assert model is None
    (model,) = audited(capsys, "gold.daily_sales", "--at", "2024-05-06")["models_trained_on_it"]
    assert (model["model"], model["table_version"], model["is_held"]) == ("recommendations", None, None)
    assert "its manifest can't be trusted" in model["found"]


def test_an_audit_tells_what_was_known_by_a_day_apart_from_what_was_held(settings: Settings, capsys: Output) -> None:
    held, known = audited(capsys, "silver.sales", "--at", "2024-05-13", "--known", "2024-05-06")["known_by_then"]
    with Lake(settings) as lake:
        first = lake.at("2024-05-06")
        before = first.digest("silver.sales")
        products, product_version = first.digest("gold.products"), first.version("gold.products")
        features = first.digest("features.product_sales")
    # Three of the late file's lines are in silver: two were sold before that day and not known, one was sold after it.
    assert (held["rows"] - known["rows"], known["rows"], known["digest"]) == (3, before.rows, before.digest)
    assert (float(held["units"]) - float(known["units"]), float(held["revenue"]) - float(known["revenue"])) == pytest.approx((13, 39))
    held, known = audited(capsys, "silver.sales", "--at", "2024-05-13")["known_by_then"]
    assert held["rows"] == known["rows"]  # by the snapshot's moment the late ones are known
    held, known = audited(capsys, "bronze.sales", "--at", "2024-05-13", "--known", "2024-04-11")["known_by_then"]
    assert known["rows"] < held["rows"]

    held, known = audited(capsys, "gold.products", "--at", "2024-05-13", "--known", "2024-05-12")["known_by_then"]
    assert (known["version"], known["digest"], known["rows"]) == (product_version, products.digest, products.rows)
    assert (held["rows"] - known["rows"], "what snapshot 2 had published" in known["found"]) == (1, True)
    held, known = audited(capsys, "gold.products", "--at", "2024-05-13", "--known", "2020-01-01")["known_by_then"]
    assert (known["version"], known["rows"], "nothing of it had been published" in known["found"]) == (None, 0, True)
    held, known = audited(capsys, "features.product_sales", "--at", "2024-05-13", "--known", "2024-05-06")["known_by_then"]
    assert (known["digest"], known["rows"]) == (features.digest, features.rows)
    assert held["rows"] > known["rows"]
    assert main(["audit", "silver.sales", "--known", "yesterday"]) == 2
    assert "is not a day" in capsys.readouterr().err


def test_an_audit_reads_as_text_and_as_a_page(home: Path, settings: Settings, capsys: Output) -> None:
    page = home / "audit.html"
    assert main(["audit", "silver.sales", "--at", "2024-05-06", "--known", "2024-05-01", "--html", str(page)]) == 0
    assert main(["audit", "silver.sales", "--at", "2024-05-06", "--known", "2024-05-01"]) == 0
    text = capsys.readouterr().out
    with Lake(settings) as lake:
        then = lake.at("2024-05-06")
        snapshot = then.snapshot()
        assert snapshot is not None
        counts = (
            then.read("silver.sales").count(),
            then.read("silver.sales").where("sold_at < DATE'2024-05-01' AND _known_at < DATE'2024-05-01'").count(),
        )
        files = delta.partition_values(lake.path("bronze.sales"), "file_digest", snapshot.versions["bronze.sales"])
    assert counts[0] > counts[1] > 0
    for told_as in (text, page.read_text(encoding="utf-8")):
        assert f"snapshot {snapshot.id} as of 2024-05-06" in told_as
        assert all(f"{count:,}" in told_as for count in counts)
        assert "Known is what was known before 2024-05-01" in told_as
        assert all(file[:12] in told_as for file in files)
        assert snapshot.run in told_as
        assert all(name in told_as for name in ("demand", "segments", "recommendations", "champion"))
        assert all(f"predictions.{name}" in told_as for name in ("forecasts", "segments", "recommendations"))
        assert "Times of writing and landing are in UTC" in told_as
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")

    assert main(["audit", "gold.products", "--at", "2020-01-01"]) == 1
    assert "first snapshot is of 2024-05-06" in capsys.readouterr().err


def test_a_file_landed_when_it_came_first_whatever_was_gone_back_on_since(settings: Settings, capsys: Output) -> None:
    before = audited(capsys, "bronze.sales")["files_behind_it"]
    with Lake(settings) as lake:
        first, last = (lake.snapshots()[place].id for place in (0, -1))
    told(capsys, "restore", str(first))
    told(capsys, "restore", str(last))
    assert audited(capsys, "bronze.sales")["files_behind_it"] == before


def test_a_restore_has_no_champion_answer_that_was_trained_on_what_it_undid(settings: Settings, capsys: Output) -> None:
    """The registry is told that the champion of demand was made a week later, as if the second run had trained it."""
    champion = Registry(settings).by_alias("demand", "champion")
    assert champion is not None
    tracking.connect(settings).set_model_version_tag("demand", champion.version, MOMENT, "2024-05-13T00:00:00")

    assert main(["restore", "1"]) == 0

    assert Registry(settings).by_alias("demand", "champion") is None
    assert Registry(settings).by_alias("segments", "champion") is not None


def test_a_restore_without_the_vaults_secret_changes_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    with Lake(settings) as lake:
        before = lake.snapshots()
    monkeypatch.setenv("ZEROMARGIN_VAULT__SECRET", "11" * 32)

    assert main(["restore", "1"]) == 1

    assert "secret" in capsys.readouterr().err
    with Lake(settings) as lake:
        assert lake.snapshots() == before


def test_a_restore_takes_the_late_file_out_and_puts_the_online_store_back_and_a_run_goes_on(settings: Settings, capsys: Output) -> None:
    with Lake(settings) as lake:
        before = [one for one in lake.snapshots() if one.as_of == datetime(2024, 5, 6)][-1]
        late = lake.snapshots()[-1]
        held = lake.digest("gold.products", before.versions["gold.products"])
    run_stages(settings, ["features"])
    liked = popular.read(settings.home)
    popular.write(settings.home, [PopularProduct("11111A", "of the days that are undone", 99.0), *liked])
    found = told(capsys, "restore", str(before.id))
    assert found["undone"][-1] >= late.id  # type: ignore[index]
    assert {one.product for one in popular.read(settings.home)} == {one.product for one in liked} - {"11111A"}
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


def test_a_restore_killed_before_the_online_store_was_put_back_says_so_until_it_is_finished(settings: Settings, capsys: Output) -> None:
    run_stages(settings, ["features"])
    with Lake(settings) as lake:
        before = [one for one in lake.snapshots() if one.as_of == datetime(2024, 5, 6)][-1]
        newest = lake.snapshots()[-1]
    dies = "import os, sys; from jobs import keeping; keeping.publish_online = lambda lake: os._exit(9); from jobs.cli import main; main(sys.argv[1:])"
    killed = subprocess.run([sys.executable, "-c", dies, "restore", str(before.id)], cwd=processes.ROOT, check=False)
    assert killed.returncode == 9
    assert OnlineFeatures(settings).product("all", "11111A") is not None

    assert told(capsys, "status")["unfinished_restore"] == before.id
    assert main(["status"]) == 0
    assert f"nothing is written before it is finished: zeromargin restore {before.id}" in capsys.readouterr().out
    with pytest.raises(StateError, match=f"Finish it first: zeromargin restore {before.id}"):
        run_stages(settings)
    with Lake(settings) as lake:
        heads = {name: lake.head(name) for name in lake.catalog}

    found = told(capsys, "restore", str(before.id))

    assert found["undone"] == list(range(before.id + 1, newest.id + 1))
    assert [file["lines"] for file in found["taken_out"]] == [4]  # type: ignore[attr-defined]
    with Lake(settings) as lake:
        assert {name: lake.head(name) for name in lake.catalog} == heads  # what had been done was not done again
        published = lake.snapshots()[-1]
    assert published.id == found["published"] == newest.id + 1
    online = marker.read(settings.home)
    assert online is not None
    assert (online.moment, online.snapshot) == (datetime(2024, 5, 6), published.id)
    assert OnlineFeatures(settings).product("all", "11111A") is None
    assert told(capsys, "status")["unfinished_restore"] is None
    assert run_stages(settings).snapshot is not None


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
