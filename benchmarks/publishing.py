"""Publishing what changed at a moment, beside Feast materialising all of it into a store of its own, and whether both stores answer alike."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from made_up import MONDAY
from processes import free_port
from report import Spread

from lakehouse.features import publish
from lakehouse.features.online import OnlineFeatures
from lakehouse.features.repository import open_store
from lakehouse.features.store import pins
from lakehouse.settings import Settings
from lakehouse.tables import Lake

SHARE = 100  # one in so many changes at a moment
MOMENTS = {MONDAY + timedelta(weeks=week): slice(week, None, SHARE) for week in (1, 2, 3)}  # when, and which of the customers
UNCHANGED = 1_000  # of those, so many are read back


@dataclass(frozen=True)
class Published:
    """Seconds to publish one moment of ours, and of Feast's for all; customers that were read back from both stores, and who differ."""

    ours: Spread
    feast: float
    compared: int
    differing: list[str]

    @property
    def ratio(self) -> float:
        return self.ours.median / self.feast

    def as_json(self) -> dict[str, object]:
        return {
            "publish_s": self.ours.as_json(),
            "feast_all_s": round(self.feast, 2),
            "ratio": round(self.ratio, 4),
            "read_back": self.compared,
        }


def stores() -> list[str]:
    return ["sqlite", *(["redis"] if shutil.which("redis-server") else [])]


def publishing(lake: Lake, store: str, keys: Sequence[str], folder: Path) -> Published:
    """The moments one after another into the lake's own store; customers alone, as of the last, into an empty one of a home at `folder`, which has
    the lake's tables and nothing else. Both are configured alike."""
    with ExitStack() as stack:
        words = [stack.enter_context(redis()) if store == "redis" else None for _ in range(2)]
        lake.settings = with_redis(lake.settings, words[0])
        folder.mkdir()
        (folder / "tables").symlink_to(lake.home / "tables")
        other = with_redis(lake.settings.model_copy(update={"home": folder}), words[1])
        ours = [seconds for seconds, _ in moments(lake, len(keys))][1:]
        feast = open_store(other, pins(lake))
        began = time.perf_counter()
        feast.materialize(datetime(2000, 1, 1), max(MOMENTS) + timedelta(days=1), feature_views=["customer_history"])
        everything = time.perf_counter() - began
        changed = {key: moment for moment, which in MOMENTS.items() for key in keys[which]}
        still = [key for key in keys if key not in changed][:UNCHANGED]
        differing = compared(lake.settings, other, changed | dict.fromkeys(still, MONDAY))
        lake.settings = with_redis(lake.settings, None)
    said = [f"{store}: {len(differing):,} customers, {differing[0]}"] if differing else []
    return Published(Spread.of(ours), everything, len(changed) + len(still), said)


def moments(lake: Lake, customers: int) -> Iterator[tuple[float, int]]:
    """Publishes each snapshot into a store that was emptied: seconds, and how many customers were written."""
    snapshots = sorted(lake.snapshots(), key=lambda one: one.moment)
    publish.empty_online(lake, open_store(lake.settings, pins(lake)))
    newest = lake.snapshot
    for number, snapshot in enumerate(snapshots):
        lake.snapshot = lambda: snapshot  # type: ignore[method-assign]  # noqa: B023
        began = time.perf_counter()
        written = publish.publish_online(lake).written["customer_history"]
        seconds = time.perf_counter() - began
        expected = len(range(*MOMENTS[snapshot.moment].indices(customers))) if number else customers
        if written != expected:
            raise SystemExit(f"publishing {snapshot.moment:%Y-%m-%d} wrote {written} customers, not the {expected} that changed")
        yield seconds, written
    lake.snapshot = newest  # type: ignore[method-assign]


def compared(ours: Settings, other: Settings, expected: dict[str, datetime]) -> list[str]:
    """What differs, by customer: both stores must give the same values, of the moment at which the customer last changed."""
    one, two = OnlineFeatures(ours), OnlineFeatures(other)
    differing = []
    for key, moment in expected.items():
        found = [store.customer(key) for store in (one, two)]
        seen = [None if each is None else (each.values, each.moment) for each in found]
        if seen[0] != seen[1] or seen[0] is None or seen[0][1] != moment:
            differing.append(f"{key} of {moment:%Y-%m-%d}: ours {seen[0]}, Feast's {seen[1]}")
    return differing


def with_redis(settings: Settings, words: str | None) -> Settings:
    return settings.model_copy(update={"features": settings.features.model_copy(update={"redis": words})})


@contextmanager
def redis() -> Iterator[str]:
    """A Redis of its own, empty, by its connection string."""
    port = free_port()
    words = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, cwd="/")
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.05)
        yield f"127.0.0.1:{port},db=0"
    finally:
        process.kill()
        process.wait()
