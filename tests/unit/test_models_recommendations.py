"""The recommendations: one answer for one and for many, what a question may ask for, and a popular list for strangers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.errors import InputError, NotEnoughData
from lakehouse.models.candidates import INPUTS, _likeness
from lakehouse.models.interface import Json, Rows
from lakehouse.models.items import FEWEST_BUYERS, History, Items, items_of, own_weight
from lakehouse.models.recommendations import RecommendationsModel, histories
from lakehouse.models.recommendations_frame import Purchases
from tests.made_up import MONDAY, RECOMMENDATIONS, day_number, purchases

TODAY = float(day_number(MONDAY))
CODES = [f"p{place:02d}" for place in range(12)]
baskets = st.lists(st.sampled_from([*CODES, "unheard of"]), unique=True, max_size=8)


@pytest.fixture(scope="module")
def frame() -> Purchases:
    return purchases()


@pytest.fixture(scope="module")
def model(frame: Purchases) -> RecommendationsModel:
    return RECOMMENDATIONS.fit(frame)


def history(*products: str) -> History:
    count = len(products)
    return History(products, np.ones(count), TODAY - 3 - np.arange(count, dtype=np.float64))


def question(row: pd.Series, **asked: Json) -> dict[str, Json]:
    values: dict[str, Json] = {name: list(row[name]) for name in ("recent_products", "recent_times", "recent_last")}
    return {"moment": row["event_timestamp"].isoformat(), "features": values, "k": 5, **asked}


def items(model: RecommendationsModel, asked: dict[str, Json]) -> list[dict[str, Json]]:
    found = model.answer(asked)["items"]
    assert isinstance(found, list)
    return [item for item in found if isinstance(item, dict)]


def products(model: RecommendationsModel, asked: dict[str, Json]) -> list[str]:
    return [str(item["product"]) for item in items(model, asked)]


def newest(frame: Purchases) -> pd.DataFrame:
    return frame.rows[frame.rows["event_timestamp"] == pd.Timestamp(MONDAY)].reset_index(drop=True)


def test_an_answer_for_one_customer_is_what_is_ranked_for_many(model: RecommendationsModel, frame: Purchases) -> None:
    rows = newest(frame)
    for (_, row), held in zip(rows.iterrows(), histories(Rows.of_frame(rows)), strict=True):
        many = [(model.items.codes[one.place], one.score, one.reason) for one in model.rank(held, TODAY, 5)]
        assert [(item["product"], item["score"], item["reason"]) for item in items(model, question(row))] == many


def test_a_loaded_model_answers_exactly_as_the_saved_one(model: RecommendationsModel, frame: Purchases) -> None:
    again = RecommendationsModel.load(model.save())
    asked = [question(row) for _, row in newest(frame).iterrows()]
    assert [again.answer(one) for one in asked] == [model.answer(one) for one in asked]


def test_a_model_of_other_inputs_is_refused(model: RecommendationsModel) -> None:
    files = model.save()
    other = files["recommendations.json"].replace(INPUTS[0].encode(), b"own_luck")
    with pytest.raises(InputError, match="trained on other inputs than this version computes: train it again"):
        RecommendationsModel.load(files | {"recommendations.json": other})


@given(baskets, st.lists(st.sampled_from(CODES), unique=True, max_size=12), st.integers(1, 15), st.booleans())
@settings(max_examples=150, deadline=None)
def test_each_product_comes_once_none_that_is_excluded_and_as_many_as_there_are(
    model: RecommendationsModel, own: list[str], exclude: list[str], k: int, only_new: bool
) -> None:
    found = [model.items.codes[one.place] for one in model.rank(history(*own), TODAY, k, exclude, only_new)]
    allowed = set(CODES) - set(exclude) - (set(own) if only_new else set())
    assert set(found) <= allowed
    assert len(found) == len(set(found)) == min(k, len(allowed))


@given(baskets)
@settings(max_examples=50, deadline=None)
def test_the_best_come_first(model: RecommendationsModel, own: list[str]) -> None:
    scores = [one.score for one in model.rank(history("p00", *own[:3]), TODAY, 12)]
    assert scores == sorted(scores, reverse=True)


def test_a_shorter_list_is_the_beginning_of_a_longer_one(model: RecommendationsModel) -> None:
    assert model.rank(history("p01", "p03"), TODAY, 3) == model.rank(history("p01", "p03"), TODAY, 9)[:3]


def test_what_is_excluded_is_left_out_and_the_rest_moves_up(model: RecommendationsModel, frame: Purchases) -> None:
    row = newest(frame).iloc[7]
    first, *others = products(model, question(row, k=6))
    assert products(model, question(row, k=5, exclude=[first])) == others


def test_only_new_leaves_out_what_was_bought_before(model: RecommendationsModel, frame: Purchases) -> None:
    row = newest(frame).iloc[7]
    expected = [product for product in products(model, question(row, k=12)) if product not in row["recent_products"]]
    assert products(model, question(row, k=12, only_new=True)) == expected


def test_a_question_without_k_is_answered_with_twenty_at_most(model: RecommendationsModel) -> None:
    assert len(products(model, {"features": {}})) == min(20, len(CODES))


@pytest.mark.parametrize("wrong", [{"k": "5"}, {"k": None}, {"exclude": "p01"}, {"exclude": {"p01": 1}}])
def test_a_question_of_the_wrong_kind_is_refused(model: RecommendationsModel, wrong: dict[str, Json]) -> None:
    with pytest.raises(InputError, match='needs "k"'):
        model.answer({"features": {}, **wrong})


@pytest.mark.parametrize("values", [{}, None, {"recent_products": None, "recent_times": None, "recent_last": None}])
def test_a_customer_of_whom_nothing_is_known_gets_the_popular_list(model: RecommendationsModel, values: dict[str, Json] | None) -> None:
    popular = [model.items.codes[one.place] for one in model.popular(5)]
    asked: dict[str, Json] = {"moment": MONDAY.isoformat(), "features": values, "k": 5}
    assert products(model, asked) == popular
    assert {item["reason"] for item in items(model, asked)} == {"popular now"}


def test_a_popular_list_leaves_out_what_is_excluded(model: RecommendationsModel) -> None:
    first, second, *_ = products(model, {"features": {}, "k": 3})
    assert products(model, {"features": {}, "k": 1, "exclude": [first]}) == [second]


def test_of_products_that_the_same_people_buy_a_popular_list_shows_four_before_another() -> None:
    # Ten customers buy the same six products every day; two others buy another one.
    together = [history(*(f"a{place}" for place in range(6))) for _ in range(10)]
    items = items_of([*together, history("b"), history("b"), history("b")], TODAY, {})
    ranker = RECOMMENDATIONS.fit(purchases()).ranker
    shown = [items.codes[one.place] for one in RecommendationsModel(items, ranker).popular(7)]
    assert shown.index("b") == 4
    assert sorted(shown) == sorted(items.codes)


def test_a_reason_names_the_product_of_the_history_that_is_most_like_it(model: RecommendationsModel) -> None:
    found = {model.items.codes[one.place]: one.reason for one in model.rank(history("p01"), TODAY, 12)}
    assert found["p01"] == "bought before"
    assert found["p02"] == "often bought with thing 1"
    assert found["p08"] == "popular now"  # of the other half, which nobody buys together with this one


def test_a_product_without_a_name_is_named_by_its_code_in_a_reason(model: RecommendationsModel) -> None:
    assert "often bought with p11" in {one.reason for one in model.rank(history("p11"), TODAY, 12)}


def test_the_order_of_the_training_rows_changes_no_byte(model: RecommendationsModel, frame: Purchases) -> None:
    shuffled = frame.rows.sample(frac=1, random_state=1)
    assert RECOMMENDATIONS.fit(replace(frame, rows=shuffled)).save() == model.save()


def test_without_a_closed_window_in_which_somebody_bought_there_is_not_enough_data(frame: Purchases) -> None:
    with pytest.raises(NotEnoughData, match="no customer with a history bought anything in a closed label window"):
        RECOMMENDATIONS.fit(replace(frame, rows=newest(frame)))


def test_one_closed_window_is_too_few_to_train_on_one_and_be_judged_on_the_next() -> None:
    with pytest.raises(NotEnoughData, match="there are 1 label windows of 28 days"):
        RECOMMENDATIONS.evaluate(purchases(moments=2))
    assert RECOMMENDATIONS.evaluate(purchases(moments=3)).metrics


def test_what_is_bought_in_the_held_out_window_changes_no_list_that_is_judged() -> None:
    # Many products and short lists, so that which of them anybody is shown says what the ranker has learned.
    frame = purchases(customers=20, products=60)
    other = frame.rows.copy()
    held_out = other["event_timestamp"] == pd.Timestamp("2024-05-06")
    other.loc[held_out, "bought"] = pd.Series([["p00", "p59"]] * len(other), index=other.index)[held_out]
    told, again = RECOMMENDATIONS.evaluate(frame).metrics, RECOMMENDATIONS.evaluate(replace(frame, rows=other)).metrics
    assert told["ndcg_all"] != again["ndcg_all"]
    assert told["coverage"] < 1
    assert told["coverage"] == again["coverage"]


def test_what_becomes_known_after_the_held_out_window_began_changes_nothing_of_the_judgement(frame: Purchases) -> None:
    other = frame.rows.copy()
    later = other["event_timestamp"] > pd.Timestamp("2024-05-06")
    other.loc[later, "recent_products"] = pd.Series([["p00", "p01", "p02"]] * len(other), index=other.index)[later]
    other.loc[later, "recent_times"] = pd.Series([[9, 9, 9]] * len(other), index=other.index)[later]
    other.loc[later, "recent_last"] = pd.Series([[int(TODAY) - 1] * 3] * len(other), index=other.index)[later]
    assert RECOMMENDATIONS.evaluate(replace(frame, rows=other)) == RECOMMENDATIONS.evaluate(frame)


def test_popularity_halves_in_fourteen_days() -> None:
    old = History(("a",), np.ones(1), np.array([TODAY - 14]))
    new = History(("b",), np.ones(1), np.array([TODAY]))
    assert items_of([old, new], TODAY, {}).popularity.tolist() == pytest.approx([0.5, 1.0])


def test_a_purchase_counts_half_after_ninety_days() -> None:
    bought = History(("a", "b"), np.ones(2), np.array([TODAY, TODAY - 90]))
    now, then = own_weight(bought, TODAY)
    assert then == pytest.approx(now / 2)


def test_products_of_too_few_buyers_are_like_nothing() -> None:
    few = [history("a", "b")] * (FEWEST_BUYERS - 1)
    assert items_of(few, TODAY, {}).likeness.max() == 0.0
    assert items_of([*few, history("a", "b")], TODAY, {}).likeness[0, 0] == pytest.approx(1.0, abs=0.01)


def test_golden_questions_hold_a_stranger_and_invented_customers(model: RecommendationsModel, frame: Purchases) -> None:
    asked = RECOMMENDATIONS.golden(frame)
    own = [one["features"].get("recent_products", []) for one in asked if isinstance(one["features"], dict)]
    assert [len(products) for products in own if isinstance(products, list)] == [0, 1, 4, 12]
    assert all(model.answer(one) for one in asked)


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(0, 6))
def test_likeness_is_what_adding_it_up_one_own_product_after_another_gives(seed: int, count: int, bought: int) -> None:
    draws = np.random.default_rng(seed)
    near = draws.integers(-1, count, size=(count, 4)).astype(np.int32)
    likeness = np.where(near >= 0, draws.integers(1, 4, size=near.shape) / 4, 0.0)
    for row in range(count):  # a product is no more than once among those that are like another
        _, first = np.unique(near[row], return_index=True)
        near[row][[place for place in range(4) if place not in first]] = -1
    likeness[near < 0] = 0.0
    codes = tuple(f"p{place}" for place in range(count))
    items = Items(codes, codes, np.zeros(count), np.zeros(count), near, likeness, {code: place for place, code in enumerate(codes)})
    own = draws.permutation(count)[: min(bought, count)]
    weight = draws.integers(1, 4, size=len(own)) / 2
    total, best, because = np.zeros(count), np.zeros(count), np.full(count, -1)
    for mine, strength in zip(own, weight, strict=True):
        for at, alike in zip(near[mine], likeness[mine], strict=True):
            if at >= 0:
                total[at] += strength * alike
                if strength * alike > best[at]:
                    best[at], because[at] = strength * alike, mine

    found = _likeness(items, own, weight)

    assert all(np.array_equal(one, other) for one, other in zip(found, (total, best, because), strict=True))
