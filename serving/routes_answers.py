"""What can be asked about products and customers."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from serving.answers import Answers
from serving.problems import MEDIA_TYPE
from serving.schemas import (
    ForecastAnswer,
    ForecastRequest,
    ProblemDocument,
    RecommendAnswer,
    RecommendRequest,
    SegmentAnswer,
    SegmentRequest,
)

PROBLEM: dict[str, object] = {"model": ProblemDocument, "content": {MEDIA_TYPE: {}}}


def router(answers: Answers) -> APIRouter:
    routes = APIRouter(
        prefix="/v1",
        responses={
            422: {**PROBLEM, "description": "The body is wrong."},
            413: {**PROBLEM, "description": "The body is too large."},
            503: {**PROBLEM, "description": "Nothing is published yet."},
        },
    )

    @routes.post(
        "/forecast",
        response_model=ForecastAnswer,
        responses={404: {**PROBLEM, "description": "Unknown product or store."}},
        operation_id="forecast",
        summary="What a product will sell",
    )
    async def forecast(asked: ForecastRequest) -> Response:
        """Units a week, from the week that begins at the moment of the features."""
        return _json(await answers.forecast(asked))

    @routes.post("/segment", response_model=SegmentAnswer, operation_id="segment", summary="What kind of customer somebody is")
    async def segment(asked: SegmentRequest) -> Response:
        """An unknown customer is "unsegmented"."""
        return _json(await answers.segment(asked))

    @routes.post("/recommend", response_model=RecommendAnswer, operation_id="recommend", summary="What a customer may buy next")
    async def recommend(asked: RecommendRequest) -> Response:
        """An unknown customer is told what is popular."""
        return _json(await answers.recommend(asked))

    return routes


def _json(answer: BaseModel) -> Response:
    # Checked when it was made; the framework would check it again.
    return Response(answer.model_dump_json(), media_type="application/json")
