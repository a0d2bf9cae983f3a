"""Each measure against a value worked out by hand, or against somebody else's code; and what is always so."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, mean_absolute_percentage_error, mean_pinball_loss, ndcg_score
from sklearn.metrics.cluster import contingency_matrix

from lakehouse.models import metrics

units = st.integers(0, 50).map(float)
weeks = st.lists(st.tuples(units, units), min_size=1, max_size=12)
sold_weeks = weeks.filter(lambda pairs: any(actual for actual, _ in pairs))
labels = st.integers(0, 4)
partitions = st.lists(st.tuples(labels, labels), min_size=1, max_size=40)
rankings = st.permutations(range(8))
baskets = st.sets(st.integers(0, 11), min_size=1, max_size=8)


def apart(pairs: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [one for one, _ in pairs], [other for _, other in pairs]


def test_wape_is_the_sum_of_misses_over_the_sum_of_sales() -> None:
    assert metrics.wape([10, 0, 10], [8, 1, 13]) == pytest.approx((2 + 1 + 3) / 20)


def test_bias_is_above_zero_where_too_much_was_forecast() -> None:
    assert metrics.bias([10, 10], [12, 13]) == pytest.approx(5 / 20)


def test_bias_is_below_zero_where_too_little_was_forecast() -> None:
    assert metrics.bias([10, 10], [8, 7]) == pytest.approx(-5 / 20)


def test_mape_leaves_out_weeks_without_sales() -> None:
    assert metrics.mape([10, 0, 4], [5, 100, 5]) == pytest.approx((0.5 + 0.25) / 2)


def test_the_share_with_sales_says_how_many_weeks_mape_speaks_of() -> None:
    assert metrics.share_with_sales([10, 0, 4, 0]) == 0.5


def test_rmsse_of_one_series_is_the_root_of_its_mean_squared_error_over_its_scale() -> None:
    assert metrics.rmsse([[4.0, 0.0]], [[1.0, 1.0]], [2.0]) == pytest.approx(math.sqrt(((9 + 1) / 2) / 2))


def test_rmsse_is_averaged_over_series() -> None:
    assert metrics.rmsse([[4.0], [4.0]], [[2.0], [4.0]], [1.0, 9.0]) == pytest.approx((2.0 + 0.0) / 2)


@pytest.mark.parametrize("scale", [0.0, math.nan, math.inf])
def test_rmsse_leaves_out_a_series_whose_scale_says_nothing(scale: float) -> None:
    assert metrics.rmsse([[4.0], [4.0]], [[2.0], [400.0]], [1.0, scale]) == pytest.approx(2.0)


def test_pinball_punishes_a_low_forecast_of_a_high_quantile_more_than_a_high_one() -> None:
    assert metrics.pinball([10], [8], 0.9) == pytest.approx(0.9 * 2 / 10)
    assert metrics.pinball([10], [12], 0.9) == pytest.approx(0.1 * 2 / 10)


def test_coverage_counts_what_lies_on_the_bounds() -> None:
    assert metrics.coverage([1, 2, 3, 4], [1, 0, 0, 0], [9, 2, 2, 3]) == 0.5


def test_width_is_the_mean_of_the_intervals() -> None:
    assert metrics.width([0, 1], [4, 3]) == 3.0


def test_ndcg_of_a_hit_at_the_second_place_of_two_is_worked_out_by_hand() -> None:
    assert metrics.ndcg(["x", "a", "y"], ["a", "b"], 3) == pytest.approx((1 / math.log2(3)) / (1 + 1 / math.log2(3)))


def test_ndcg_looks_no_further_than_k() -> None:
    assert metrics.ndcg(["x", "a"], ["a"], 1) == 0.0


def test_of_more_bought_than_k_ndcg_wants_only_k() -> None:
    assert metrics.ndcg(["a", "b"], ["a", "b", "c"], 2) == 1.0


def test_recall_is_the_share_of_what_was_bought() -> None:
    assert metrics.recall(["a", "x", "b"], ["a", "b", "c", "d"], 2) == 0.25


@pytest.mark.parametrize(("k", "expected"), [(1, 0.0), (2, 1.0)])
def test_a_hit_is_any_one_product_within_k(k: int, expected: float) -> None:
    assert metrics.hit(["x", "a"], ["a", "b"], k) == expected


def test_coverage_of_the_catalog_counts_each_product_once() -> None:
    assert metrics.catalog_coverage([["a", "b", "x"], ["a", "c"]], 8, 2) == pytest.approx(3 / 8)


def test_the_share_of_popular_products_counts_what_was_shown_as_often_as_it_was() -> None:
    assert metrics.share_of_popular([["a", "b"], ["a", "c", "a"]], {"a"}, 2) == 0.5


def test_jaccard_is_what_two_sets_share_of_what_they_hold() -> None:
    assert metrics.jaccard("abc", "bcd") == 0.5


def test_eta_squared_is_the_share_of_the_variance_that_lies_between_groups() -> None:
    # Of the mean 4: between groups 2 * 4 + 2 * 4 = 16, in all 9 + 1 + 1 + 9 = 20.
    assert metrics.eta_squared(["a", "a", "b", "b"], [1, 3, 5, 7]) == pytest.approx(16 / 20)


def test_labels_of_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="3 labels beside 2"):
        metrics.adjusted_rand([0, 0, 1], [0, 1])


@pytest.mark.parametrize("measure", [metrics.wape, metrics.bias, metrics.mape])
def test_figures_of_other_weeks_are_refused(measure: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(1,\) differ"):
        measure([1, 2], [1])


UNDEFINED = {
    "wape, nothing sold": lambda: metrics.wape([0, 0], [1, 2]),
    "wape, no weeks": lambda: metrics.wape([], []),
    "bias, nothing sold": lambda: metrics.bias([0, 0], [1, 2]),
    "mape, nothing sold": lambda: metrics.mape([0, 0], [1, 2]),
    "pinball, nothing sold": lambda: metrics.pinball([0], [1], 0.5),
    "rmsse, no scale": lambda: metrics.rmsse([[1.0]], [[1.0]], [0.0]),
    "share with sales, no weeks": lambda: metrics.share_with_sales([]),
    "coverage, no weeks": lambda: metrics.coverage([], [], []),
    "width, no weeks": lambda: metrics.width([], []),
    "ndcg, nothing bought": lambda: metrics.ndcg(["a"], [], 5),
    "recall, nothing bought": lambda: metrics.recall(["a"], [], 5),
    "hit, nothing bought": lambda: metrics.hit(["a"], [], 5),
    "catalog coverage, no products": lambda: metrics.catalog_coverage([], 0, 5),
    "share of popular, nothing shown": lambda: metrics.share_of_popular([[]], ["a"], 5),
    "jaccard, two empty sets": lambda: metrics.jaccard([], []),
    "adjusted Rand, no rows": lambda: metrics.adjusted_rand([], []),
    "eta squared, no rows": lambda: metrics.eta_squared([], []),
    "eta squared, no variance": lambda: metrics.eta_squared([0, 1], [3, 3]),
}


@pytest.mark.parametrize("case", UNDEFINED)
def test_what_is_undefined_is_told_as_not_a_number(case: str) -> None:
    assert math.isnan(UNDEFINED[case]())


@given(sold_weeks)
def test_the_pinball_loss_is_always_that_of_scikit_learn_over_mean_sales(pairs: list[tuple[float, float]]) -> None:
    actual, forecast = apart(pairs)
    for quantile in (0.1, 0.5, 0.9):
        expected = mean_pinball_loss(actual, forecast, alpha=quantile) / np.mean(actual)
        assert metrics.pinball(actual, forecast, quantile) == pytest.approx(expected)


@given(sold_weeks)
def test_the_pinball_loss_of_the_median_is_always_half_the_wape(pairs: list[tuple[float, float]]) -> None:
    assert 2 * metrics.pinball(*apart(pairs), 0.5) == pytest.approx(metrics.wape(*apart(pairs)))


@given(sold_weeks)
def test_mape_is_always_that_of_scikit_learn_over_the_weeks_with_sales(pairs: list[tuple[float, float]]) -> None:
    sold = [(actual, forecast) for actual, forecast in pairs if actual]
    assert metrics.mape(*apart(pairs)) == pytest.approx(mean_absolute_percentage_error(*apart(sold)))


@given(sold_weeks)
def test_the_bias_is_never_further_from_zero_than_the_wape(pairs: list[tuple[float, float]]) -> None:
    assert abs(metrics.bias(*apart(pairs))) <= metrics.wape(*apart(pairs)) + 1e-12


@given(rankings, baskets, st.integers(1, 8))
def test_ndcg_is_always_that_of_scikit_learn(ranked: list[int], bought: set[int], k: int) -> None:
    # scikit-learn wants every product's gain: those never ranked come last.
    everything = [*ranked, *(item for item in range(12) if item not in ranked)]
    gains, scores = [[float(item in bought) for item in everything]], [[float(-place) for place in range(12)]]
    assert metrics.ndcg(ranked, bought, k) == pytest.approx(ndcg_score(gains, scores, k=k))


@given(rankings, baskets, st.integers(1, 7))
def test_a_longer_list_never_recalls_less(ranked: list[int], bought: set[int], k: int) -> None:
    assert metrics.recall(ranked, bought, k) <= metrics.recall(ranked, bought, k + 1)


@given(rankings, baskets, st.integers(1, 8))
def test_a_hit_is_always_a_recall_above_zero(ranked: list[int], bought: set[int], k: int) -> None:
    assert metrics.hit(ranked, bought, k) == float(metrics.recall(ranked, bought, k) > 0)


@given(partitions)
def test_the_adjusted_rand_index_is_always_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    assert metrics.adjusted_rand(one, other) == pytest.approx(adjusted_rand_score(one, other))


@given(partitions)
def test_the_crosstab_is_always_scikit_learns_contingency_matrix(pairs: list[tuple[int, int]]) -> None:
    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    assert metrics.crosstab(one, other).tolist() == contingency_matrix(one, other).tolist()


@given(st.lists(st.tuples(labels, st.integers(-30, 30)), min_size=2, max_size=20).filter(lambda rows: len({v for _, v in rows}) > 1))
def test_eta_squared_is_always_what_exact_fractions_give(rows: list[tuple[int, int]]) -> None:
    mean = Fraction(sum(value for _, value in rows), len(rows))
    groups = [[value for label, value in rows if label == one] for one in {label for label, _ in rows}]
    between = sum(len(group) * (Fraction(sum(group), len(group)) - mean) ** 2 for group in groups)
    total = sum((value - mean) ** 2 for _, value in rows)
    found = metrics.eta_squared([label for label, _ in rows], [value for _, value in rows])
    assert found == pytest.approx(float(between / total), abs=1e-12)


@given(st.sets(labels), st.sets(labels, min_size=1))
def test_jaccard_is_always_the_same_the_other_way_round(one: set[int], other: set[int]) -> None:
    assert metrics.jaccard(one, other) == metrics.jaccard(other, one)
