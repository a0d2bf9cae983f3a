"""An online store or a vault that is away, damaged, replaced or behind: a fallback while it lasts, and never more than that."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from lakehouse.features import repository
from lakehouse.privacy.vault import open_vault
from lakehouse.settings import Settings
from tests.served import IDENTITY, SOON, UNKNOWN, key_of, look_again, numbers_of, published, serving, until
from tests.trained import Trained

MARKER, ONLINE = repository.MARKER, repository.ONLINE
GARBAGE = b"\xa5"


@pytest.fixture
def settings(trained: Trained, tmp_path: Path) -> Settings:
    """Of a copy whose databases are whole in their main files: what made the home may still hold part of them in a log beside."""
    settings = trained.copy(tmp_path / "home")
    for path in (repository.folder(settings.home) / ONLINE, settings.home / "vault.db"):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return settings


@pytest.fixture
def online(settings: Settings) -> Path:
    return repository.folder(settings.home) / ONLINE


@pytest.fixture
def marker(settings: Settings) -> Path:
    return repository.folder(settings.home) / MARKER


@pytest.fixture
def products(settings: Settings) -> list[str]:
    return sorted({str(row["product_code"]) for row in published(settings, "forecasts")})


@pytest.fixture
def customers(settings: Settings, trained: Trained) -> list[str]:
    """Numbers of customers who have a segment."""
    return numbers_of(settings, trained.truth.customers, published(settings, "segments"))


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with serving(settings, SOON) as client:
        yield client


def fallback(client: TestClient, product: str) -> str | None:
    reply = client.post("/v1/forecast", json={"product": product})
    assert reply.status_code == 200, reply.text
    found: str | None = reply.json()["fallback"]
    return found


def segment(client: TestClient, number: str) -> str | None:
    """The fallback with which a customer's segment is told."""
    reply = client.post("/v1/segment", json={"customer": number})
    assert reply.status_code == 200, reply.text
    found: str | None = reply.json()["fallback"]
    return found


def move_marker(marker: Path, day: str) -> None:
    told = json.loads(marker.read_text())
    repository.write_whole(marker, json.dumps({**told, "moment": f"{day}T00:00:00"}))


def replace(path: Path, content: bytes) -> None:
    """Another file in the same place, as a restored backup is."""
    other = path.with_name("other")
    other.write_bytes(content)
    other.replace(path)


# ------------------------------------------------------------------ the online store


def test_a_store_that_is_away_at_start_costs_a_marked_fallback(settings: Settings, online: Path, products: list[str]) -> None:
    online.rename(online.with_name("away"))
    with serving(settings) as client:
        assert fallback(client, products[0]) == "features unavailable"
        assert client.get("/readyz").status_code == 503


def test_a_store_that_comes_after_start_is_used_without_a_restart(settings: Settings, online: Path, products: list[str]) -> None:
    online.rename(online.with_name("away"))
    with serving(settings, SOON) as client:
        online.with_name("away").rename(online)
        until(lambda: fallback(client, products[0]) is None, "the store is found")
        assert client.get("/readyz").status_code == 200


def test_a_store_whose_file_is_taken_away_is_missed_at_readyz_and_questions_are_still_answered(
    client: TestClient, online: Path, products: list[str]
) -> None:
    before = client.post("/v1/forecast", json={"product": products[0]}).json()["forecast"]
    online.rename(online.with_name("away"))
    until(lambda: client.get("/readyz").status_code == 503, "the store is missed")
    assert client.post("/v1/forecast", json={"product": products[0]}).json()["forecast"] == before


def test_what_was_last_known_of_an_entity_answers_while_the_store_is_damaged(client: TestClient, online: Path, products: list[str]) -> None:
    before = client.post("/v1/forecast", json={"product": products[0]}).json()
    online.write_bytes(b"")
    after = client.post("/v1/forecast", json={"product": products[0]}).json()
    assert after["fallback"] == "features unavailable"
    assert {**after, "request_id": "", "fallback": None} == {**before, "request_id": ""}


def test_the_mean_of_those_asked_about_answers_for_others_while_the_store_is_damaged(
    settings: Settings, client: TestClient, online: Path, products: list[str]
) -> None:
    for product in products[:5]:
        assert fallback(client, product) is None
    look_again(client)
    online.write_bytes(b"")
    answer = client.post("/v1/forecast", json={"product": products[9]}).json()
    assert (answer["fallback"], answer["model"]["version"]) == ("features unavailable", "baseline")
    assert answer["forecast"][0]["mean"] > 0


