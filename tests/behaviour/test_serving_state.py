"""What the service says about itself: health, readiness, models, metrics, and its own explanation."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from html import escape, unescape

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving import problems
from tests.behaviour.conftest import Served
from tests.served import UNKNOWN, champion

MODELS = ["demand", "segments", "recommendations"]
# From shared/SERVING.md: those that say something before there are rollouts, drift and a monitor.
METRICS = {
    "retail_http_requests": {"service", "route", "method", "code"},
    "retail_http_request_duration_seconds": {"service", "route"},
    "retail_http_requests_in_flight": set(),
    "retail_predictions": {"model", "version", "variant", "outcome"},
    "retail_prediction_stage_duration_seconds": {"model", "stage"},
    "retail_model_info": {"model", "version", "variant", "digest"},
    "retail_model_loaded_timestamp_seconds": {"model"},
    "retail_model_load_failures": {"model", "reason"},
    "retail_feature_lookups": {"feature_service", "result"},
    "retail_feature_age_seconds": {"feature_view"},
    "retail_answer_log_dropped": set(),
}
BUCKETS = ["0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf"]


def figure(served: Served, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels; 0 where there are none."""
    families = text_string_to_metric_families(served.client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def test_a_living_process_is_healthy(served: Served) -> None:
    reply = served.client.get("/healthz")
    assert (reply.status_code, reply.json()) == (200, {"status": "ok"})


def test_with_everything_there_it_is_ready_and_names_what_answers(served: Served) -> None:
    reply = served.client.get("/readyz")
    expected = {"ready": True, "reasons": [], "as_of": "2024-05-06T00:00:00", "models": dict.fromkeys(MODELS, "1")}
    assert (reply.status_code, reply.json()) == (200, expected)


def test_the_models_are_listed_with_what_answers_and_how_good_it_was(served: Served) -> None:
    listed = served.client.get("/v1/models").json()["models"]
    assert [model["name"] for model in listed] == MODELS
    for model in listed:
        registered = champion(served.settings, model["name"])
        assert (model["version"], model["digest"], model["alias"], model["problem"]) == ("1", registered.digest, "champion", None)
        assert model["trained_as_of"] == "2024-05-06T00:00:00"
        assert model["metrics"] == pytest.approx(registered.metrics)


def test_one_model_is_told_as_in_the_list(served: Served) -> None:
    listed = served.client.get("/v1/models").json()["models"]
    assert [served.client.get(f"/v1/models/{name}").json() for name in MODELS] == listed


def test_the_metrics_have_the_agreed_names_and_labels(served: Served) -> None:
    for path, asked in (("forecast", {"product": served.product}), ("segment", {"customer": served.customer})):
        served.client.post(f"/v1/{path}", json=asked)
    families = {family.name: family for family in text_string_to_metric_families(served.client.get("/metrics").text)}
    ours = {name: family for name, family in families.items() if not name.endswith("_created")}
    assert set(ours) == set(METRICS)
    for name, family in ours.items():
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == METRICS[name], name


def test_request_times_are_counted_in_the_agreed_buckets(served: Served) -> None:
    served.client.get("/healthz")
    text = served.client.get("/metrics").text
    assert re.findall(r'retail_http_request_duration_seconds_bucket\{le="([^"]+)",route="/healthz"', text) == BUCKETS


def test_a_request_is_counted_under_its_route_and_code(served: Served) -> None:
    labels = {"service": "serving", "route": "/v1/forecast", "method": "POST", "code": "404"}
    before = figure(served, "retail_http_requests_total", **labels)
    served.client.post("/v1/forecast", json={"product": "NO-SUCH"})
    assert figure(served, "retail_http_requests_total", **labels) == before + 1


def test_an_address_that_is_unknown_is_no_label_of_its_own(served: Served) -> None:
    before = figure(served, "retail_http_requests_total", route="unmatched", code="404")
    served.client.get(f"/v1/segment/{UNKNOWN}")
    assert figure(served, "retail_http_requests_total", route="unmatched", code="404") == before + 1
    assert UNKNOWN not in served.client.get("/metrics").text


@pytest.mark.parametrize(
    ("path", "asked", "labels"),
    [
        ("forecast", {}, {"model": "demand", "version": "1", "variant": "champion", "outcome": "ok"}),
        ("segment", {"customer": UNKNOWN}, {"model": "segments", "version": "baseline", "variant": "baseline", "outcome": "fallback"}),
        ("recommend", {"customer": UNKNOWN}, {"model": "recommendations", "version": "1", "variant": "champion", "outcome": "fallback"}),
    ],
)
def test_an_answer_is_counted_by_who_gave_it_and_how(served: Served, path: str, asked: dict[str, str], labels: dict[str, str]) -> None:
    before = figure(served, "retail_predictions_total", **labels)
    served.client.post(f"/v1/{path}", json=asked or {"product": served.product})
    assert figure(served, "retail_predictions_total", **labels) == before + 1


@pytest.mark.parametrize(("product", "result"), [("", "hit"), ("NO-SUCH", "missing")])
def test_a_look_up_of_features_is_counted_by_its_result(served: Served, product: str, result: str) -> None:
    labels = {"feature_service": "demand_v1", "result": result}
    before = figure(served, "retail_feature_lookups_total", **labels)
    served.client.post("/v1/forecast", json={"product": product or served.product})
    assert figure(served, "retail_feature_lookups_total", **labels) == before + 1


def test_the_loaded_models_are_shown_by_version_and_digest(served: Served) -> None:
    for name in MODELS:
        digest = champion(served.settings, name).digest
        assert figure(served, "retail_model_info", model=name, version="1", variant="champion", digest=digest) == 1


def test_every_endpoint_is_explained_to_programs(served: Served) -> None:
    document = served.client.get("/openapi.json").json()
    operations = {path: next(iter(methods.values())) for path, methods in document["paths"].items()}
    answers = {"/v1/forecast", "/v1/segment", "/v1/recommend"}
    assert set(operations) == {*answers, "/v1/models", "/v1/models/{name}", "/healthz", "/readyz"}
    for path, operation in operations.items():
        assert operation["summary"] and operation["description"], path
    for path in answers:
        assert {"200", "413", "422", "503"} <= set(operations[path]["responses"])
        assert "application/problem+json" in operations[path]["responses"]["422"]["content"]


def test_every_field_that_can_be_asked_is_explained(served: Served) -> None:
    schemas = served.client.get("/openapi.json").json()["components"]["schemas"]
    for name in ("ForecastRequest", "SegmentRequest", "RecommendRequest"):
        assert schemas[name]["additionalProperties"] is False
        for field, told in schemas[name]["properties"].items():
            assert told.get("description"), f"{name}.{field}"


def test_the_page_explains_every_endpoint_and_needs_nothing_from_elsewhere(served: Served) -> None:
    reply = served.client.get("/docs")
    document = served.client.get("/openapi.json").json()
    assert reply.headers["content-type"].startswith("text/html")
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert f"<code>{path}</code>" in reply.text
            assert escape(operation["description"]) in reply.text
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", reply.text)


def test_the_page_explains_every_kind_of_problem_where_problems_point_to(served: Served) -> None:
    page = served.client.get("/docs").text
    kinds = [line.split()[1] for line in problems.KINDS.strip().splitlines()]
    assert len(kinds) >= 9
    for kind in kinds:
        assert f'id="{kind}"' in page


def test_the_example_on_the_page_is_answered(served: Served) -> None:
    page = served.client.get("/docs").text
    paths = re.findall(r'<form data-path="([^"{]+)"><textarea', page)
    assert paths == ["/v1/forecast", "/v1/segment", "/v1/recommend"]
    for path in paths:
        body = page.split(f'data-path="{path}"')[1].split("</textarea>")[0].rsplit(">", 1)[1]
        # The example's product may be unknown here; that it is a right question is what counts.
        assert served.client.post(path, content=unescape(body), headers={"content-type": "application/json"}).status_code in (200, 404)


def test_a_port_that_is_taken_is_said_at_once_with_what_to_do(served: Served) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        place = {"ZEROMARGIN_HOME": str(served.settings.home), "ZEROMARGIN_PROFILE": "test"}
        words = [sys.executable, "-m", "serving", "--port", str(other.getsockname()[1])]
        done = subprocess.run(words, env=os.environ | place, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "Choose another port with --port" in done.stderr
    assert "Traceback" not in done.stderr
