"""An audit from the shell, of a lake with models: as text, as JSON, as a page."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import insert

from jobs.cli import main
from lakehouse.registry import tracking
from lakehouse.registry.audit import Audit
from lakehouse.registry.loading import Registry
from lakehouse.settings import Settings
from lakehouse.tables import Lake, delta, ops, rebuilding, snapshots
from tests.inside import Output, told
from tests.served import another_version, champion


@pytest.fixture
def settings(kept: Settings) -> Settings:
    return kept


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


@pytest.mark.slow
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


def test_an_audit_reads_as_text_and_as_a_page(settings: Settings, capsys: Output) -> None:
    page = settings.home / "audit.html"
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


@pytest.mark.slow
def test_a_file_landed_when_it_came_first_whatever_was_gone_back_on_since(settings: Settings, capsys: Output) -> None:
    before = audited(capsys, "bronze.sales")["files_behind_it"]
    with Lake(settings) as lake:
        first, last = (lake.snapshots()[place].id for place in (0, -1))
    told(capsys, "restore", str(first))
    told(capsys, "restore", str(last))
    assert audited(capsys, "bronze.sales")["files_behind_it"] == before


def test_an_audit_names_models_that_the_registry_does_not_hold_any_more(settings: Settings, capsys: Output) -> None:
    before = audited(capsys, "features.product_sales")
    tracking.connect(settings).delete_model_version("demand", "1")

    after = audited(capsys, "features.product_sales")

    told_before, told_after = ({one["model"]: one for one in found["models_trained_on_it"]} for found in (before, after))
    assert "not in the registry any more: run " in told_after["demand"]["found"]
    same = ("digest", "through", "table_version", "is_held", "trained_at", "decision")
    assert {name: told_after["demand"][name] for name in same} == {name: told_before["demand"][name] for name in same}


def test_predictions_are_of_the_model_that_made_them_whatever_got_its_number_since(settings: Settings, capsys: Output) -> None:
    """A registry that was lost and begun anew gives numbers out again."""
    was = champion(settings, "demand").digest
    number = another_version(settings, "demand")
    with closing(sqlite3.connect(settings.home / "mlflow.db")) as connection:
        for name in ("model_versions", "model_version_tags", "registered_model_aliases"):
            connection.execute(f"DELETE FROM {name} WHERE name = 'demand' AND version = 1")
            connection.execute(f"UPDATE {name} SET version = 1 WHERE name = 'demand' AND version = ?", [number])
        connection.commit()
    (now,) = Registry(settings).versions("demand")
    assert now.version == "1" and now.digest != was

    found = audited(capsys, "features.product_sales", "--at", "2024-05-06")
    models = {one["digest"]: one["found"] for one in found["models_trained_on_it"]}
    assert models[now.digest] == "as signed" and "not in the registry any more" in models[was]
    (prediction,) = found["predictions_made_of_it"]
    assert prediction["through"].endswith("model demand 1, which is not in the registry any more")
    with Lake(settings) as lake:
        (said,) = [one for one in Audit(lake, "2024-05-06").said if one.model == "demand"]
    assert (said.version, said.asked, said.example) == ("1", 0, f"{was[:12]} is not in the registry")


def test_a_model_was_trained_on_what_is_held_where_it_holds_the_same_rows_under_another_number(settings: Settings, capsys: Output) -> None:
    with Lake(settings) as lake:
        first = lake.snapshots()[0]
    told(capsys, "restore", str(first.id))
    found = audited(capsys, "silver.sales")
    assert found["held"][0]["version"] != first.versions["silver.sales"]
    assert {(one["table_version"], one["is_held"]) for one in found["models_trained_on_it"]} == {(first.versions["silver.sales"], True)}


def test_a_model_was_not_trained_on_what_got_the_number_of_a_version_whose_history_was_given_up(settings: Settings, capsys: Output) -> None:
    with Lake(settings) as lake:
        trained = lake.snapshots()[0].versions["silver.sales"]
        with lake.lease("test"):
            rebuilding.make_room(lake, dropped=["silver.sales"])
            lake.create_tables()
            newest = snapshots.newest(lake.ops)
            assert newest is not None
            while lake.head("silver.sales") < trained:  # the number that the models were trained on, of other rows
                delta.open_to_change(lake.path("silver.sales")).alter.set_table_properties({"delta.appendOnly": "false"})
            with lake.ops.begin() as connection:
                connection.execute(insert(ops.snapshot_tables).values(snapshot=newest.id, name="silver.sales", version=trained))
    models = audited(capsys, "silver.sales")["models_trained_on_it"]
    assert {(one["table_version"], one["is_held"]) for one in models} == {(None, False)}
    through = {one["model"]: one["through"] for one in models}
    assert through["recommendations"] == f"directly, version {trained} of a history that was given up", through
