"""Feature values for an answer, in time: from the online store, else the last that this process saw of the entity.

A look-up that takes longer than `serving.lookup_timeout_s`, or a store that does not answer, costs a fallback, never the answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from lakehouse.errors import NothingPublished, TryAgain
from lakehouse.features.online import OnlineFeatures
from lakehouse.features.values import FeatureValues
from lakehouse.settings import Settings
from serving.metrics import Metrics
from serving.publication import Publication
from serving.schemas import Fallback

THREADS = 4
REMEMBERED = 20_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """Values of an entity, None where there are none; and why they are not what the online store holds now, None where they are."""

    values: FeatureValues | None
    fallback: Fallback | None = None


class LookUp:
    """Look-ups of one process. `refresh` blocks and is called from a thread; the rest from the event loop."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._home, self._timeout_s, self._metrics = settings.home, settings.serving.lookup_timeout_s, metrics
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="look-up")
        self._online: OnlineFeatures | None = None
        self._seen: OrderedDict[tuple[str, ...], FeatureValues] = OrderedDict()

    def refresh(self) -> None:
        """Opens the online store once there is one. Never raises."""
        if self._online is None:
            try:
                self._online = OnlineFeatures(self._home)
            except NothingPublished:
                return
            except Exception as error:  # whatever is wrong with the store, answers go on without it
                log.error("the online store can't be opened: %s: %s", type(error).__name__, error)
                return
        marker = self.marker
        if marker is not None:
            age = (datetime.now(UTC).replace(tzinfo=None) - marker).total_seconds()
            for view in ("product_sales", "customer_history"):
                self._metrics.feature_age.labels(view).set(age)

    @property
    def marker(self) -> datetime | None:
        """The moment up to which the online store is published; None where it is not."""
        try:
            return None if self._online is None else self._online.marker
        except (OSError, ValueError):
            return None

    async def product(self, store: str, product: str, publication: Publication) -> Found:
        return await self._found("demand_v1", ("product", store, product), lambda online: online.product(store, product), publication)

    async def customer(self, key: str, service: str, publication: Publication) -> Found:
        return await self._found(service, ("customer", key), lambda online: online.customer(key), publication)

    async def run(self, work: Callable[[], str | None]) -> str | None:
        """Something short that blocks, such as a look at the vault. Raises what it raises, and TimeoutError."""
        return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(self._pool, work), 20 * self._timeout_s)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _found(
        self, service: str, entity: tuple[str, ...], read: Callable[[OnlineFeatures], FeatureValues | None], publication: Publication
    ) -> Found:
        online = self._online
        try:
            if online is None:
                raise TryAgain("the online store was never opened")
            values = await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(self._pool, read, online), self._timeout_s)
        except (TryAgain, TimeoutError) as error:
            self._metrics.lookups.labels(service, "error").inc()
            log.debug("no features: %s", error)
            return Found(self._seen.get(entity), "features unavailable")
        if values is None:
            self._metrics.lookups.labels(service, "missing").inc()
            return Found(None)
        self._remember(entity, values)
        stale = values.is_stale(publication.moment, publication.step)
        self._metrics.lookups.labels(service, "stale" if stale else "hit").inc()
        return Found(values, "features stale" if stale else None)

    def _remember(self, entity: tuple[str, ...], values: FeatureValues) -> None:
        self._seen[entity] = values
        self._seen.move_to_end(entity)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
