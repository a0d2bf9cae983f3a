"""The whole service on one screen: its parts, the addresses, and what every request passes through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from lakehouse.settings import Settings
from serving import problems, routes_answers, routes_state
from serving.answers import Answers
from serving.limits import BODY_BYTES, Limited
from serving.metrics import Measured
from serving.service import Service

ABOUT = """Weekly forecasts per product, a segment per customer, and recommendations per customer.

Every answer says which model gave it, up to when its features know, and, under `fallback`, why it is not the champion's answer from
fresh features."""


def create_app(settings: Settings) -> FastAPI:
    """The service on one home. Nothing is opened before the app starts; it answers when the models were looked for once."""
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(service.start)
        try:
            yield
        finally:
            await run_in_threadpool(service.stop)

    app = FastAPI(title="zeromargin", version="0.1.0", description=ABOUT, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.include_router(routes_answers.router(Answers(service)))
    app.include_router(routes_state.router(service))
    problems.install(app)
    app.add_middleware(Limited, body_bytes=BODY_BYTES)
    app.add_middleware(Measured, metrics=service.metrics)
    return app
