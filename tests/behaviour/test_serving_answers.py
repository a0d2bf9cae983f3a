"""What is answered, where everything that answers need is there."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta

import pytest
from sqlalchemy import create_engine, func, select

from lakehouse.privacy.store import customers
from tests.behaviour.conftest import NEWCOMER, Served
from tests.served import UNKNOWN, published

COMMON = ["request_id", "model", "as_of", "features_as_of", "fallback"]
MOMENT = "2024-05-06T00:00:00"
EXACT = {"rel": 1e-9, "abs": 1e-9}


def test_a_forecast_is_answered_in_the_agreed_shape(served: Served) -> None:
    reply = served.client.post("/v1/forecast", json={"product": served.product, "store": "all", "weeks": 2})
    answer = reply.json()
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
    assert list(answer) == [*COMMON, "product", "store", "forecast"]
    assert [list(week) for week in answer["forecast"]] == [["week", "mean", "median", "low", "high"]] * 2


def test_a_segment_is_answered_in_the_agreed_shape(served: Served) -> None:
    reply = served.client.post("/v1/segment", json={"customer": served.customer})
    answer = reply.json()
    assert (reply.status_code, list(answer), list(answer["segment"])) == (200, [*COMMON, "segment"], ["name", "description"])


def test_recommendations_are_answered_in_the_agreed_shape(served: Served) -> None:
    reply = served.client.post("/v1/recommend", json={"customer": served.customer, "k": 2, "exclude": [], "only_new": False})
    answer = reply.json()
    assert (reply.status_code, list(answer)) == (200, [*COMMON, "items"])
    assert [list(item) for item in answer["items"]] == [["product", "name", "score", "reason"]] * 2


@pytest.mark.parametrize(("path", "model"), [("forecast", "demand"), ("segment", "segments"), ("recommend", "recommendations")])
def test_an_answer_says_who_gave_it_and_up_to_when_its_features_know(served: Served, path: str, model: str) -> None:
    asked = {"product": served.product} if path == "forecast" else {"customer": served.customer}
    answer = served.client.post(f"/v1/{path}", json=asked).json()
    known = served.client.get(f"/v1/models/{model}").json()
    assert answer["model"] == {"name": model, "version": "1", "digest": known["digest"]}
    assert (answer["as_of"], answer["features_as_of"], answer["fallback"]) == (MOMENT, MOMENT, None)


def test_every_answer_has_an_id_of_its_own(served: Served) -> None:
    found = {served.client.post("/v1/segment", json={"customer": served.customer}).json()["request_id"] for _ in range(20)}
    assert len(found) == 20


def test_week_one_begins_at_the_moment_and_each_other_one_a_week_later(served: Served) -> None:
    weeks = served.client.post("/v1/forecast", json={"product": served.product, "weeks": 4}).json()["forecast"]
    assert [week["week"] for week in weeks] == [(date(2024, 5, 6) + timedelta(weeks=ahead)).isoformat() for ahead in range(4)]


@pytest.mark.parametrize(("asked", "answered"), [({"weeks": 1}, 1), ({"weeks": 3}, 3), ({"weeks": 4}, 4), ({}, 4)])
def test_as_many_weeks_come_as_were_asked_for_and_four_where_nothing_was_said(served: Served, asked: dict[str, int], answered: int) -> None:
    answer = served.client.post("/v1/forecast", json={"product": served.product, **asked}).json()
    assert len(answer["forecast"]) == answered


def test_a_product_code_in_small_letters_is_the_same_product(served: Served) -> None:
    written = [served.product, served.product.lower(), f" {served.product.lower()} "]
    answers = [served.client.post("/v1/forecast", json={"product": code}).json() for code in written]
    assert [answer["product"] for answer in answers] == [served.product] * 3
    assert answers[0]["forecast"] == answers[1]["forecast"] == answers[2]["forecast"]


@pytest.mark.parametrize("path", ["/v1/segment", "/v1/recommend"])
@pytest.mark.parametrize("form", ["{}", "{}.0", " {} "])
def test_a_customer_number_in_any_of_its_forms_is_answered_like_the_key(served: Served, path: str, form: str) -> None:
    by_number = served.client.post(path, json={"customer": form.format(served.customer)}).json()
    by_key = served.client.post(path, json={"customer_key": served.customer_key}).json()
    assert {**by_number, "request_id": ""} == {**by_key, "request_id": ""}
    assert by_number["fallback"] is None


def test_forecasts_are_those_that_the_batch_published(served: Served) -> None:
    expected: dict[tuple[str, str], dict[str, list[object]]] = defaultdict(dict)
    for row in published(served.settings, "forecasts"):
        week = [row["mean"], row["median"], row["low"], row["high"]]
        expected[str(row["store"]), str(row["product_code"])][str(row["week_start"])] = week
    assert len(expected) > 50
    for (store, product), weeks in expected.items():
        answer = served.client.post("/v1/forecast", json={"product": product, "store": store, "weeks": 4}).json()
        found = {week["week"]: [week["mean"], week["median"], week["low"], week["high"]] for week in answer["forecast"]}
        assert found == {week: pytest.approx(figures, **EXACT) for week, figures in weeks.items()}, product


def test_segments_are_those_that_the_batch_published(served: Served) -> None:
    expected = {row["customer_key"]: row["segment"] for row in published(served.settings, "segments")}
    found = {key: served.client.post("/v1/segment", json={"customer_key": key}).json()["segment"]["name"] for key in expected}
    assert found == expected
    assert len(set(expected.values())) > 1


def test_recommendations_are_those_that_the_batch_published(served: Served) -> None:
    expected: dict[object, list[tuple[object, object, object]]] = defaultdict(list)
    for row in sorted(published(served.settings, "recommendations"), key=lambda row: int(str(row["rank"]))):
        expected[row["customer_key"]].append((row["product_code"], pytest.approx(row["score"], **EXACT), row["reason"]))
    assert len(expected) > 100
    for key, rows in expected.items():
        items = served.client.post("/v1/recommend", json={"customer_key": key, "k": 20}).json()["items"]
        assert [(item["product"], item["score"], item["reason"]) for item in items] == rows


@pytest.mark.parametrize("k", [1, 7])
def test_k_products_are_recommended_each_once_the_best_first(served: Served, k: int) -> None:
    items = served.client.post("/v1/recommend", json={"customer": served.customer, "k": k}).json()["items"]
    scores = [item["score"] for item in items]
    assert len({item["product"] for item in items}) == len(items) == k
    assert scores == sorted(scores, reverse=True)


def test_twenty_products_are_recommended_where_nothing_else_is_said(served: Served) -> None:
    assert len(served.client.post("/v1/recommend", json={"customer": served.customer}).json()["items"]) == 20


def test_what_is_excluded_is_left_out_and_the_next_best_move_up(served: Served) -> None:
    ask = {"customer": served.customer, "k": 6}
    codes = [item["product"] for item in served.client.post("/v1/recommend", json=ask).json()["items"]]
    without = served.client.post("/v1/recommend", json={**ask, "k": 4, "exclude": [codes[0], codes[2].lower()]}).json()
    assert [item["product"] for item in without["items"]] == [codes[1], *codes[3:6]]


def test_only_new_leaves_out_what_the_customer_was_seen_to_buy(served: Served) -> None:
    ask = {"customer": served.customer, "k": 100}
    every = served.client.post("/v1/recommend", json=ask).json()["items"]
    new = served.client.post("/v1/recommend", json={**ask, "only_new": True}).json()["items"]
    bought = [item["product"] for item in every if item["reason"] == "bought before"]
    assert bought
    assert [item["product"] for item in new] == [item["product"] for item in every if item["product"] not in bought]


@pytest.mark.parametrize("asked", [{"customer": UNKNOWN}, {"customer_key": "0" * 32}])
def test_an_unknown_customer_is_unsegmented(served: Served, asked: dict[str, str]) -> None:
    reply = served.client.post("/v1/segment", json=asked)
    answer = reply.json()
    assert (reply.status_code, answer["fallback"], answer["segment"]["name"]) == (200, "unknown customer", "unsegmented")
    assert (answer["model"], answer["features_as_of"]) == ({"name": "segments", "version": "baseline", "digest": None}, None)


@pytest.mark.parametrize("asked", [{"customer": UNKNOWN}, {"customer_key": "0" * 32}])
@pytest.mark.parametrize("only_new", [False, True])
def test_an_unknown_customer_is_told_what_is_popular(served: Served, asked: dict[str, str], only_new: bool) -> None:
    reply = served.client.post("/v1/recommend", json={**asked, "k": 5, "only_new": only_new})
    answer = reply.json()
    assert (reply.status_code, answer["fallback"]) == (200, "unknown customer")
    assert [item["reason"] for item in answer["items"]] == ["popular now"] * 5


def test_a_customer_of_whom_no_line_counts_yet_is_not_called_unknown(served: Served) -> None:
    answer = served.client.post("/v1/segment", json={"customer": NEWCOMER}).json()
    assert (answer["fallback"], answer["segment"]["name"]) == ("features missing", "unsegmented")


def test_asking_about_an_unknown_number_enters_nobody_into_the_vault(served: Served) -> None:
    engine = create_engine(served.settings.vault_url)
    count = select(func.count()).select_from(customers)
    with engine.connect() as connection:
        before = connection.execute(count).scalar_one()
        for path in ("/v1/segment", "/v1/recommend"):
            assert served.client.post(path, json={"customer": UNKNOWN}).status_code == 200
        assert connection.execute(count).scalar_one() == before
    engine.dispose()
