"""What can be asked about the service itself."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from lakehouse.models.bundle import Bundle
from serving import baselines, docs, problems
from serving.champions import ALIAS, Champion
from serving.metrics import CONTENT_TYPE
from serving.problems import UnknownModel
from serving.schemas import Health, ModelList, ModelState, Readiness
from serving.service import MODELS, Service


def router(service: Service) -> APIRouter:
    routes = APIRouter()

    @routes.get("/v1/models", operation_id="models", summary="Which models answer")
    async def models() -> ModelList:
        """Each model with the version that answers now."""
        return ModelList(models=[_state(champion) for champion in service.champions.values()])

    @routes.get("/v1/models/{name}", operation_id="model", summary="Which version of one model answers")
    async def model(name: str) -> ModelState:
        """One of demand, segments and recommendations."""
        if name not in service.champions:
            raise UnknownModel(name, MODELS)
        return _state(service.champions[name])

    @routes.get("/healthz", operation_id="health", summary="Does the process live")
    async def health() -> Health:
        """Whoever gets no answer may restart it."""
        return Health(status="ok")

    @routes.get("/readyz", response_model=Readiness, operation_id="readiness", summary="Can it answer well")
    async def readiness() -> Response:
        """200 with three champions, a publication, fresh features and the vault; else 503 with what is missing. Questions are answered either way."""
        reasons = service.reasons()
        publication = service.publication
        state = Readiness(
            ready=not reasons,
            reasons=reasons,
            as_of=None if publication is None else publication.as_of,
            models={name: _version(champion) for name, champion in service.champions.items()},
        )
        return Response(state.model_dump_json(), 503 if reasons else 200, media_type="application/json")

    @routes.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    @routes.get("/docs", include_in_schema=False)
    async def explained(request: Request) -> Response:
        return HTMLResponse(docs.page(request.app.openapi(), problems.KINDS))

    @routes.get("/", include_in_schema=False)
    async def root() -> Response:
        return JSONResponse({"service": "zeromargin", "docs": "/docs"})

    return routes


def _version(champion: Champion[Bundle]) -> str:
    return baselines.VERSION if champion.current is None else champion.current.registered.version


def _state(champion: Champion[Bundle]) -> ModelState:
    loaded = champion.current
    if loaded is None:
        return ModelState(
            name=champion.name,
            version=baselines.VERSION,
            digest=None,
            alias=None,
            trained_as_of=None,
            loaded_at=None,
            metrics={},
            problem=champion.problem,
        )
    return ModelState(
        name=champion.name,
        version=loaded.registered.version,
        digest=loaded.registered.digest,
        alias=ALIAS,
        trained_as_of=loaded.registered.moment,
        loaded_at=loaded.loaded_at,
        metrics=loaded.registered.metrics,
        problem=champion.problem,
    )
