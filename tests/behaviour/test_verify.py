"""What `verify` says of a lake with models: that all is whole, or what is broken, be it a table, a model, the registry or the vault."""

from __future__ import annotations

import os
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import update

from jobs.cli import main
from jobs.runner import run as run_stages
from lakehouse.privacy.vault import open_vault
from lakehouse.registry import tracking
from lakehouse.registry.loading import DIGEST, Registry
from lakehouse.registry.training import is_due
from lakehouse.registry.training_pins import PINS_LAST
from lakehouse.settings import Settings
from lakehouse.tables import Lake, handles, opening, pins
from lakehouse.tables.ops import digests
from lakehouse.tables.ops import pins as pins_table
from tests.inside import Output, told


@pytest.fixture
def settings(kept: Settings) -> Settings:
    return kept


def broken(capsys: Output) -> list[tuple[str, str, str]]:
    found = told(capsys, "verify", code=1)["checked"]
    assert isinstance(found, list)
    return [(one["kind"], one["name"], one["found"]) for one in found if not one["whole"]]


def a_file_of(settings: Settings, name: str, version: int) -> Path:
    with Lake(settings) as lake:
        return Path(handles.open_table(lake.path(name), version).file_uris()[0].removeprefix("file://"))


def test_a_whole_lake_is_said_to_be_whole(settings: Settings, capsys: Output) -> None:
    found = told(capsys, "verify", "--all")
    assert found["whole"]
    checked = found["checked"]
    assert isinstance(checked, list)
    assert {one["kind"] for one in checked} == {"log", "table", "files", "model", "vault", "features"}
    assert main(["verify"]) == 0
    shown = capsys.readouterr().out
    assert "3 models" in shown and "and the vault (301 keys): all whole" in shown


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
        ("files", "features.product_sales"),  # has other bytes than the log says
        ("files", "gold.products"),
        ("model", "demand"),
    ]
    assert main(["verify"]) == 1
    assert "gold.products" in capsys.readouterr().out


def lose(settings: Settings, database: str) -> None:
    for part in settings.home.glob(f"{database}*"):
        part.unlink()


@pytest.mark.slow
def test_a_damaged_registry_and_what_answers_are_given_are_named_and_the_rest_is_looked_at(settings: Settings, capsys: Output) -> None:
    feast = settings.home / "feast"
    os.truncate(settings.home / "mlflow.db", 30_000)
    (feast / "registry.db").write_bytes(b"garbage")
    with (feast / "online.db").open("r+b") as file:  # as long as it was
        file.seek(20_000)
        file.write(bytes(40_000))
    for side in ("mlflow.db-wal", "feast/online.db-wal"):
        (settings.home / side).unlink(missing_ok=True)
    found = {(kind, name): said for kind, name, said in broken(capsys)}
    assert found.keys() == {("registry", "models"), ("features", "registry.db"), ("features", "online.db")}
    assert "mlflow.db is damaged" in found["registry", "models"] and "restore-backup" in found["registry", "models"]
    assert "made anew by: zeromargin run features" in found["features", "online.db"]


@pytest.mark.slow
def test_a_registry_that_was_lost_or_is_an_older_one_is_named_and_costs_no_pin(settings: Settings, tmp_path: Path, capsys: Output) -> None:
    with Lake(settings) as lake:
        kept = pins.every(lake.ops)
        old = datetime.now(UTC).replace(tzinfo=None) - PINS_LAST - timedelta(days=1)
        with lake.ops.begin() as connection:
            connection.execute(update(pins_table).values(pinned_at=old))
    whole = (settings.home / "mlflow.db").read_bytes()
    lose(settings, "mlflow.db")

    assert [(kind, name) for kind, name, _ in broken(capsys)] == [("registry", name) for name in ("demand", "segments", "recommendations")]
    with Lake(settings) as lake, lake.lease("a look") as held:
        lake.run = opening.begin_or_resume(lake, None, held.token)
        assert re.search(r"the registry has lost version 1 \(\w+\), which run \S+ registered", is_due(lake, "demand").reason)
    assert all("does not know it: it was lost" in text for *_, text in broken(capsys))
    assert main(["status"]) == 0
    assert "The registry does not know demand 1 any more" in capsys.readouterr().out
    assert main(["backup", str(tmp_path / "backup")]) == 0
    assert "What was backed up is not whole. Registry of demand" in capsys.readouterr().err
    told(capsys, "maintain")
    with Lake(settings) as lake:
        assert [(pin.table, pin.version, pin.owner) for pin in pins.every(lake.ops)] == [
            (pin.table, pin.version, pin.owner) for pin in kept
        ]

    (settings.home / "mlflow.db").write_bytes(whole)
    assert told(capsys, "verify")["whole"]
    tracking.connect(settings).set_model_version_tag("demand", "1", DIGEST, "0" * 64)  # as in another lake's registry
    assert [(kind, name) for kind, name, _ in broken(capsys) if kind != "model"] == [("registry", "demand")]


