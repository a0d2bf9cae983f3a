"""The answer log of the running service, and the service as a process that is told to end, killed, or not alone in its home."""

from __future__ import annotations

import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from lakehouse.features import repository
from lakehouse.models.bundle import read_bundle
from lakehouse.privacy.secrets import verify_key
from lakehouse.settings import Settings
from tests.scan import places
from tests.served import UNKNOWN, champion, key_of, logged, numbers_of, process, published, serving, until
from tests.trained import Trained

RECORD = [
    "request_id", "answered_at", "model", "version", "digest", "variant",
    "parameters", "features", "features_as_of", "features_moment", "fallback", "answer",
]  # fmt: skip
ANSWERS = ("/v1/forecast", "/v1/segment", "/v1/recommend")


@pytest.fixture
def settings(trained: Trained, tmp_path: Path) -> Settings:
    return trained.copy(tmp_path / "home")


@dataclass(frozen=True)
class Asked:
    """One question of each kind, its answer, and the record of it; the customer was asked about by number."""

    settings: Settings
    number: str
    key: str
    product: str
    answers: dict[str, dict[str, object]]
    records: dict[str, dict[str, object]]


@pytest.fixture(scope="module")
def asked(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    settings = trained.copy(tmp_path_factory.mktemp("asked") / "home")
    number = numbers_of(settings, trained.truth.customers, published(settings, "segments"))[0]
    product = min(str(row["product_code"]) for row in published(settings, "forecasts"))
    bodies: list[dict[str, object]] = [
        {"product": product.lower(), "weeks": 2},
        {"customer": f" {number} "},
        {"customer": number, "k": 3, "exclude": [product.lower(), UNKNOWN], "only_new": True},
    ]
    with serving(settings) as client:
        answers = {path: client.post(path, json=body).json() for path, body in zip(ANSWERS, bodies, strict=True)}
    by_id = {record["request_id"]: record for record in logged(settings.home)}
    records = {path: by_id[answer["request_id"]] for path, answer in answers.items()}
    assert len(by_id) == len(records) == 3
    return Asked(settings, number, key_of(settings, number), product, answers, records)


def written(folder: Path) -> list[int]:
    """Records in each segment that is being written."""
    return [path.read_bytes().count(b"\n") for path in folder.glob("open-*.jsonl")]


@pytest.mark.parametrize("path", ANSWERS)
def test_a_record_says_who_answered_from_which_features_and_why(asked: Asked, path: str) -> None:
    answer, record = asked.answers[path], asked.records[path]
    assert list(record) == RECORD
    used = {"name": record["model"], "version": record["version"], "digest": record["digest"]}
    assert (used, record["variant"]) == (answer["model"], "champion")
    assert (record["features_as_of"], record["fallback"]) == (answer["features_as_of"], None)
    assert str(record["features_moment"]) <= str(record["features_as_of"])
    assert record["features"]


@pytest.mark.parametrize(("path", "part"), list(zip(ANSWERS, ("forecast", "segment", "items"), strict=True)))
def test_a_record_holds_the_answer_that_was_given(asked: Asked, path: str, part: str) -> None:
    assert asked.records[path]["answer"] == {part: asked.answers[path][part]}


def test_a_record_holds_what_was_asked_with_the_customers_key_and_never_the_number(asked: Asked) -> None:
    assert [asked.records[path]["parameters"] for path in ANSWERS] == [
        {"product": asked.product, "store": "all", "weeks": 2},
        {"customer_key": asked.key},
        {"customer_key": asked.key, "k": 3, "exclude": [asked.product, "unknown"], "only_new": True},
    ]


@pytest.mark.parametrize(("path", "name"), list(zip(ANSWERS, ("demand", "segments", "recommendations"), strict=True)))
def test_a_logged_answer_can_be_made_again_from_its_record_and_the_model_of_its_digest(asked: Asked, path: str, name: str) -> None:
    record = asked.records[path]
    bundle = read_bundle(champion(asked.settings, name).folder, verify_key(asked.settings))
    assert bundle.digest == record["digest"]
    parameters, answer = record["parameters"], record["answer"]
    assert isinstance(parameters, dict) and isinstance(answer, dict)
    made = bundle.model.answer({**parameters, "moment": record["features_as_of"], "features": record["features"]})  # type: ignore[dict-item]
    if name == "demand":
        made["forecast"] = made["forecast"][: parameters["weeks"]]  # type: ignore[index]
    assert made == answer


def test_an_unknown_customer_is_logged_without_number_key_or_features(settings: Settings) -> None:
    with serving(settings) as client:
        client.post("/v1/recommend", json={"customer": UNKNOWN, "k": 1})
    (record,) = logged(settings.home)
    assert record["parameters"] == {"customer_key": None, "k": 1, "exclude": [], "only_new": False}
    assert (record["features"], record["features_as_of"], record["features_moment"]) == (None, None, None)
    assert record["fallback"] == "unknown customer"


@pytest.fixture
def storeless(settings: Settings) -> Settings:
    """Of a home whose online store is away, so that any product and store are answered."""
    online = repository.folder(settings.home) / repository.ONLINE
    online.rename(online.with_name("away"))
    return settings


def test_what_nobody_knows_as_a_product_or_a_store_is_answered_and_logged_as_unknown(storeless: Settings) -> None:
    with serving(storeless) as client:
        for body in ({"product": UNKNOWN}, {"product": "A", "store": UNKNOWN}):
            assert client.post("/v1/forecast", json=body).status_code == 200
    records = logged(storeless.home)
    assert [record["parameters"] for record in records] == [
        {"product": "unknown", "store": "all", "weeks": 4},
        {"product": "unknown", "store": "unknown", "weeks": 4},
    ]
    assert places(storeless.home, UNKNOWN) == []


@pytest.mark.parametrize("known_by", ["the model", "the popular list"])
def test_a_product_that_something_else_knows_is_logged_while_the_online_store_is_away(
    storeless: Settings, trained: Trained, known_by: str
) -> None:
    if known_by == "the model":
        (repository.folder(storeless.home) / repository.POPULAR).unlink()
    else:
        shutil.rmtree(champion(storeless, "recommendations").folder)
    product = min(str(row["product_code"]) for row in published(trained.settings, "recommendations"))
    with serving(storeless) as client:
        client.post("/v1/forecast", json={"product": product})
    (record,) = logged(storeless.home)
    assert record["parameters"] == {"product": product, "store": "all", "weeks": 4}


def test_what_was_last_known_of_is_logged_as_it_was_asked_when_the_online_store_goes_away(settings: Settings, asked: Asked) -> None:
    with serving(settings) as client:
        client.post("/v1/forecast", json={"product": asked.product})
        (repository.folder(settings.home) / repository.ONLINE).write_bytes(b"")
        answer = client.post("/v1/forecast", json={"product": asked.product}).json()
    assert answer["fallback"] == "features unavailable"
    assert [record["parameters"] for record in logged(settings.home)] == [{"product": asked.product, "store": "all", "weeks": 4}] * 2


def test_what_is_refused_is_not_logged(settings: Settings, trained: Trained) -> None:
    with serving(settings) as client:
        client.post("/v1/segment", json={"customer": UNKNOWN, "more": 1})
        client.post("/v1/forecast", json={"product": "NO-SUCH"})
    assert logged(settings.home) == []


@pytest.mark.timeout(120)
def test_a_number_that_is_asked_about_is_in_no_file_and_in_no_line_of_the_log(settings: Settings, tmp_path: Path) -> None:
    with process(settings.home, tmp_path / "log") as running:
        for body in ({"customer": UNKNOWN}, {"customer": int(UNKNOWN)}, {"customer": UNKNOWN, "more": 1}, {"customer": UNKNOWN * 5}):
            running.post("/v1/segment", body)
            running.post("/v1/recommend", body)
        assert UNKNOWN not in httpx.get(f"{running.url}/metrics").text
        assert running.ended() == 0
        assert UNKNOWN not in running.log.read_text()
    assert places(settings.home, UNKNOWN) == []


@pytest.mark.timeout(120)
def test_told_to_end_a_process_closes_its_segment_and_ends_with_0(settings: Settings, tmp_path: Path) -> None:
    with process(settings.home, tmp_path / "log", segment_s=3600) as running:
        # A connection that is kept alive doesn't keep the process.
        with httpx.Client(base_url=running.url) as client:
            answered = client.post("/v1/segment", json={"customer": UNKNOWN}).json()["request_id"]
            began = time.monotonic()
            assert running.ended() == 0
        assert time.monotonic() - began < 15
    assert [record["request_id"] for record in logged(settings.home)] == [answered]
    assert not list((settings.home / "answers").glob("open-*"))


@pytest.mark.timeout(120)
def test_interrupted_from_the_keyboard_a_process_ends_with_0(settings: Settings, tmp_path: Path) -> None:
    with process(settings.home, tmp_path / "log") as running:
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(30) == 0


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_two_processes_on_one_home_log_every_answer_once_though_one_of_them_is_killed(settings: Settings, tmp_path: Path) -> None:
    folder = settings.home / "answers"
    with process(settings.home, tmp_path / "log1", segment_s=3600) as first, process(settings.home, tmp_path / "log2") as second:
        both = [one.post("/v1/segment", {"customer": UNKNOWN}).json()["request_id"] for one in (first, second) * 10]
        until(lambda: written(folder) == [10, 10], "both have written their records")
        first.process.kill()
        first.process.wait(30)
        after = [second.post("/v1/segment", {"customer": UNKNOWN}).json()["request_id"] for _ in range(5)]
        assert second.ended() == 0
    with serving(settings):  # the next to start closes what the killed one left
        pass
    assert sorted(str(record["request_id"]) for record in logged(settings.home)) == sorted([*both, *after])