def test_a_look_up_that_fails_is_counted(client: TestClient, online: Path, products: list[str]) -> None:
    online.write_bytes(b"")
    fallback(client, products[0])
    assert 'retail_feature_lookups_total{feature_service="demand_v1",result="error"} 1.0' in client.get("/metrics").text


def test_a_store_that_is_damaged_is_missed_at_readyz(client: TestClient, online: Path, products: list[str]) -> None:
    online.write_bytes(GARBAGE * online.stat().st_size)
    assert fallback(client, products[0]) == "features unavailable"
    look_again(client)
    assert client.get("/readyz").status_code == 503


def test_a_store_that_is_whole_again_after_damage_is_used_without_a_restart(client: TestClient, online: Path, products: list[str]) -> None:
    content = online.read_bytes()
    online.write_bytes(GARBAGE * len(content))
    assert fallback(client, products[0]) == "features unavailable"
    online.write_bytes(content)
    look_again(client)
    assert [fallback(client, product) for product in products[:10]] == [None] * 10


def test_a_damaged_store_in_the_place_of_the_old_one_is_missed_at_readyz_and_gone_from_when_it_is_replaced(
    client: TestClient, online: Path, products: list[str]
) -> None:
    content = online.read_bytes()
    replace(online, GARBAGE * len(content))
    until(lambda: client.get("/readyz").status_code == 503, "the damage is seen")
    replace(online, content)
    until(lambda: client.get("/readyz").status_code == 200, "the whole store is seen")
    assert fallback(client, products[0]) is None


def test_a_store_that_was_replaced_is_read_and_the_old_one_no_more(client: TestClient, online: Path, products: list[str]) -> None:
    assert fallback(client, products[0]) is None
    other = online.with_name("other.db")
    shutil.copy(online, other)
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("DELETE FROM zeromargin_product_sales")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.replace(online)
    until(lambda: client.post("/v1/forecast", json={"product": products[0]}).status_code == 404, "the new store is read")


def test_a_product_is_not_called_unknown_while_the_store_is_filled_anew(
    client: TestClient, online: Path, marker: Path, products: list[str]
) -> None:
    """A restored lake's store is emptied, its marker first, before it is filled again."""
    marker.unlink()
    with closing(sqlite3.connect(online)) as connection:
        connection.execute("DELETE FROM zeromargin_product_sales")
        connection.commit()
    assert fallback(client, products[0]) == "features unavailable"


def test_a_store_one_moment_behind_is_fresh(client: TestClient, marker: Path, products: list[str]) -> None:
    move_marker(marker, "2024-04-29")
    assert fallback(client, products[0]) is None


def test_a_store_two_moments_behind_is_stale_for_every_answer_and_at_readyz(
    client: TestClient, marker: Path, products: list[str], customers: list[str]
) -> None:
    move_marker(marker, "2024-04-22")
    assert (fallback(client, products[0]), segment(client, customers[0])) == ("features stale", "features stale")
    (reason,) = client.get("/readyz").json()["reasons"]
    assert "stale" in reason and "2024-04-22" in reason


def test_stale_features_are_still_used_by_the_champion(client: TestClient, marker: Path, products: list[str]) -> None:
    move_marker(marker, "2024-04-22")
    assert client.post("/v1/forecast", json={"product": products[0]}).json()["model"]["version"] == "1"


def test_a_store_whose_publication_never_ended_is_stale_until_it_does(client: TestClient, marker: Path, products: list[str]) -> None:
    told = marker.read_text()
    marker.unlink()
    assert fallback(client, products[0]) == "features stale"
    repository.write_whole(marker, told)
    assert fallback(client, products[0]) is None


# ------------------------------------------------------------------ the vault


def reasons(client: TestClient) -> list[str]:
    found: list[str] = client.get("/readyz").json()["reasons"]
    return found


