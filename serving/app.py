"""The whole service on one screen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse, Response

from lakehouse.settings import Settings
from serving import baselines, docs, problems
from serving.answers import Answers
from serving.body_limit import BodyLimit
from serving.metrics import CONTENT_TYPE, Measured
from serving.problems import UnknownModel
from serving.schemas import (
    ForecastAnswer,
    ForecastRequest,
    Health,
    ModelList,
    ModelState,
    ProblemDocument,
    Readiness,
    RecommendAnswer,
    RecommendRequest,
    SegmentAnswer,
    SegmentRequest,
)
from serving.state import MODELS, State

ABOUT = (
    "Demand forecasts, customer segments and product recommendations from the published features and the registered models. "
    "`fallback` is null where the champion answered from fresh features; otherwise it says why not."
)
PROBLEMS: dict[int | str, dict[str, object]] = {code: {"model": ProblemDocument} for code in (404, 422, 503)}


def create_app(settings: Settings) -> FastAPI:
    state = State(settings)
    answers = Answers(state)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        state.start()
        yield
        state.stop()

    app = FastAPI(title="zeromargin", version="0.1.0", description=ABOUT, lifespan=running, docs_url=None, redoc_url=None)
    problems.install(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(Measured, metrics=state.metrics)

    @app.post("/v1/forecast", responses=PROBLEMS, summary="Units of a product, week by week")
    async def forecast(body: ForecastRequest) -> ForecastAnswer:
        return await answers.forecast(body)

    @app.post("/v1/segment", responses=PROBLEMS, summary="The segment of a customer")
    async def segment(body: SegmentRequest) -> SegmentAnswer:
        return await answers.segment(body)

    @app.post("/v1/recommend", responses=PROBLEMS, summary="Products for a customer")
    async def recommend(body: RecommendRequest) -> RecommendAnswer:
        return await answers.recommend(body)

    @app.get("/v1/models", summary="Who answers, and how good it was when it was registered")
    async def models() -> ModelList:
        return ModelList(models=[_model(state, name) for name in MODELS])

    @app.get("/v1/models/{name}", responses={404: {"model": ProblemDocument}}, summary="One of them")
    async def model(name: str) -> ModelState:
        if name not in MODELS:
            raise UnknownModel(name, MODELS)
        return _model(state, name)

    @app.get("/healthz", summary="Whether the process answers")
    async def healthz() -> Health:
        return Health(status="ok")

    @app.get(
        "/readyz", response_model=Readiness, summary="Whether every answer is a champion's from fresh features; 503 and why, where not"
    )
    async def readyz() -> Response:
        reasons = state.reasons()
        used = {name: _model(state, name).version for name in MODELS}
        as_of = None if state.publication is None else state.publication.as_of
        found = Readiness(ready=not reasons, reasons=reasons, as_of=as_of, models=used)
        return JSONResponse(found.model_dump(mode="json"), status_code=503 if reasons else 200)

    @app.get("/metrics", summary="Counts and times, in Prometheus's format", response_class=Response)
    async def metrics() -> Response:
        return Response(state.metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/docs", include_in_schema=False)
    async def explained() -> HTMLResponse:
        return HTMLResponse(docs.page(app.openapi(), (problems.__doc__ or "").split("\n\n", 1)[1]))

    return app


def _model(state: State, name: str) -> ModelState:
    champion = state.champions[name]
    loaded = champion.current
    if loaded is None:
        return ModelState(
            name=name,
            version=baselines.VERSION,
            digest=None,
            alias=None,
            trained_as_of=None,
            loaded_at=None,
            metrics={},
            problem=champion.problem,
        )
    return ModelState(
        name=name,
        version=loaded.registered.version,
        digest=loaded.registered.digest,
        alias="champion",
        trained_as_of=loaded.registered.moment,
        loaded_at=loaded.loaded_at,
        metrics=loaded.registered.metrics,
        problem=champion.problem,
    )
