"""Features for one answer, within a time limit: from the online store, or what was last known of the entity."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, TypeVar

from lakehouse.errors import NothingPublished, TryAgain
from lakehouse.features import popular
from lakehouse.features.online import OnlineFeatures
from lakehouse.features.popular import PopularProduct
from lakehouse.features.repository import ONLINE, REGISTRY, folder
from lakehouse.features.values import FeatureValues, is_behind
from lakehouse.settings import Settings
from serving.baselines import WEEKS, WINDOW
from serving.metrics import Metrics
from serving.publication import Publication

THREADS = 4
MOST_WAITING = 64
MOST_KNOWN = 10_000  # entities whose last values are kept, about 3 kB each

Result = Literal["hit", "missing", "stale", "error"]
Entity = tuple[str, ...]
T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """What a look-up gave. `error`: the store did not answer in time, and the values, if any, are the last known."""

    result: Result
    values: FeatureValues | None


class Pool:
    """A few threads for calls that block. One that has not ended in time is left behind; when too many are, new ones are refused."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="lookup")
        self._waiting = 0

    async def run(self, call: Callable[[], T]) -> T:
        """Raises `TryAgain` where the call did not end in time, and what it raised itself."""
        if self._waiting >= MOST_WAITING:
            raise TryAgain(f"{self._waiting} look-ups are waiting already")
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, call)
        future.add_done_callback(self._ended)
        done, _ = await asyncio.wait((future,), timeout=self._timeout_s)
        if not done:
            raise TryAgain(f"no answer within {self._timeout_s * 1000:.0f} ms")
        return future.result()

    def _ended(self, future: asyncio.Future[T]) -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # looked at, so that one left behind is not complained about

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class LastKnown:
    """The values that entities had when they were last asked about, the least recent forgotten first."""

    def __init__(self, most: int = MOST_KNOWN) -> None:
        self._most = most
        self._values: OrderedDict[Entity, FeatureValues] = OrderedDict()

    def note(self, entity: Entity, values: FeatureValues | None) -> None:
        """Who is gone from the store, an erased customer for one, is forgotten here too."""
        if values is None:
            self._values.pop(entity, None)
            return
        self._values[entity] = values
        self._values.move_to_end(entity)
        if len(self._values) > self._most:
            self._values.popitem(last=False)

    def get(self, entity: Entity) -> FeatureValues | None:
        return self._values.get(entity)

    def group_mean(self) -> float:
        """Units a week of the products that were asked about, on average; 0 where there were none."""
        units = [value for known in list(self._values.values()) if isinstance(value := known.values.get(WINDOW), float | int)]
        return math.fsum(units) / len(units) / WEEKS if units else 0.0


class Features:
    """The online store of a home. It may come, go and be replaced while this process lives; `refresh` looks after that."""

    def __init__(self, settings: Settings, pool: Pool, metrics: Metrics) -> None:
        self._settings, self._home, self._pool, self._metrics = settings, settings.home, pool, metrics
        self._store: OnlineFeatures | None = None
        self._opened: tuple[object, ...] = ()
        self._failed = False
        self._known = LastKnown()
        self.group_mean = 0.0
        self.popular: list[PopularProduct] = []
        self.popular_codes: frozenset[str] = frozenset()
        self.problem: str | None = "not opened yet"

    @property
    def marker(self) -> datetime | None:
        try:
            return None if self._store is None else self._store.marker
        except (OSError, ValueError, KeyError):
            return None

    def refresh(self) -> None:
        """Opens the store where it is new or was replaced. Never raises; takes seconds the first time."""
        try:
            there = self._there()
            if there != self._opened or self._failed:  # a connection that met damage holds on to it
                store = OnlineFeatures(self._settings)
                store.product("", "")  # what is imported and connected on first use is not left to an answer
                self._store, self._opened, self._failed = store, there, False
                log.info("the online store is open, published up to %s", self.marker)
            if self._store is not None and not self._store.is_whole:
                self._store, self._failed = None, True
                raise TryAgain("it has lost what was published into it. Publish anew: zeromargin run features")
            self.problem = None
        except NothingPublished as error:
            self.problem = str(error)
        except Exception as error:
            problem = f"the online store can't be opened: {type(error).__name__}: {error}. Where it stays so, have it made anew: zeromargin run features"
            if problem != self.problem:
                log.error("%s", problem)
            self.problem = problem
        self.group_mean = self._known.group_mean()
        with contextlib.suppress(OSError, ValueError, TypeError):  # what was popular before goes on being told
            self.popular = popular.read(self._home)
            self.popular_codes = frozenset(one.product for one in self.popular)
        marker = self.marker
        if marker is not None:
            age = (datetime.now(UTC).replace(tzinfo=None) - marker).total_seconds()
            for view in ("product_sales", "customer_history"):
                self._metrics.feature_age.labels(view).set(age)

    def is_behind(self, newest: Publication) -> bool:
        return is_behind(self.marker, newest.moment, newest.step)

    async def product(self, store: str, product_code: str, newest: Publication) -> Found:
        return await self._find("demand_v1", (store, product_code), lambda online: online.product(store, product_code), newest)

    async def customer(self, service: str, customer_key: str, newest: Publication) -> Found:
        return await self._find(service, (customer_key,), lambda online: online.customer(customer_key), newest)

    async def _find(
        self, service: str, entity: Entity, read: Callable[[OnlineFeatures], FeatureValues | None], newest: Publication
    ) -> Found:
        online = self._store
        began = time.perf_counter()
        try:
            if online is None:
                raise TryAgain(self.problem or "the online store is not open")
            values = await self._pool.run(lambda: self._read(online, read))
            if values is None and online.marker is None:
                raise TryAgain("the online store is being filled: who is missing may come")
            values = None if values is None else _finite(values)
            self._known.note(entity, values)
            result: Result = "missing" if values is None else "stale" if values.is_stale(newest.moment, newest.step) else "hit"
        except Exception as error:
            log.debug("no features of %s", service, exc_info=error)
            values, result = self._known.get(entity), "error"
        self._metrics.stage_duration.labels(service.rsplit("_", 1)[0], "features").observe(time.perf_counter() - began)
        self.count(service, result)
        return Found(result, values)

    def count(self, service: str, result: Result) -> None:
        """Counts a look-up. Those that end at the vault, before there is a key to read by, are counted by whoever asked it."""
        self._metrics.lookups.labels(service, result).inc()

    def _read(self, online: OnlineFeatures, read: Callable[[OnlineFeatures], FeatureValues | None]) -> FeatureValues | None:
        try:
            return read(online)
        except Exception:
            self._failed = True
            raise

    def _there(self) -> tuple[object, ...]:
        """What tells this store from another one in the same place."""
        place = folder(self._home)
        if not (place / REGISTRY).exists():
            raise NothingPublished("no features were published online yet. Load files, then run: zeromargin run")
        registry = (place / REGISTRY).stat()
        if self._settings.features.redis:
            return registry.st_ino, registry.st_mtime_ns
        if not (place / ONLINE).exists():
            raise TryAgain(f"{place / ONLINE} is not there")
        online = (place / ONLINE).stat()
        return registry.st_ino, registry.st_mtime_ns, online.st_dev, online.st_ino


def _finite(values: FeatureValues) -> FeatureValues:
    """A value that is not a number is a missing one: neither a model nor the log takes it for anything else."""
    if any(isinstance(value, float) and not math.isfinite(value) for value in values.values.values()):
        held = {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.values.items()}
        return replace(values, values=held)
    return values
