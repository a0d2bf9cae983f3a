"""Runs, snapshots, leases and the vault in PostgreSQL, as on a cluster: the same tables as with SQLite, and the server may go away."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import Engine, insert, select

from lakehouse import settings as settings_module
from lakehouse.engine import Endpoint
from lakehouse.errors import SettingsError, TryAgain
from lakehouse.ingest import load
from lakehouse.privacy.vault import open_vault
from lakehouse.registry.verifying import verify
from lakehouse.settings import Settings
from lakehouse.tables import Lake, maintenance, ops, pins
from lakehouse.tables.restoring import restore
from serving.publication import Publications
from tests.conftest import SECRET
from tests.featured import FeaturedShop
from tests.served import look_again, serving
from tests.servers import Postgres, postgres
from tests.shop import Line
from tests.trained import Trained

IDENTITY = "canonical"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as found:
        yield found


def chosen(home: Path, url: str | None) -> Settings:
    overrides = {"vault": {"keys": "derived", "secret": SECRET, "url": url}, "ops": {"url": url}}
    return settings_module.load(home, "test", overrides, environ={})


@pytest.fixture
def settings(server: Postgres, home: Path) -> Settings:
    return chosen(home, server.make(home.parent.name))


def worked(settings: Settings, endpoint: Endpoint) -> Lake:
    """A lake after two loads and two runs."""
    lake = Lake(settings, endpoint=replace(endpoint, process=None))
    lake.create_tables()
    shop = FeaturedShop(lake)
    shop.land(Line("P1", "2026-01-01 10:00"), Line("P2", "2026-01-02 11:00", customer=None))
    shop.publish("2026-01-06")
    shop.land_now(Line("P1", "2026-01-07 10:00", quantity="3"))
    shop.publish("2026-01-13")
    return lake


@pytest.mark.slow
def test_the_same_tables_as_with_sqlite_and_all_that_keeps_them(settings: Settings, endpoint: Endpoint, tmp_path: Path) -> None:
    with worked(settings, endpoint) as lake, worked(chosen(tmp_path / "beside", None), endpoint) as beside:
        tables = ("silver.sales", "features.product_sales", "features.customer_history")
        assert [lake.digest(name).digest for name in tables] == [beside.digest(name).digest for name in tables]
        assert not list(lake.home.glob("*.db"))
        first, newest = lake.snapshots()
        maintenance.maintain(lake)
        lake.pin("silver.sales", newest.versions["silver.sales"], owner="a test", reason="to be kept")
        assert [one for one in verify(lake, everything=True) if not one.whole] == []
        restore(lake, first.id)
        published = lake.snapshot()
        assert published is not None and published.as_of == first.as_of < newest.as_of
        assert [(one.owner, one.table) for one in pins.every(lake.ops)] == [("a test", "silver.sales")]
    found = Publications(settings).newest()
    assert found is not None and found.as_of == first.as_of


def test_of_two_that_exchange_the_same_customers_at_once_both_get_the_same_keys(server: Postgres, home: Path) -> None:
    url = server.make(home.parent.name)
    random = settings_module.load(home, "test", {"vault": {"secret": SECRET, "url": url}}, environ={})
    numbers = pa.array([str(10_000_000_000_000 + number) for number in range(500)])

    def exchange(_: int) -> list[str]:
        with open_vault(random) as vault:
            keys: list[str] = vault.exchange(IDENTITY, numbers).to_pylist()
            return keys

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(exchange, range(4)))
    assert found[0] == found[1] == found[2] == found[3]
    assert len(set(found[0])) == 500


def test_numbers_are_encrypted_anew_there_too(settings: Settings) -> None:
    numbers = [f"9{number:013d}" for number in range(30)]
    with open_vault(settings) as vault:
        keys = vault.exchange(IDENTITY, pa.array(numbers)).to_pylist()
        assert (vault.rotate().generation, vault.rotate().generation) == (2, 3)
        assert [vault.number(key) for key in keys] == numbers
        assert [vault.look_up(IDENTITY, number) for number in numbers] == keys


def test_a_server_that_is_away_is_named_and_one_that_comes_back_is_gone_on_with(
    server: Postgres, settings: Settings, trained: Trained
) -> None:
    raw = sorted(trained.raw.glob("*.csv"))[:2]
    with Lake(settings) as lake:
        load(lake, raw[0], "canonical")
    with open_vault(settings) as vault, Lake(settings) as lake:
        assert vault.identities() == [IDENTITY]
        server.stop()
        try:
            with pytest.raises(TryAgain, match="vault's database does not answer"):
                vault.identities()
            with pytest.raises(TryAgain, match=r"the vault at postgresql\+pg8000://postgres:\*\*\*@.* does not answer"):
                open_vault(settings)
            with pytest.raises(TryAgain, match=r"the run database postgresql\+pg8000://postgres:\*\*\*@.* does not answer"):
                Lake(settings).snapshots()
            with pytest.raises(TryAgain, match="does not answer"):
                load(lake, raw[1], "canonical")
        finally:
            server.start()
        assert vault.identities() == [IDENTITY]
        load(lake, raw[1], "canonical")


def test_a_service_whose_server_goes_away_answers_on_and_says_what_is_missing(server: Postgres, trained: Trained, tmp_path: Path) -> None:
    """The databases of the trained home are copied into the server as they are."""
    trained.copy(tmp_path / "home")
    settings = chosen(tmp_path / "home", server.make(tmp_path.name))
    beside, there = ops.connect(chosen(tmp_path / "home", None).ops_url), ops.connect(settings.ops_url)
    for table in ("homes", "runs", "snapshots", "snapshot_tables"):
        _copy(beside, there, table)
    customers, product = sorted(trained.truth.customers), sorted(trained.truth.products)[0]
    with open_vault(settings) as vault:
        vault.exchange(IDENTITY, pa.array(customers))
    with serving(settings, refresh_s=0.05) as client:
        assert client.post("/v1/segment", json={"customer": customers[0]}).json()["fallback"] is None
        server.stop()
        try:
            assert client.post("/v1/forecast", json={"product": product}).json()["fallback"] is None
            assert client.post("/v1/segment", json={"customer": customers[0]}).json()["fallback"] == "features unavailable"
        finally:
            server.start()
        look_again(client)
        assert client.post("/v1/segment", json={"customer": customers[0]}).json()["fallback"] is None


def test_a_url_that_is_no_database_of_ours_ends_with_two_and_an_example(home: Path) -> None:
    with pytest.raises(SettingsError, match=r"postgresql\+pg8000://user:password@host/database") as refused:
        Lake(settings_module.load(home, "test", {"ops": {"url": "oracle://x"}}, environ={})).snapshots()
    assert refused.value.exit_code == 2


def _copy(source: Engine, target: Engine, name: str) -> None:
    table = ops.META.tables[name]
    with source.connect() as read, target.begin() as write:
        write.execute(insert(table), [dict(row) for row in read.execute(select(table)).mappings()])
