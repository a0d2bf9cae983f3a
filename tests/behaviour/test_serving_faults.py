"""What is missing, away or tampered with costs a fallback and a metric, never an answer."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import httpx
import pytest
from starlette.testclient import TestClient

from lakehouse.registry.loading import Registry
from lakehouse.settings import Settings
from tests.once import copy_home
from tests.retrained import with_models
from tests.served import PROBLEM, SOON, UNKNOWN, another_version, champion, look_again, process, promote, published, serving, tamper, until
from tests.trained import Trained, settings_of

QUESTIONS = {"forecast": {"product": "A"}, "segment": {"customer": "17850"}, "recommend": {"customer": "17850"}}


@pytest.fixture
def settings(trained: Trained, tmp_path: Path) -> Settings:
    return trained.copy(tmp_path / "home")


@pytest.fixture
def product(trained: Trained) -> str:
    return min(str(row["product_code"]) for row in published(trained.settings, "forecasts"))


def forecast(client: TestClient, product: str) -> tuple[int, str | None, str]:
    """Status, fallback and the version that answered."""
    reply = client.post("/v1/forecast", json={"product": product})
    answer = reply.json()
    assert reply.status_code == 200, answer
    return reply.status_code, answer["fallback"], answer["model"]["version"]


def reasons(client: TestClient) -> list[str]:
    reply = client.get("/readyz")
    found: list[str] = reply.json()["reasons"]
    assert reply.status_code == (503 if found else 200)
    return found


def problem(client: TestClient) -> str | None:
    found: str | None = client.get("/v1/models/demand").json()["problem"]
    return found


@pytest.mark.parametrize("is_there", [True, False], ids=["an empty home", "no home"])
@pytest.mark.parametrize("path", QUESTIONS)
def test_before_anything_is_published_questions_are_refused(tmp_path: Path, is_there: bool, path: str) -> None:
    if is_there:
        (tmp_path / "home").mkdir()
    with serving(settings_of(tmp_path / "home")) as client:
        reply = client.post(f"/v1/{path}", json=QUESTIONS[path])
    assert (reply.status_code, reply.headers["content-type"]) == (503, PROBLEM)
    assert (reply.json()["type"], reply.headers["retry-after"]) == ("/docs#nothing-published", "30")
    assert "17850" not in reply.text


@pytest.mark.parametrize("is_there", [True, False], ids=["an empty home", "no home"])
def test_before_anything_is_published_it_is_healthy_but_not_ready_and_says_why(tmp_path: Path, is_there: bool) -> None:
    if is_there:
        (tmp_path / "home").mkdir()
    with serving(settings_of(tmp_path / "home")) as client:
        assert client.get("/healthz").status_code == 200
        told = reasons(client)
    assert told[0] == "nothing is published yet"
    for name in ("demand", "segments", "recommendations"):
        assert any(reason.startswith(f"no champion of {name}") for reason in told)
    assert any("no features were published" in reason for reason in told)


def test_looking_at_a_home_that_is_not_there_makes_nothing_in_its_place(tmp_path: Path) -> None:
    with serving(settings_of(tmp_path / "home"), SOON) as client:
        client.post("/v1/segment", json={"customer": "17850"})
    assert not (tmp_path / "home").exists()


def test_a_home_that_comes_later_is_found_without_a_restart(trained: Trained, tmp_path: Path, product: str) -> None:
    with serving(settings_of(tmp_path / "home"), SOON) as client:
        assert client.get("/readyz").status_code == 503
        copy_home(trained.home, tmp_path / "home")
        until(lambda: client.get("/readyz").status_code == 200, "it is ready")
        assert forecast(client, product) == (200, None, "1")


def test_with_the_registry_away_the_loaded_models_go_on_answering(settings: Settings, product: str) -> None:
    with serving(settings, SOON) as client:
        (settings.home / "mlflow.db").rename(settings.home / "away.db")
        until(lambda: problem(client) is not None, "the registry is missed")
        assert forecast(client, product) == (200, None, "1")
        assert 'retail_model_load_failures_total{model="demand",reason="registry"}' in client.get("/metrics").text


def test_with_the_registry_back_nothing_is_missed_any_more(settings: Settings) -> None:
    with serving(settings, SOON) as client:
        (settings.home / "mlflow.db").rename(settings.home / "away.db")
        until(lambda: problem(client) is not None, "the registry is missed")
        (settings.home / "away.db").rename(settings.home / "mlflow.db")
        until(lambda: problem(client) is None, "the registry is found again")
        assert reasons(client) == []


@pytest.mark.parametrize("how", ["away", "damaged"])
def test_without_the_run_database_the_known_publication_goes_on_answering(settings: Settings, product: str, how: str) -> None:
    with serving(settings, SOON) as client:
        (settings.home / "ops.db").rename(settings.home / "away.db")
        if how == "damaged":
            (settings.home / "ops.db").write_bytes(b"\xa5" * 8192)
        look_again(client)
        assert forecast(client, product) == (200, None, "1")


def test_a_model_that_is_tampered_with_does_not_answer_at_start(settings: Settings, product: str) -> None:
    tamper(champion(settings, "demand").folder)
    with serving(settings) as client:
        assert forecast(client, product) == (200, "no champion", "baseline")
        assert 'retail_model_load_failures_total{model="demand",reason="tampered"} 1.0' in client.get("/metrics").text


def test_a_model_that_is_tampered_with_is_named_at_readyz_and_the_others_answer(settings: Settings, trained: Trained) -> None:
    tamper(champion(settings, "demand").folder)
    key = str(published(trained.settings, "segments")[0]["customer_key"])
    with serving(settings) as client:
        (reason,) = reasons(client)
        assert reason.startswith("no champion of demand") and "SHA-256" in reason
        assert client.post("/v1/segment", json={"customer_key": key}).json()["fallback"] is None


def test_what_happens_to_its_files_does_not_reach_a_model_that_is_loaded(settings: Settings, product: str) -> None:
    with serving(settings) as client:
        shutil.rmtree(champion(settings, "demand").folder)
        assert forecast(client, product) == (200, None, "1")


@pytest.mark.timeout(120)
def test_where_the_next_champion_is_tampered_with_the_last_good_one_goes_on_answering(settings: Settings, product: str) -> None:
    with serving(settings, SOON) as client:
        version = another_version(settings, "demand")
        tamper(Registry(settings).by_version("demand", version).folder)
        promote(settings, "demand", version)
        until(lambda: problem(client) is not None, "the next champion was looked at")
        assert "SHA-256" in str(problem(client))
        assert forecast(client, product) == (200, None, "1")


@pytest.mark.parametrize("told", [8, 2], ids=["more", "less"])
def test_weeks_are_held_to_what_the_loaded_model_forecasts_and_not_to_what_the_next_one_shall(
    settings: Settings, product: str, told: int
) -> None:
    with serving(with_models(settings, demand={"horizon_weeks": told})) as client:
        four, five = (client.post("/v1/forecast", json={"product": product, "weeks": weeks}) for weeks in (4, 5))
    assert (len(four.json()["forecast"]), four.json()["fallback"]) == (4, None)
    assert (five.status_code, five.json()["detail"]) == (422, "weeks: 5 were asked for, 4 are forecast. Ask for 4 at most.")


def test_without_a_champion_the_baseline_forecasts_as_far_as_the_settings_say(settings: Settings, product: str) -> None:
    tamper(champion(settings, "demand").folder)
    with serving(with_models(settings, demand={"horizon_weeks": 6})) as client:
        six, seven = (client.post("/v1/forecast", json={"product": product, "weeks": weeks}) for weeks in (6, 7))
    assert (len(six.json()["forecast"]), seven.status_code) == (6, 422)


@pytest.mark.timeout(120)
def test_without_a_champion_the_baseline_answers_and_is_marked(settings: Settings, product: str) -> None:
    from lakehouse.registry import aliases, tracking

    with serving(settings, SOON) as client:
        aliases.withdraw(tracking.connect(settings), "demand", "champion")
        until(lambda: forecast(client, product)[1] is not None, "the alias was missed")
        answer = client.post("/v1/forecast", json={"product": product, "weeks": 4}).json()
        assert (answer["fallback"], answer["model"]) == ("no champion", {"name": "demand", "version": "baseline", "digest": None})
        assert len(answer["forecast"]) == 4
        assert reasons(client) == ["no champion of demand"]


def test_without_a_champion_of_recommendations_what_is_popular_is_told_and_marked(settings: Settings) -> None:
    tamper(champion(settings, "recommendations").folder)
    with serving(settings) as client:
        first = client.post("/v1/recommend", json={"customer": UNKNOWN, "k": 3}).json()
        codes = [item["product"] for item in first["items"]]
        without = client.post("/v1/recommend", json={"customer": UNKNOWN, "k": 2, "exclude": codes[:1]}).json()
    assert [item["reason"] for item in first["items"]] == ["popular now"] * 3
    assert first["model"] == {"name": "recommendations", "version": "baseline", "digest": None}
    assert [item["product"] for item in without["items"]] == codes[1:]


@pytest.mark.timeout(180)
def test_a_new_champion_is_swapped_in_while_requests_run_and_none_fails(settings: Settings, product: str, tmp_path: Path) -> None:
    version, deadline = another_version(settings, "demand"), time.monotonic() + 120
    everybody_asks = Barrier(5)
    with process(settings.home, tmp_path / "log", refresh_s=SOON) as running, ThreadPoolExecutor(4) as threads:

        def ask_until_swapped() -> list[tuple[int, str, str | None]]:
            """Status, version and fallback of each answer, up to 50 after the swap."""
            found: list[tuple[int, str, str | None]] = []
            with httpx.Client(base_url=running.url, timeout=30) as client:
                while time.monotonic() < deadline and [one[1] for one in found[-50:]] != [version] * 50:
                    reply = client.post("/v1/forecast", json={"product": product})
                    found.append((reply.status_code, reply.json()["model"]["version"], reply.json()["fallback"]))
                    if len(found) == 1:
                        everybody_asks.wait(60)
            return found

        asking = [threads.submit(ask_until_swapped) for _ in range(4)]
        everybody_asks.wait(60)
        promote(settings, "demand", version)
        answers = [one.result() for one in asking]
    for found in answers:
        assert {(code, fallback) for code, _, fallback in found} == {(200, None)}
        versions = [one[1] for one in found]
        assert versions == sorted(versions), "an older model answered after a newer one"
        assert versions[0] == "1" and versions[-1] == version


def test_an_answer_log_that_cannot_be_written_costs_no_answer(settings: Settings, product: str) -> None:
    (settings.home / "answers").write_text("a file where the folder should be")
    with serving(settings) as client:
        assert [forecast(client, product) for _ in range(20)] == [(200, None, "1")] * 20