def test_without_its_signing_key_models_are_not_said_to_be_tampered_with_none_is_made_and_no_champion_falls(
    settings: Settings, capsys: Output
) -> None:
    key = settings.home / "secrets" / "signing"
    key.rename(settings.home / "away")

    found = broken(capsys)

    assert [(kind, name) for kind, name, _ in found] == [("model", name) for name in ("demand", "recommendations", "segments")]
    assert all("there is no signing key" in text and str(key) in text for *_, text in found)
    assert main(["run", "demand"]) == 1 and "there is no signing key" in capsys.readouterr().err
    assert not key.exists()
    (settings.home / "away").rename(key)
    assert told(capsys, "verify")["whole"]
    assert all("champion" in one.aliases for one in Registry(settings).versions())


def test_a_model_that_somebody_deleted_is_not_missed_and_answers_nothing(settings: Settings, capsys: Output) -> None:
    tracking.connect(settings).delete_model_version("segments", "1")

    assert told(capsys, "verify")["whole"]
    assert [one.name for one in Registry(settings).versions()] == ["demand", "recommendations"]
    assert main(["status"]) == 0
    assert "No champion of segments: baselines answer" in capsys.readouterr().out


@pytest.mark.parametrize(("keys", "said"), [("derived", "knows nobody"), ("random", "is not the one that this lake")])
def test_a_vault_that_was_lost_or_is_another_one_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: Output, keys: str, said: str
) -> None:
    monkeypatch.setenv("ZEROMARGIN_VAULT__KEYS", keys)
    lose(settings, "vault.db")
    assert [(kind, "knows nobody" in text) for kind, _, text in broken(capsys)] == [("vault", True)]
    assert main(["vault", "rotate"]) == 1 and "knows nobody" in capsys.readouterr().err
    assert not (settings.home / "vault.db").exists()

    with open_vault(settings) as vault:
        if keys == "random":
            vault.exchange("numbers", pa.array(["1"]))
    assert [(kind, said in text) for kind, _, text in broken(capsys)] == [("vault", True)]


def test_a_vault_of_another_secret_is_named_and_one_whose_secret_is_elsewhere_is_not_looked_at(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setenv("ZEROMARGIN_VAULT__SECRET", "11" * 32)
    assert [(kind, "is not the one" in text) for kind, _, text in broken(capsys)] == [("vault", True)]

    monkeypatch.delenv("ZEROMARGIN_VAULT__SECRET")
    monkeypatch.setenv("ZEROMARGIN_VAULT__MAKE_SECRETS", "false")
    assert main(["verify"]) == 0
    assert "not looked at: its secret is not here" in capsys.readouterr().out


def test_a_table_that_can_not_be_read_is_not_shown_as_empty(settings: Settings, capsys: Output) -> None:
    with Lake(settings) as lake:
        shutil.rmtree(lake.path("gold.products"))

    states = {one["name"]: one for one in told(capsys, "status")["tables"]}  # type: ignore[attr-defined]
    assert "gold.products is not there any more" in states["gold.products"]["wrong"]
    assert {name for name, one in states.items() if one["wrong"]} == {"gold.products"}
    assert main(["tables"]) == 0
    shown = capsys.readouterr().out
    assert "broken" in shown and "gold.products can't be read" in shown and "zeromargin run --from-bronze" in shown
    with Lake(settings) as lake:
        assert "gold.products is not there any more" in str(lake.tables())


@pytest.mark.slow
def test_a_file_that_was_cut_is_named_without_an_engine_and_repaired_from_bronze(settings: Settings, capsys: Output) -> None:
    with Lake(settings) as lake:
        cut = a_file_of(settings, "gold.products", lake.version("gold.products"))
    whole = cut.stat().st_size
    cut.write_bytes(cut.read_bytes()[:1500])

    states = {one["name"]: one for one in told(capsys, "status")["tables"]}  # type: ignore[attr-defined]
    assert f"{cut.name}, which has 1,500 bytes of {whole:,}" in states["gold.products"]["wrong"]
    assert {(kind, name) for kind, name, _ in broken(capsys)} >= {("log", "gold.products"), ("files", "gold.products")}
    assert main(["run"]) == 1
    assert "zeromargin run --from-bronze" in capsys.readouterr().err
    run_stages(settings, from_bronze=True)
    assert told(capsys, "verify")["whole"]
