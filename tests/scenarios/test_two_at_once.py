"""Several at work on one lake: who writes is alone, who reads is undisturbed, and nothing is lost or there twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from lakehouse.errors import LeaseHeld
from lakehouse.ingest import load
from lakehouse.settings import Settings
from lakehouse.tables import Lake, catalog, delta, delta_log, maintenance
from tests.canonical import written
from tests.shop import STORES, Line, Shop, stores

READERS = 4


def another(lake: Lake, **changed: object) -> Lake:
    """The same lake, opened once more on the same engine."""
    settings: Settings = lake.settings.model_copy(update=changed)
    return Lake(settings, endpoint=replace(lake.endpoint, process=None))


def held(lake: Lake, version: int) -> list[str]:
    return sorted(row["store"] for row in lake.read(STORES, version=version).select("store").toArrow().to_pylist())


@contextmanager
def undisturbed_readers(lake: Lake, published: dict[int, list[str]]) -> Iterator[None]:
    """Four who each read one of these versions again and again while the block runs, and must find in it what it held."""
    done, has_begun = threading.Event(), threading.Barrier(READERS + 1)

    def read(number: int) -> int:
        times, version = 0, list(published)[number % len(published)]
        with another(lake) as own:
            has_begun.wait(60)
            while not done.is_set() or not times:
                assert held(own, version) == published[version]
                times += 1
        return times

    with ThreadPoolExecutor(READERS) as pool:
        readers = [pool.submit(read, number) for number in range(READERS)]
        has_begun.wait(60)
        try:
            yield
        finally:
            done.set()
        assert all(reader.result(60) for reader in readers)


@pytest.mark.slow
def test_readers_of_what_was_published_are_undisturbed_by_runs_and_maintenance(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "CHECKPOINT_FROM", 0)
    shop = Shop(lake)
    shop.land(Line("A", "2011-01-03T10:00:00"))
    published: dict[int, list[str]] = {}
    for name in ("one", "two"):
        shop.open_store(name)
        published[lake.version(STORES)] = held(lake, lake.version(STORES))
    assert list(published.values()) == [["one"], ["one", "two"]]
    with undisturbed_readers(lake, published):
        for name in ("three", "four"):
            shop.open_store(name)
            maintenance.maintain(lake)
    assert delta_log.since_checkpoint(lake.path(STORES)) < lake.head(STORES)
    assert held(lake, lake.version(STORES)) == ["four", "one", "three", "two"]


@pytest.mark.slow
@pytest.mark.soak_on_jvm
def test_readers_of_an_old_version_never_meet_a_checkpoint_in_the_making(lake: Lake, tmp_path: Path) -> None:
    path = lake.path(STORES)
    with lake.lease("test"):
        one, two = (lake.writer.merge(STORES, stores(lake, **{name: 1})) for name in ("one", "two"))
        published = {version: held(lake, version) for version in (one, two)}
        with undisturbed_readers(lake, published):
            for number in range(40):
                delta.restore(path, (one, two)[number % 2], catalog.table(STORES))
                delta_log.checkpoint(path, tmp_path)
    assert delta_log.since_checkpoint(path) == 0


@pytest.mark.soak_on_jvm
def test_of_two_loads_at_once_one_waits_and_each_line_is_there_once(lake: Lake, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        # One file is the same in both folders, one is not.
        for file, invoices in (("same.csv", range(20)), (f"{name}.csv", range(100 * ord(name), 100 * ord(name) + 5))):
            lines = [f"{invoice},A,thing,2,2011-01-03T10:00:00,2.50,{invoice},France" for invoice in invoices]
            written(tmp_path / name, file, *lines)
    patient = lake.settings.ops.model_copy(update={"wait_s": 60.0})

    def land(name: str) -> list[bool]:
        with another(lake, ops=patient) as own:
            return [file.already for file in load(own, tmp_path / name, "canonical")]

    with ThreadPoolExecutor(2) as pool:
        landed = [already for found in pool.map(land, ("a", "b")) for already in found]

    assert sorted(landed) == [False, False, False, True]
    rows = lake.read("bronze.sales", lake.head("bronze.sales")).select("invoice").toArrow().column(0).to_pylist()
    assert len(rows) == len(set(rows)) == 30


def test_while_somebody_writes_whoever_would_too_is_refused_and_told_who_it_is(lake: Lake, tmp_path: Path) -> None:
    file = written(tmp_path, "a.csv")
    before = lake.head("bronze.sales")
    with lake.lease("a long run"), another(lake) as own:
        for write in (lambda: maintenance.maintain(own), lambda: load(own, file, "canonical")):
            with pytest.raises(LeaseHeld, match='"a long run"'):
                write()
    assert lake.head("bronze.sales") == before
