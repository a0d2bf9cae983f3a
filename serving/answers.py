"""The path of one answer: features, model, sanity, log. What fails on the way costs a fallback, never the answer."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypedDict, TypeVar, cast

from lakehouse.errors import TryAgain
from lakehouse.features.values import FeatureValues
from lakehouse.models.demand import DemandModel
from lakehouse.models.interface import Json
from serving import answer_log, baselines, recognised
from serving.features import Found
from serving.problems import NothingPublishedYet, TooManyWeeks, UnknownProduct
from serving.publication import Publication
from serving.schemas import (
    CustomerRequest,
    Fallback,
    ForecastAnswer,
    ForecastRequest,
    ForecastWeek,
    Item,
    ModelUsed,
    RecommendAnswer,
    RecommendRequest,
    Segment,
    SegmentAnswer,
    SegmentRequest,
)
from serving.service import Service

P = TypeVar("P")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Customer:
    """Who is asked about, as far as is known: the key, the features, and what is wrong with them."""

    key: str | None
    values: FeatureValues | None
    fallback: Fallback | None


class _Envelope(TypedDict):
    """What every answer carries: the fields of `schemas.Answered`."""

    request_id: str
    model: ModelUsed
    as_of: datetime
    features_as_of: datetime | None
    fallback: Fallback | None


@dataclass(frozen=True)
class _Said(Generic[P]):
    """What was answered, checked, and its envelope."""

    said: P
    envelope: _Envelope


class Answers:
    """Answers from what the service holds at that moment."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def forecast(self, asked: ForecastRequest) -> ForecastAnswer:
        newest = self._newest()
        ahead = self._weeks_ahead()
        if asked.weeks > ahead:
            raise TooManyWeeks(asked.weeks, ahead)
        found = await self._service.features.product(asked.store, asked.product, newest)
        values = found.values
        if found.result == "missing":
            raise UnknownProduct(asked.product, asked.store)
        moment = newest.moment if values is None else values.as_of
        said = self._say(
            "demand",
            newest=newest,
            asked=recognised.series(self._service, asked, values is not None),
            question=None if values is None else {"moment": moment.isoformat(), "features": _features(values)},
            values=values,
            fallback=_fallback(found),
            baseline=lambda: baselines.forecast(
                None if values is None else values.values, moment, asked.weeks, self._service.features.group_mean
            ),
            check=lambda answer: weeks_of(answer, asked.weeks),
            cut=lambda answer: {"forecast": _listed(answer["forecast"])[: asked.weeks]},
        )
        return ForecastAnswer(**said.envelope, product=asked.product, store=asked.store, forecast=said.said)

    async def segment(self, asked: SegmentRequest) -> SegmentAnswer:
        newest = self._newest()
        customer = await self._customer(asked, "segments", newest)
        values = customer.values
        said = self._say(
            "segments",
            newest=newest,
            asked={"customer_key": customer.key},
            question=None if values is None else {"moment": values.as_of.isoformat(), "features": _features(values)},
            values=values,
            fallback=customer.fallback,
            baseline=baselines.segment,
            check=lambda answer: Segment.model_validate(answer["segment"]),
        )
        return SegmentAnswer(**said.envelope, segment=said.said)

    async def recommend(self, asked: RecommendRequest) -> RecommendAnswer:
        newest = self._newest()
        customer = await self._customer(asked, "recommendations", newest)
        values = customer.values
        exclude = cast("list[Json]", asked.exclude)
        bought = values.values.get("recent_products") if values is not None and asked.only_new else None
        without = {*asked.exclude, *(bought if isinstance(bought, list) else ())}
        said = self._say(
            "recommendations",
            newest=newest,
            asked={
                "customer_key": customer.key,
                "k": asked.k,
                "exclude": recognised.codes(self._service, asked.exclude),
                "only_new": asked.only_new,
            },
            # Of somebody without features the model tells what is popular.
            question={
                "moment": (newest.moment if values is None else values.as_of).isoformat(),
                "features": {} if values is None else _features(values),
                "k": asked.k,
                "exclude": exclude,
                "only_new": asked.only_new and values is not None,
            },
            values=values,
            fallback=customer.fallback,
            baseline=lambda: baselines.recommendations(self._service.features.popular, asked.k, without),
            check=lambda answer: [Item.model_validate(item) for item in _listed(answer["items"])],
        )
        return RecommendAnswer(**said.envelope, items=said.said)

    def _newest(self) -> Publication:
        if self._service.publication is None:
            raise NothingPublishedYet()
        return self._service.publication

    def _weeks_ahead(self) -> int:
        """How far the loaded model looks; the settings are about the next one, and about the baseline."""
        loaded = self._service.champions["demand"].current
        if loaded is not None and isinstance(loaded.model.model, DemandModel):
            return loaded.model.model.weeks
        return self._service.settings.models.demand.horizon_weeks

    async def _customer(self, asked: CustomerRequest, model: str, newest: Publication) -> _Customer:
        key, service = asked.customer_key, f"{model}_v1"
        if asked.customer is not None:
            try:
                key = await self._key(asked.customer, model)
            except TryAgain as error:
                log.debug("no customer key", exc_info=error)
                self._service.features.count(service, "error")
                return _Customer(None, None, "features unavailable")
        if key is None:
            self._service.features.count(service, "missing")
            return _Customer(None, None, "unknown customer")
        found = await self._service.features.customer(service, key, newest)
        if found.result == "missing":
            # A key that was sent says nothing about anybody; one that the vault knows is somebody of whom no line counts yet.
            return _Customer(key, None, "unknown customer" if asked.customer is None else "features missing")
        return _Customer(key, found.values, _fallback(found))

    async def _key(self, number: str, model: str) -> str | None:
        began = time.perf_counter()
        try:
            return await self._service.customers.key(number)
        finally:
            self._service.metrics.stage_duration.labels(model, "lookup").observe(time.perf_counter() - began)

    def _say(
        self,
        name: str,
        *,
        newest: Publication,
        asked: Mapping[str, object],
        question: dict[str, Json] | None,
        values: FeatureValues | None,
        fallback: Fallback | None,
        baseline: Callable[[], dict[str, Json]],
        check: Callable[[dict[str, Json]], P],
        cut: Callable[[dict[str, Json]], dict[str, Json]] | None = None,
    ) -> _Said[P]:
        """The champion's answer, or the baseline's; checked, counted and logged."""
        loaded = self._service.champions[name].current
        metrics = self._service.metrics
        used = ModelUsed(name=name, version=baselines.VERSION, digest=None)
        answer: dict[str, Json] | None = None
        if loaded is None:
            fallback = fallback or "no champion"
        elif question is not None:
            version, digest = loaded.registered.version, loaded.registered.digest
            began = time.perf_counter()
            try:
                answer = loaded.model.model.answer(question)
                said = check(answer)
                used = ModelUsed(name=name, version=version, digest=digest)
            except Exception as error:  # a model that fails at a question, or says what can't be, is answered for
                log.error("%s version %s failed: %s", name, version, type(error).__name__)
                log.debug("the question was about a moment of %s", question["moment"], exc_info=error)
                metrics.predictions.labels(name, version, "champion", "error").inc()
                answer, fallback = None, "model failed"
            metrics.stage_duration.labels(name, "predict").observe(time.perf_counter() - began)
        if answer is None:
            answer = baseline()
            said = check(answer)
        variant = "baseline" if used.digest is None else "champion"
        metrics.predictions.labels(name, used.version, variant, "ok" if fallback is None else "fallback").inc()
        request_id = os.urandom(16).hex()
        self._service.answer_log.put(
            answer_log.Answered(
                request_id=request_id,
                answered_at=datetime.now(UTC).replace(tzinfo=None),
                model=name,
                version=used.version,
                digest=used.digest or "",
                variant=variant,
                parameters=asked,
                features=None if values is None else values.values,
                features_as_of=None if values is None else values.as_of.isoformat(),
                features_moment=None if values is None else values.moment.isoformat(),
                fallback=fallback,
                answer=answer if cut is None else cut(answer),
            )
        )
        features_as_of = None if values is None else values.as_of
        envelope = _Envelope(request_id=request_id, model=used, as_of=newest.as_of, features_as_of=features_as_of, fallback=fallback)
        return _Said(said, envelope)


def weeks_of(answer: Mapping[str, Json], asked: int) -> list[ForecastWeek]:
    """The weeks that were asked for. Raises `ValueError` where the answer has fewer: half an answer would look like a whole one."""
    weeks = _listed(answer["forecast"])[:asked]
    if len(weeks) < asked:
        raise ValueError(f"{asked} weeks were asked for, the answer has {len(weeks)}")
    return [ForecastWeek.model_validate(week) for week in weeks]


def _fallback(found: Found) -> Fallback | None:
    if found.result == "error":
        return "features unavailable"
    return "features stale" if found.result == "stale" else None


def _features(values: FeatureValues) -> dict[str, Json]:
    return cast("dict[str, Json]", dict(values.values))


def _listed(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise TypeError(f"expected a list, found {type(value).__name__}")
    return value