def look_ups(client: TestClient, result: str) -> float:
    """Look-ups for a segment that ended so, up to now."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples if sample.name == "retail_feature_lookups_total"]
    return sum(sample.value for sample in samples if sample.labels == {"feature_service": "segments_v1", "result": result})


def damage(vault: Path) -> None:
    vault.write_bytes(GARBAGE * vault.stat().st_size)


def empty(vault: Path) -> None:
    vault.write_bytes(b"")


def test_without_a_vault_at_start_numbers_get_a_marked_fallback_and_keys_an_answer(settings: Settings, customers: list[str]) -> None:
    key = key_of(settings, customers[0])
    (settings.home / "vault.db").rename(settings.home / "away.db")
    with serving(settings) as client:
        assert segment(client, customers[0]) == "features unavailable"
        assert client.post("/v1/segment", json={"customer_key": key}).json()["fallback"] is None


def test_a_vault_of_another_secret_is_named_at_readyz_and_numbers_get_a_marked_fallback(settings: Settings, customers: list[str]) -> None:
    wrong = settings.vault.model_copy(update={"secret": "ff" * 32})
    with serving(settings.model_copy(update={"vault": wrong})) as client:
        reply = client.get("/readyz")
        (reason,) = reply.json()["reasons"]
        assert (reply.status_code, segment(client, customers[0])) == (503, "features unavailable")
    assert reason.startswith("the vault does not answer: VaultError") and "ZEROMARGIN_VAULT__SECRET" in reason
    assert "ff" * 32 not in reason


def test_a_vault_that_comes_after_start_is_used_without_a_restart(settings: Settings, customers: list[str]) -> None:
    (settings.home / "vault.db").rename(settings.home / "away.db")
    with serving(settings, SOON) as client:
        assert reasons(client) == ["there is no vault: nothing was loaded, or its file is away"]
        (settings.home / "away.db").rename(settings.home / "vault.db")
        until(lambda: segment(client, customers[0]) is None, "the vault is found")
        until(lambda: reasons(client) == [], "it is ready")


@pytest.mark.parametrize("harm", [empty, Path.unlink])
def test_a_vault_that_is_lost_while_it_is_used_is_missed_at_readyz_and_stays_so(
    settings: Settings, customers: list[str], harm: Callable[[Path], None]
) -> None:
    with serving(settings, SOON) as client:
        assert reasons(client) == []
        harm(settings.home / "vault.db")
        until(lambda: any("vault" in reason for reason in reasons(client)), "the vault is missed")
        assert segment(client, customers[0]) in (None, "features unavailable")
        look_again(client)
        assert any("vault" in reason for reason in reasons(client))


def test_a_look_up_that_fails_at_the_vault_is_counted(settings: Settings, customers: list[str]) -> None:
    (settings.home / "vault.db").unlink()
    with serving(settings) as client:
        segment(client, customers[0])
        assert look_ups(client, "error") == 1


def test_a_look_up_of_a_number_that_nobody_has_is_counted_as_missing(client: TestClient) -> None:
    segment(client, UNKNOWN)
    assert look_ups(client, "missing") == 1


@pytest.mark.parametrize("harm", [damage, empty, Path.unlink])
def test_a_vault_that_is_lost_while_it_is_used_costs_at_most_a_fallback(settings: Settings, customers: list[str], harm: object) -> None:
    with serving(settings) as client, ThreadPoolExecutor(8) as threads:
        assert callable(harm)
        harm(settings.home / "vault.db")
        found = set(threads.map(lambda number: segment(client, number), customers[:50] * 2))
    assert found <= {None, "features unavailable"}


def test_a_vault_that_is_taken_away_is_not_made_anew_by_asking(settings: Settings, customers: list[str]) -> None:
    with serving(settings, SOON) as client, ThreadPoolExecutor(8) as threads:
        (settings.home / "vault.db").unlink()
        list(threads.map(lambda number: client.post("/v1/segment", json={"customer": number}), customers[:50] * 2))
        assert not (settings.home / "vault.db").exists()


def test_a_vault_that_was_replaced_is_read_without_a_restart(settings: Settings, client: TestClient, tmp_path: Path) -> None:
    assert segment(client, UNKNOWN) == "unknown customer"
    (tmp_path / "other").mkdir()
    other = settings.model_copy(update={"home": tmp_path / "other"})
    with open_vault(other) as vault:
        vault.exchange(IDENTITY, pa.array([UNKNOWN]))
    with closing(sqlite3.connect(other.home / "vault.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for name in ("vault.db-wal", "vault.db-shm"):
        (settings.home / name).unlink(missing_ok=True)
    (other.home / "vault.db").replace(settings.home / "vault.db")
    until(lambda: segment(client, UNKNOWN) == "features missing", "the customer of the new vault is known")
    look_again(client)
    assert {segment(client, UNKNOWN) for _ in range(50)} == {"features missing"}
