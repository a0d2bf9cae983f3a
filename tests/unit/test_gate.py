"""The gate says no where a figure is missing or a naive answer is as good, and yes otherwise."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from lakehouse.errors import UnknownName
from lakehouse.models.evaluation import CRITERIA, Evaluation
from lakehouse.registry.gate import APPROVED, REFUSED, decide
from tests.made_up import DEMAND, demand_frame

MODELS = sorted(CRITERIA)
METRICS = [(name, metric) for name in MODELS for metric in CRITERIA[name].metrics]
NAIVE = [(name, baseline) for name in MODELS for baseline in CRITERIA[name].naive]
BASELINES = [*NAIVE, *((name, peer) for name in MODELS for peer in CRITERIA[name].peers)]


def good(name: str) -> Evaluation:
    """Everything there, and every baseline worse."""
    criterion = CRITERIA[name]
    worse = 0.6 if criterion.less_is_better else 0.4
    baselines = {baseline: {criterion.main: worse} for baseline in (*criterion.naive, *criterion.peers)}
    return Evaluation(name, dict.fromkeys(criterion.metrics, 0.5), baselines, rows=10, cuts=("2024-06-03",))


def with_baseline(name: str, baseline: str, value: float) -> Evaluation:
    """The model's own figure is 0.5."""
    found = good(name)
    return replace(found, baselines={**found.baselines, baseline: {CRITERIA[name].main: value}})


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_is_better_than_every_naive_answer_is_approved_without_a_reason(name: str) -> None:
    decision = decide(good(name))
    assert (decision.approved, decision.word, decision.reasons) == (True, APPROVED, ())


@pytest.mark.parametrize(("name", "metric"), METRICS)
def test_a_missing_metric_is_refused_by_its_name(name: str, metric: str) -> None:
    found = good(name)
    decision = decide(replace(found, metrics={key: value for key, value in found.metrics.items() if key != metric}))
    assert (decision.word, decision.reasons) == (REFUSED, (f"metric {metric} is missing",))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("name", "metric"), METRICS)
def test_a_metric_that_is_not_finite_counts_as_missing(name: str, metric: str, value: float) -> None:
    found = good(name)
    assert f"metric {metric} is missing" in decide(replace(found, metrics={**found.metrics, metric: value})).reasons


@pytest.mark.parametrize(("name", "baseline"), BASELINES)
def test_a_missing_baseline_is_refused_by_its_name(name: str, baseline: str) -> None:
    found = good(name)
    decision = decide(replace(found, baselines={key: value for key, value in found.baselines.items() if key != baseline}))
    assert (decision.approved, decision.reasons) == (False, (f"baseline {baseline} is missing",))


@pytest.mark.parametrize(("name", "baseline"), BASELINES)
def test_a_baseline_without_the_main_figure_is_refused(name: str, baseline: str) -> None:
    decision = decide(with_baseline(name, baseline, math.nan))
    assert decision.reasons == (f"metric {CRITERIA[name].main} of baseline {baseline} is missing",)


@pytest.mark.parametrize(("name", "baseline"), NAIVE)
def test_a_naive_answer_that_is_as_good_is_refused(name: str, baseline: str) -> None:
    assert not decide(with_baseline(name, baseline, 0.5)).approved


@pytest.mark.parametrize(("name", "baseline"), NAIVE)
def test_a_naive_answer_that_is_better_is_refused_by_its_name(name: str, baseline: str) -> None:
    better = 0.4 if CRITERIA[name].less_is_better else 0.6
    (reason,) = decide(with_baseline(name, baseline, better)).reasons
    assert reason.endswith(f"the {better:.4f} of {baseline}")


@pytest.mark.parametrize(("name", "baseline"), sorted(set(BASELINES) - set(NAIVE)))
def test_a_peer_that_is_better_is_reported_and_does_not_stop_the_model(name: str, baseline: str) -> None:
    assert decide(with_baseline(name, baseline, 0.4 if CRITERIA[name].less_is_better else 0.6)).approved


def test_a_judgement_of_no_rows_is_refused() -> None:
    assert decide(replace(good("demand"), rows=0)).reasons == ("nothing was evaluated: 0 rows",)


def test_every_reason_is_told_and_not_the_first_alone() -> None:
    assert len(decide(replace(good("demand"), metrics={}, baselines={}, rows=0)).reasons) == len(CRITERIA["demand"].metrics) + 1 + 3


def test_a_model_that_nobody_knows_is_not_judged() -> None:
    with pytest.raises(UnknownName, match='model "demnad" is unknown. Did you mean "demand"'):
        decide(replace(good("demand"), model="demnad"))


def test_where_every_product_sells_the_same_each_week_the_naive_forecast_is_perfect_and_a_model_is_refused() -> None:
    decision = decide(DEMAND.evaluate(demand_frame(steady=True)))
    assert any(reason.endswith("is not below the 0.0000 of naive") for reason in decision.reasons)
