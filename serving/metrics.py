"""What the service counts. Names and labels are said here once; /metrics shows them in Prometheus's text format."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE = CONTENT_TYPE_LATEST
SERVICE = "serving"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
STAGE_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)


class Metrics:
    """The metrics of one app, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "retail_http_requests_total", "Requests answered.", ("service", "route", "method", "code"), registry=registry
        )
        self.duration = Histogram(
            "retail_http_request_duration_seconds", "Time to answer a request.", ("service", "route"), buckets=SECONDS, registry=registry
        )
        self.in_flight = Gauge("retail_http_requests_in_flight", "Requests being answered now.", registry=registry)
        self.predictions = Counter(
            "retail_predictions_total",
            "Answers by model, version and variant; outcome is ok, fallback or error.",
            ("model", "version", "variant", "outcome"),
            registry=registry,
        )
        self.stage_duration = Histogram(
            "retail_prediction_stage_duration_seconds",
            "Time of each stage of an answer: lookup, features, predict.",
            ("model", "stage"),
            buckets=STAGE_SECONDS,
            registry=registry,
        )
        self.model_info = Gauge(
            "retail_model_info", "1 for each model that is loaded.", ("model", "version", "variant", "digest"), registry=registry
        )
        self.model_loaded = Gauge(
            "retail_model_loaded_timestamp_seconds", "When the model was loaded, seconds since 1970.", ("model",), registry=registry
        )
        self.load_failures = Counter(
            "retail_model_load_failures_total", "Models that could not be loaded.", ("model", "reason"), registry=registry
        )
        self.lookups = Counter(
            "retail_feature_lookups_total",
            "Feature look-ups; result is hit, missing, stale or error.",
            ("feature_service", "result"),
            registry=registry,
        )
        self.feature_age = Gauge(
            "retail_feature_age_seconds",
            "Wall-clock age of the moment up to which features are published.",
            ("feature_view",),
            registry=registry,
        )
        self.log_dropped = Counter("retail_answer_log_dropped_total", "Answers that the log had no room for.", registry=registry)

    def text(self) -> bytes:
        return generate_latest(self.registry)


class Measured:
    """ASGI middleware: counts and times every request under its route's pattern, never under the path that was sent."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        code = 500
        began = time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, noted)
        finally:
            self._metrics.in_flight.dec()
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.duration.labels(SERVICE, route).observe(time.perf_counter() - began)
            self._metrics.requests.labels(SERVICE, route, scope["method"], code).inc()
