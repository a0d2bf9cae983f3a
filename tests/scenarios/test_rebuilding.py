"""A table that was lost: said by name with what repairs it, made anew from bronze, and bronze itself never made up."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from sqlalchemy import update

from jobs import keeping, scheduling
from lakehouse.errors import NothingPublished, StateError, UnknownName
from lakehouse.features import build
from lakehouse.medallion import silver
from lakehouse.registry.verifying import verify
from lakehouse.tables import (
    Lake,
    StageLake,
    audit,
    catalog,
    delta,
    delta_log,
    handles,
    maintenance,
    opening,
    ops,
    pins,
    rebuilding,
    restoring,
    runs,
)
from lakehouse.tables.catalog import BRONZE
from tests.featured import FeaturedShop, opened, prepared
from tests.shop import Line, Shop

SALES, PRODUCTS = "silver.sales", "features.product_sales"
SEGMENTS = "predictions.segments"
TABLES = (SALES, PRODUCTS, "features.customer_history")
REPAIR = "zeromargin run --from-bronze"


def two_weeks(shop: FeaturedShop) -> None:
    shop.land_now(Line("A", "2011-01-03T10:00:00"), Line("B", "2011-01-04T10:00:00", quantity="3"))
    shop.publish("2011-01-12")
    shop.land_now(Line("A", "2011-01-12T10:00:00", invoice="2"), Line("B", "2011-01-06T10:00:00", invoice="3"))  # the latter is late
    shop.publish("2011-01-19")


@pytest.fixture
def shop(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> FeaturedShop:
    return prepared(lake, tmp_path_factory, two_weeks)


def digests(lake: Lake) -> dict[str, str]:
    return {name: lake.digest(name).digest for name in TABLES}


def anew(lake: Lake, dropped: Collection[str] = ()) -> list[str]:
    """Silver and features made anew. Returns what was said of it."""
    told: list[str] = []
    with lake.lease("test") as held:
        run = opening.begin_or_resume(lake, None, held.token, from_bronze=True, dropped=dropped, tell=told.append)
        for name, work in (("silver", silver.build), ("features", build.build)):
            with StageLake(lake.settings, name, run.id) as stage:
                work(stage)
                if name == "features":
                    stage.publish(after=())
                stage.finish()
        runs.end(lake.ops, run.id)
    return told


def entry(lake: Lake, name: str, version: int) -> Path:
    return Path(lake.path(name)) / handles.LOG / f"{version:020}.json"


def lose(lake: Lake, name: str, how: str) -> None:
    version = lake.version(name)
    newest = entry(lake, name, version)
    match how:
        case "removed":
            shutil.rmtree(lake.path(name))
        case "an entry is missing":
            entry(lake, name, 1).unlink()
        case "an entry is cut off":
            newest.write_text(newest.read_text()[:40])
        case "an entry is cut at the end of a line":
            newest.write_text(newest.read_text().splitlines(keepends=True)[0])
        case "an entry is empty":
            newest.write_text("")
        case "a file is missing":
            (Path(lake.path(name)) / delta.files(lake.path(name), version)[0]).unlink()


HOWS = (
    "removed",
    "an entry is missing",
    "an entry is cut off",
    "an entry is cut at the end of a line",
    "an entry is empty",
    "a file is missing",
)


def broken(lake: Lake) -> dict[str, str]:
    """What `verify` finds wrong with the logs, by table."""
    return {one.name: one.found for one in verify(lake) if one.kind == "log" and not one.whole}


@pytest.mark.slow
@pytest.mark.soak_on_jvm
def test_whatever_is_lost_of_a_table_is_said_with_what_repairs_it_before_anything_is_read_written_or_deleted(shop: FeaturedShop) -> None:
    lake = shop.lake
    for how in HOWS:
        shutil.copytree(lake.path(PRODUCTS), lake.home / "kept")
        lose(lake, PRODUCTS, how)
        for read in (lambda: lake.read(PRODUCTS), lambda: lake.read(PRODUCTS, version=lake.version(PRODUCTS))):
            with pytest.raises(StateError, match=rf"{PRODUCTS}.*{REPAIR}"):
                read()
        with pytest.raises(StateError, match=rf"{PRODUCTS}.*{REPAIR}"):
            maintenance.plan(lake)
        if how == "removed":
            for gone_back_on in (
                lambda: restoring.restore(lake, lake.snapshots()[0].id),
                lambda: audit.held(lake.at("2100-01-01"), PRODUCTS),
            ):
                with pytest.raises(StateError, match=rf"{PRODUCTS} is not there any more.*{REPAIR}"):
                    gone_back_on()
        with pytest.raises(StateError, match=rf"{PRODUCTS}.*{REPAIR}"):
            shop.publish("2011-01-26")
        found = broken(lake)
        assert list(found) == [PRODUCTS] and REPAIR in found[PRODUCTS], how
        shutil.rmtree(lake.path(PRODUCTS), ignore_errors=True)
        shutil.move(lake.home / "kept", lake.path(PRODUCTS))
    assert not broken(lake)


@pytest.mark.parametrize("how", ["removed", "an entry is empty"])
@pytest.mark.soak_on_jvm
def test_a_lost_table_is_made_anew_as_it_was(shop: FeaturedShop, how: str) -> None:
    lake, before = shop.lake, digests(shop.lake)
    with lake.lease("test"):
        lake.pin(PRODUCTS, lake.version(PRODUCTS), "a test", "relied on")
    lose(lake, PRODUCTS, how)

    anew(lake)

    assert digests(lake) == before
    assert len(lake.snapshots()) == 3
    # Its older versions are gone, and nobody is told that another table's are them.
    with pytest.raises(NothingPublished):
        lake.at("2011-01-12").read(PRODUCTS)
    assert lake.at("2011-01-12").read(SALES).count() == 2
    shop.land_now(Line("C", "2011-01-20T10:00:00", invoice="4"))
    shop.publish("2011-01-26")
    assert lake.read(SALES).count() == 5


@pytest.mark.slow
@pytest.mark.soak_on_jvm
def test_after_a_rebuild_that_was_broken_off_every_run_makes_all_anew(shop: FeaturedShop) -> None:
    """Whatever comes in between: without it the lost table would be empty, and only what is new would be added."""
    lake = shop.lake
    lose(lake, PRODUCTS, "removed")
    with lake.lease("test") as held:
        opening.begin_or_resume(lake, None, held.token, from_bronze=True)
    shop.land_now(Line("C", "2011-01-20T10:00:00", invoice="4"))
    with lake.lease("test") as held, pytest.raises(StateError, match=f"made from bronze before anything else.*{REPAIR}"):
        opening.begin_or_resume(lake, "2011-01-12", held.token)
    shop.publish("2011-01-26")

    other = opened(lake, "other")
    two_weeks(other)
    other.land_now(Line("C", "2011-01-20T10:00:00", invoice="4"))
    other.publish("2011-01-26")
    assert digests(lake) == digests(other.lake)
    other.lake.close()


@pytest.mark.soak_on_jvm
def test_a_table_that_is_damaged_before_anything_is_published_is_made_anew_too(lake: Lake) -> None:
    shop = FeaturedShop(lake)
    shop.land_now(Line("A", "2011-01-03T10:00:00"))
    newest = max((Path(lake.path(SALES)) / handles.LOG).glob("*.json"))
    newest.write_text(newest.read_text()[:40])
    with pytest.raises(StateError, match=rf"{SALES}.*{REPAIR}"):
        shop.clean()
    anew(lake)
    assert lake.read(SALES).count() == 1


@pytest.mark.soak_on_jvm
def test_an_open_run_whose_work_was_removed_is_not_gone_on_with(lake: Lake) -> None:
    shop = Shop(lake)
    shop.land(Line("A", "2011-01-03T10:00:00"))
    with lake.lease("test") as held:
        first = opening.begin_or_resume(lake, None, held.token)
        with StageLake(lake.settings, "silver", first.id) as stage:
            silver.build(stage)
            stage.finish()
    shutil.rmtree(lake.path(SALES))
    with lake.lease("test") as held, pytest.raises(StateError, match=REPAIR):
        opening.begin_or_resume(lake, None, held.token)
    anew(lake)
    assert lake.read(SALES).count() == 1


@pytest.mark.soak_on_jvm
def test_a_table_that_another_version_of_the_library_partitioned_otherwise_is_made_anew(
    shop: FeaturedShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, before = shop.lake, digests(shop.lake)
    other = dict(catalog.load()) | {PRODUCTS: replace(catalog.table(PRODUCTS), partition_by=("store",))}
    monkeypatch.setattr(catalog, "load", lambda: MappingProxyType(other))
    with pytest.raises(StateError, match=rf"{PRODUCTS} is partitioned by \[\], .* writes it by \['store'\].* It can be read.*{REPAIR}"):
        shop.publish("2011-01-26")
    assert digests(lake) == before and not broken(lake) and maintenance.plan(lake)
    anew(lake)
    assert digests(lake) == before
    assert delta.partition_values(lake.path(PRODUCTS), "store") == {"all"}


@pytest.mark.soak_on_jvm
def test_a_damaged_checkpoint_is_left_out_for_the_log_says_the_same(shop: FeaturedShop) -> None:
    lake = shop.lake
    before = digests(lake)
    with lake.lease("test"):
        delta_log.checkpoint(lake.path(SALES), lake.home / "staging")
    (checkpoint,) = (Path(lake.path(SALES)) / handles.LOG).glob("*.checkpoint.parquet")
    checkpoint.write_bytes(checkpoint.read_bytes()[:50])
    assert digests(lake) == before
    assert not broken(lake)


@pytest.mark.soak_on_jvm
def test_an_older_version_whose_entry_is_damaged_is_named_and_nothing_of_the_table_is_deleted(shop: FeaturedShop) -> None:
    lake = shop.lake
    older = lake.snapshots()[0].versions[PRODUCTS]
    with lake.lease("test"):  # so that the newest version needs no older entry, whichever files the engine wrote anew
        delta_log.checkpoint(lake.path(PRODUCTS), lake.home / "staging")
    entry(lake, PRODUCTS, older).write_text("")
    assert lake.read(PRODUCTS).count() > 0
    with pytest.raises(StateError, match=f"{PRODUCTS} version {older} can't be read any more.*log .* was damaged"):
        lake.read(PRODUCTS, version=older)
    with pytest.raises(StateError, match=f"{PRODUCTS} version {older} can't be read any more"):  # making all anew would not bring it back
        lake.at(lake.snapshots()[0].as_of).read(PRODUCTS)
    wrong = {one.kind: one.version for one in verify(lake) if one.name == PRODUCTS and not one.whole}
    assert wrong == {"log": str(lake.head(PRODUCTS)), "files": str(older)}
    (plan,) = [one for one in maintenance.plan(lake) if one.table == PRODUCTS]
    assert plan.damage and not plan.deletes


@pytest.mark.slow
@pytest.mark.soak_on_jvm
def test_entries_that_are_missing_below_a_checkpoint_are_named_and_the_table_is_made_anew(shop: FeaturedShop) -> None:
    lake, before = shop.lake, digests(shop.lake)
    with lake.lease("test"):
        delta_log.checkpoint(lake.path(SALES), lake.home / "staging")
        delta_log.checkpoint(lake.path("bronze.sales"), lake.home / "staging")
    first = lake.snapshots()[0].versions[SALES]
    for version in (0, first):
        entry(lake, SALES, version).unlink()
    entry(lake, "bronze.sales", 0).unlink()
    assert lake.read(SALES).count() == 4
    for asked in (
        lambda: lake.history(SALES),
        lambda: lake.version_at(SALES, "2100-01-01"),
        lambda: delta_log.arrivals(lake.path("bronze.sales"), "file_digest"),
    ):
        with pytest.raises(StateError, match="lacks entries, such as that of version 0. .* zeromargin verify"):
            asked()
    assert delta.last_written(lake.path("bronze.sales")).year >= 2026, "a load that asks how late it is goes on"
    found = broken(lake)
    assert "lacks the entries of versions 0, 2" in found[SALES] and REPAIR in found[SALES]
    assert "restore-backup" in found["bronze.sales"] and REPAIR not in found["bronze.sales"]
    (plan,) = [one for one in maintenance.plan(lake) if one.table == SALES]
    assert plan.damage and not plan.deletes
    with pytest.raises(StateError, match=f"put back to version {first}.* zeromargin verify"):
        delta.restore(lake.path(SALES), first, lake.catalog[SALES])

    newest = lake.version(SALES)
    lake.pin(SALES, newest, "auditor", "a test")
    pinned = lake.digest(SALES, newest, full=True)

    anew(lake)  # whatever for: what can be read of the table is kept

    assert digests(lake) == before
    assert lake.digest(SALES, newest, full=True) == pinned
    assert list(broken(lake)) == ["bronze.sales", SALES]
    assert anew(lake, dropped=[SALES]) == [
        f"the history of {SALES} is dropped: it is made anew, and 1 pins and what 3 snapshots say of its versions so far are forgotten."
        f" What is left of it is in {lake.path(SALES)}.damaged-1"
    ]
    assert digests(lake) == before
    assert list(broken(lake)) == ["bronze.sales"]
    for wrong, error in (("bronze.sales", StateError), ("silver.sails", UnknownName)):
        with pytest.raises(error):
            anew(lake, dropped=[wrong])


@pytest.mark.soak_on_jvm
def test_an_entry_that_is_none_is_named_in_a_line_with_what_repairs_it(shop: FeaturedShop) -> None:
    lake = shop.lake
    with lake.lease("test"):
        delta_log.checkpoint(lake.path(SALES), lake.home / "staging")
    first, wrote = lake.snapshots()[0].versions[SALES], {one.run for one in lake.history(SALES) if one.run is not None}
    entry(lake, SALES, first).write_text("{garbage\n")
    assert lake.read(SALES).count() == 4

    found = broken(lake)
    assert f"the entries of versions {first} can't be read" in found[SALES] and f"--drop-history {SALES}" in found[SALES]
    for asked in (
        lambda: lake.history(SALES),
        lambda: lake.read(SALES, version=first),
        lambda: delta.restore(lake.path(SALES), first, lake.catalog[SALES]),
    ):
        with pytest.raises(StateError, match=r"\A.* zeromargin verify\Z"):  # in one line
            asked()
    anew(lake, dropped=[SALES])
    assert not broken(lake)
    assert wrote and not wrote & {one.run for one in lake.history(SALES)}, (
        "a version is told to be of the run that wrote that number before"
    )


@pytest.mark.slow
@pytest.mark.soak_on_jvm
def test_a_snapshot_that_knows_nothing_of_a_table_made_anew_is_gone_back_to_and_all_is_made_anew(shop: FeaturedShop) -> None:
    lake, before = shop.lake, digests(shop.lake)
    second = lake.snapshots()[-1].id
    for lost in (SALES, "gold.products"):
        shutil.rmtree(lake.path(lost))
    anew(lake)
    found = keeping.restore(lake, second)  # ends, though what is popular is made of a table that is lacking
    assert set(found.lacking) == {SALES, "gold.products"} and found.emptied == ()
    assert rebuilding.is_due(lake) and scheduling._has_work(lake)
    with pytest.raises(NothingPublished, match=f"{SALES} has no version to read"):
        lake.read(SALES)
    shop.land_now(Line("C", "2011-01-13T10:00:00", invoice="9"))
    shop.publish("2011-01-19")
    assert lake.read(SALES).count() == lake.read(BRONZE).count() == 5
    assert digests(lake).keys() == before.keys()


@pytest.mark.soak_on_jvm
def test_a_rebuild_that_was_killed_before_tables_were_put_back_leaves_predictions_as_they_were(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.create_tables()
    shop = FeaturedShop(lake)
    shop.land_now(Line("A", "2011-01-03T10:00:00"))
    with shop.run("2011-01-05") as run, StageLake(lake.settings, "predictions", run.id) as stage:
        row = {
            "customer_key": "c" * 32,
            "segment": "new",
            "version": "1",
            "digest": "d" * 64,
            "fallback": False,
            "as_of": datetime(2011, 1, 3),
        }
        columns = [column for column in lake.catalog[SEGMENTS].columns if column.name != "_run"]
        schema = ", ".join(f"{column.name} {column.type}" for column in columns)
        frame = stage.spark.createDataFrame([tuple(row[column.name] for column in columns)], schema)
        stage.writer.replace(SEGMENTS, frame, where="version = '1'")
        stage.publish(after=())
        stage.finish()
    assert lake.read(SEGMENTS).count() == 1
    with monkeypatch.context() as patch:
        patch.setattr(runs, "set_restored", _killed)
        with pytest.raises(KeyboardInterrupt):
            anew(lake)
    shop.publish("2011-01-05")
    assert lake.read(SEGMENTS).count() == 1


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.soak_on_jvm
def test_what_is_let_go_while_it_is_verified_is_not_said_to_be_broken(shop: FeaturedShop, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, whole = shop.lake, audit.whole
    between = lake.head(BRONZE) + 1  # of no snapshot once another file has landed
    shop.land_now(Line("A", "2011-01-13T10:00:00", invoice="4"))
    lake.pin(BRONZE, between, "auditor", "a test")
    shop.land_now(Line("A", "2011-01-14T10:00:00", invoice="5"))
    verify(lake)
    with lake.ops.begin() as connection:
        connection.execute(
            update(ops.digests).where(ops.digests.c.name == BRONZE, ops.digests.c.version == between).values(digest="0" * 64)
        )
    assert [(one.name, one.version) for one in verify(lake) if not one.whole] == [(BRONZE, str(between))]

    def meanwhile(*asked: Any) -> Any:
        found = whole(*asked)
        pins.remove(lake.ops, BRONZE, between, "auditor")
        return found

    monkeypatch.setattr(audit, "whole", meanwhile)
    assert all(one.whole for one in verify(lake))


@pytest.mark.soak_on_jvm
def test_a_rebuild_of_what_is_whole_changes_nothing_and_keeps_every_version(shop: FeaturedShop) -> None:
    before, old = digests(shop.lake), shop.lake.digest(PRODUCTS, shop.lake.snapshots()[0].versions[PRODUCTS])
    anew(shop.lake)
    assert digests(shop.lake) == before
    assert shop.lake.digest(PRODUCTS, old.version) == old


@pytest.mark.soak_on_jvm
def test_bronze_is_never_made_up(shop: FeaturedShop) -> None:
    lose(shop.lake, "bronze.sales", "removed")
    with pytest.raises(StateError, match="bronze.sales is not there any more.*backup"):
        shop.lake.create_tables()
    with shop.lake.lease("test") as held, pytest.raises(StateError, match="Nothing else holds what landed"):
        opening.begin_or_resume(shop.lake, None, held.token, from_bronze=True)
