"""An answer from question to response: values, model, sanity, log. What is away costs a fallback that the answer names."""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from lakehouse.features.values import FeatureValues
from lakehouse.models.bundle import Bundle
from lakehouse.models.interface import Json
from serving import baselines
from serving.answer_log import Answered as Record
from serving.champions import Loaded
from serving.look_up import Found
from serving.problems import NothingPublishedYet, Problem, UnknownProduct
from serving.publication import Publication
from serving.schemas import (
    CustomerRequest,
    Fallback,
    ForecastAnswer,
    ForecastRequest,
    ModelUsed,
    RecommendAnswer,
    RecommendRequest,
    SegmentAnswer,
    SegmentRequest,
)
from serving.state import State

A = TypeVar("A", ForecastAnswer, SegmentAnswer, RecommendAnswer)
NEEDS_OF_BASELINES = {"demand": ("units_4w",), "segments": (), "recommendations": ()}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """A question on its way: which model, from which publication, with what in the log; `values` and `fallback` so far."""

    model: str
    publication: Publication
    parameters: Mapping[str, object]
    values: FeatureValues | None
    fallback: Fallback | None


class Answers:
    """The three endpoints' work."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def forecast(self, body: ForecastRequest) -> ForecastAnswer:
        """Raises `Problem`: 503 where nothing is published, 404 for an unknown product, 422 for more weeks than there are."""
        publication = self._publication()
        found = await self._state.look_up.product(body.store, body.product, publication)
        if found.values is None and found.fallback is None:
            raise UnknownProduct(body.product, body.store)
        asked = Asked("demand", publication, body.model_dump(), found.values, found.fallback)
        answer, used, fallback, features = self._answer(asked, {}, baselines.forecast(found.values, publication))
        weeks = answer["forecast"]
        assert isinstance(weeks, list)
        if len(weeks) < body.weeks:
            raise Problem(
                422, "invalid-request", "The request is not valid", f"weeks: {body.weeks} were asked for, {len(weeks)} are forecast"
            )
        told = {"product": body.product, "store": body.store, "forecast": weeks[: body.weeks]}
        return self._respond(ForecastAnswer, asked, used, fallback, features, told)

    async def segment(self, body: SegmentRequest) -> SegmentAnswer:
        publication = self._publication()
        key, found = await self._customer(body, "segments_v1", publication)
        asked = Asked("segments", publication, {"customer_key": key}, found.values, found.fallback)
        if found.values is None:
            return self._respond(SegmentAnswer, asked, baselines.MODEL["segments"], found.fallback, None, baselines.segment())
        answer, used, fallback, features = self._answer(asked, {}, baselines.segment())
        return self._respond(SegmentAnswer, asked, used, fallback, features, answer)

    async def recommend(self, body: RecommendRequest) -> RecommendAnswer:
        publication = self._publication()
        key, found = await self._customer(body, "recommendations_v1", publication)
        terms: dict[str, Json] = {"k": body.k, "exclude": list(body.exclude), "only_new": body.only_new}
        asked = Asked("recommendations", publication, {"customer_key": key, **terms}, found.values, found.fallback)
        answer, used, fallback, features = self._answer(asked, terms, {"items": []})
        return self._respond(RecommendAnswer, asked, used, fallback, features, answer)

    def _publication(self) -> Publication:
        if self._state.publication is None:
            raise NothingPublishedYet
        return self._state.publication

    async def _customer(self, body: CustomerRequest, service: str, publication: Publication) -> tuple[str | None, Found]:
        """The key of whoever is asked about, and their values. The number goes no further than this."""
        key = body.customer_key
        if key is None and body.customer is not None:
            number = body.customer
            try:
                key = await self._state.look_up.run(lambda: self._state.key_of(number))
            except Exception as error:  # a vault that is away makes everybody unknown, and says so
                log.warning("the vault does not answer: %s", type(error).__name__)
                return None, Found(None, "features unavailable")
        if key is None:
            return None, Found(None, "unknown customer")
        found = await self._state.look_up.customer(key, service, publication)
        return key, found if found.values is not None or found.fallback else Found(None, "unknown customer")

    def _answer(
        self, asked: Asked, terms: Mapping[str, Json], baseline: Mapping[str, Json]
    ) -> tuple[Mapping[str, Json], ModelUsed, Fallback | None, dict[str, Json] | None]:
        """The champion's answer where there is one and it is sane, else the baseline's; who gave it, why it is a fallback, and from what."""
        loaded = self._state.champions[asked.model].current
        if loaded is None:
            features = _picked(asked.values, NEEDS_OF_BASELINES[asked.model])
            return baseline, baselines.MODEL[asked.model], asked.fallback or "no champion", features
        features = _picked(asked.values, getattr(loaded.model.model, "needs", ()))
        moment = asked.publication.moment if asked.values is None else asked.values.as_of
        given = features if features is not None else _group(asked.model, loaded)
        began = time.perf_counter()
        try:
            answer = loaded.model.model.answer({"moment": moment.isoformat(), "features": given, **terms})
        except Exception as error:  # a model that fails costs a fallback
            log.error("%s version %s failed: %s: %s", asked.model, loaded.registered.version, type(error).__name__, error)
            return baseline, baselines.MODEL[asked.model], "model failed", features
        finally:
            self._state.metrics.stage_duration.labels(asked.model, "predict").observe(time.perf_counter() - began)
        if not _is_finite(answer):
            log.error("%s version %s gave an answer that is not finite", asked.model, loaded.registered.version)
            return baseline, baselines.MODEL[asked.model], "model failed", features
        used = ModelUsed(name=asked.model, version=loaded.registered.version, digest=loaded.registered.digest)
        return answer, used, asked.fallback, features

    def _respond(
        self,
        form: type[A],
        asked: Asked,
        used: ModelUsed,
        fallback: Fallback | None,
        features: dict[str, Json] | None,
        answer: Mapping[str, object],
    ) -> A:
        """The response, logged and counted."""
        variant = "baseline" if used.digest is None else "champion"
        features_as_of = None if asked.values is None else asked.values.as_of
        shared = {"request_id": uuid.uuid4().hex, "as_of": asked.publication.as_of, "features_as_of": features_as_of, "fallback": fallback}
        response = form.model_validate({**shared, "model": used, **answer})
        self._state.metrics.predictions.labels(asked.model, used.version, variant, "fallback" if fallback else "ok").inc()
        self._state.log.put(
            Record(
                request_id=response.request_id,
                answered_at=datetime.now(UTC).replace(tzinfo=None),
                model=asked.model,
                version=used.version,
                digest=used.digest or "",
                variant=variant,
                parameters=asked.parameters,
                features=features,
                features_as_of=None if features_as_of is None else features_as_of.isoformat(),
                fallback=fallback,
                answer=response.model_dump(mode="json", exclude={"request_id", "model", "as_of", "features_as_of", "fallback"}),
            )
        )
        return response


def _picked(values: FeatureValues | None, names: tuple[str, ...]) -> dict[str, Json] | None:
    """What of an entity's values a model reads, and the log keeps."""
    if values is None:
        return None
    found: dict[str, Json] = {}
    for name in names:
        value = values.values.get(name)
        found[name] = list(value) if isinstance(value, list) else value
    return found


def _group(model: str, loaded: Loaded[Bundle]) -> dict[str, Json]:
    """What stands in for a product's values when the store is away and nothing was seen of it: those of a product from the middle of all.

    Of customers nothing is assumed.
    """
    golden = loaded.model.manifest.get("golden")
    if model != "demand" or not isinstance(golden, list) or not golden:
        return {}
    middle = golden[len(golden) // 2]
    assert isinstance(middle, dict)
    question = middle["question"]
    assert isinstance(question, dict)
    features = question["features"]
    assert isinstance(features, dict)
    return features


def _is_finite(value: Json) -> bool:
    if isinstance(value, dict):
        return all(_is_finite(below) for below in value.values())
    if isinstance(value, list):
        return all(_is_finite(below) for below in value)
    return not isinstance(value, float) or math.isfinite(value)
