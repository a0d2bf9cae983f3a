"""What is refused: always as a problem document, never with what was sent."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from serving.limits import BODY_BYTES
from tests.behaviour.conftest import SHARED, Served
from tests.served import PROBLEM, UNKNOWN

JSON = {"content-type": "application/json"}
WRONG_FORECASTS = {
    "no product": {},
    "an unknown field": {"product": "A", "more": 1},
    "a product that is a number": {"product": 85123},
    "an empty product": {"product": "  "},
    "a product too long": {"product": "A" * 65},
    "a store that is null": {"product": "A", "store": None},
    "weeks as text": {"product": "A", "weeks": "4"},
    "weeks as a float": {"product": "A", "weeks": 4.0},
    "weeks as a truth": {"product": "A", "weeks": True},
    "no weeks": {"product": "A", "weeks": 0},
    "too many weeks": {"product": "A", "weeks": 9},
    "more weeks than the model looks ahead": {"product": "A", "weeks": 5},
    "a list": [{"product": "A"}],
    "null": None,
}
WRONG_CUSTOMERS = {
    "neither": {},
    "both": {"customer": UNKNOWN, "customer_key": "0" * 32},
    "a number that is a number": {"customer": int(UNKNOWN)},
    "a number too long": {"customer": UNKNOWN * 5},
    "an empty number": {"customer": " "},
    "a customer number for a key": {"customer_key": UNKNOWN},
    "a key of other letters": {"customer_key": f"../{UNKNOWN}"},
    "an unknown field": {"customer": UNKNOWN, "number": UNKNOWN},
}
WRONG_RECOMMENDATIONS = {
    "no items": {"customer": UNKNOWN, "k": 0},
    "too many items": {"customer": UNKNOWN, "k": 101},
    "excluded as text": {"customer": UNKNOWN, "exclude": "22423"},
    "too many excluded": {"customer": UNKNOWN, "exclude": ["A"] * 1001},
    "only_new as a number": {"customer": UNKNOWN, "only_new": 1},
}
WRONG_TEXTS = {
    "nothing": b"",
    "no JSON": b"{product: A}",
    "not a number": b'{"product": "A", "weeks": NaN}',
    "an infinite number": b'{"product": "A", "weeks": Infinity}',
    "a number without end": b'{"product": "A", "weeks": 1e999}',
    "half a letter": b'{"product": "\\ud800"}',
    "bytes that are no text": b'{"product": "\xff"}',
    "more digits than a number may have": b'{"product": "A", "weeks": ' + b"1" * 5000 + b"}",
    "lists in lists without end": b"[" * 100_000,
}


def assert_problem(reply: httpx.Response, status: int, kind: str) -> None:
    told = reply.json()
    assert (reply.status_code, reply.headers["content-type"], told["status"], told["type"]) == (status, PROBLEM, status, f"/docs#{kind}")
    assert {"title", "detail", "instance"} < set(told)
    assert told["detail"]


@pytest.mark.parametrize("asked", WRONG_FORECASTS.values(), ids=WRONG_FORECASTS)
def test_a_wrong_question_about_a_product_is_refused(served: Served, asked: object) -> None:
    assert_problem(served.client.post("/v1/forecast", json=asked), 422, "invalid-request")


@pytest.mark.parametrize("path", ["/v1/segment", "/v1/recommend"])
@pytest.mark.parametrize("asked", WRONG_CUSTOMERS.values(), ids=WRONG_CUSTOMERS)
def test_a_wrong_question_about_a_customer_is_refused(served: Served, path: str, asked: object) -> None:
    assert_problem(served.client.post(path, json=asked), 422, "invalid-request")


@pytest.mark.parametrize("asked", WRONG_RECOMMENDATIONS.values(), ids=WRONG_RECOMMENDATIONS)
def test_a_wrong_question_for_recommendations_is_refused(served: Served, asked: object) -> None:
    assert_problem(served.client.post("/v1/recommend", json=asked), 422, "invalid-request")


@pytest.mark.parametrize("content", WRONG_TEXTS.values(), ids=WRONG_TEXTS)
def test_a_body_that_cannot_be_read_is_refused_as_a_wrong_one(served: Served, content: bytes) -> None:
    assert_problem(served.client.post("/v1/forecast", content=content, headers=JSON), 422, "invalid-request")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_json_that_does_not_say_that_it_is_is_asked_for_as_json(served: Served, kind: str) -> None:
    answer = served.client.post("/v1/forecast", content=b'{"product": "A"}', headers={"content-type": kind})
    assert answer.status_code == 422 and answer.json()["detail"] == "Send a JSON object with content-type application/json."


def test_the_field_that_is_wrong_is_named_with_the_reason(served: Served) -> None:
    told = served.client.post("/v1/forecast", json={"product": "A", "weeks": 9}).json()
    assert told["errors"] == [{"field": "weeks", "reason": "Input should be less than or equal to 8"}]


def test_a_number_that_two_retailers_have_is_refused_and_the_key_asked_for(served: Served) -> None:
    reply = served.client.post("/v1/segment", json={"customer": SHARED})
    assert_problem(reply, 422, "ambiguous-customer")
    assert "customer_key" in reply.json()["detail"]


def test_an_unknown_product_is_not_found(served: Served) -> None:
    assert_problem(served.client.post("/v1/forecast", json={"product": "NO-SUCH"}), 404, "unknown-product")


def test_a_known_product_in_an_unknown_store_is_not_found(served: Served) -> None:
    assert_problem(served.client.post("/v1/forecast", json={"product": served.product, "store": "nowhere"}), 404, "unknown-product")


def test_an_unknown_model_is_not_found_and_the_known_ones_are_named(served: Served) -> None:
    reply = served.client.get("/v1/models/weather")
    assert_problem(reply, 404, "unknown-model")
    assert "demand, segments, recommendations" in reply.json()["detail"]


def test_an_unknown_address_is_not_found(served: Served) -> None:
    assert_problem(served.client.get("/v1/nothing"), 404, "not-found")


def test_another_method_is_refused_and_the_right_one_is_told(served: Served) -> None:
    reply = served.client.get("/v1/forecast")
    assert_problem(reply, 405, "method-not-allowed")
    assert reply.headers["allow"] == "POST"


def test_a_body_of_more_than_a_mebibyte_is_refused(served: Served) -> None:
    content = b'{"product": "' + b"A" * BODY_BYTES + b'"}'
    assert_problem(served.client.post("/v1/forecast", content=content, headers=JSON), 413, "content-too-large")


def test_a_body_that_does_not_say_its_size_is_refused_while_it_is_read(served: Served) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * (BODY_BYTES // 10)

    assert_problem(served.client.post("/v1/forecast", content=parts(), headers=JSON), 413, "content-too-large")


def test_a_body_of_almost_a_mebibyte_is_read(served: Served) -> None:
    content = f'{{"product": "{served.product}"'.encode().ljust(BODY_BYTES - 1) + b"}"
    assert served.client.post("/v1/forecast", content=content, headers=JSON).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "asked"),
    [
        *[("POST", "/v1/segment", asked) for asked in WRONG_CUSTOMERS.values()],
        *[("POST", "/v1/recommend", asked) for asked in WRONG_RECOMMENDATIONS.values()],
        ("POST", "/v1/segment", [UNKNOWN]),
        ("POST", "/v1/segment", UNKNOWN),
        ("POST", "/v1/segment", {UNKNOWN: 1}),
        ("POST", "/v1/forecast", {"product": "A", "customer": UNKNOWN}),
        ("PUT", f"/v1/segment?customer={UNKNOWN}", {"customer": UNKNOWN}),
        ("GET", f"/v1/segment/{UNKNOWN}", None),
    ],
)
def test_no_problem_repeats_the_customer_number_that_was_sent(served: Served, method: str, path: str, asked: object) -> None:
    reply = served.client.request(method, path, json=asked)
    assert reply.status_code in (404, 405, 422)
    assert UNKNOWN not in reply.text
