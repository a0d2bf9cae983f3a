"""The seal within the online store itself, by which one that lost its rows, is an older one or another lake's is told from what the marker speaks of.

The marker beside it says up to which moment the store was published; the file of SQLite may be replaced, and Redis emptied, while that one stays.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, cast
from urllib.parse import quote

from lakehouse.errors import TryAgain
from lakehouse.features.marker import Marker
from lakehouse.features.repository import ONLINE, folder, redis_connection
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from redis import Redis

_NAME = "zeromargin_seal"
_WAIT_S = 30


@dataclass(frozen=True)
class Seal:
    """What was published to the end, how many entries the store had then, and the snapshot that is being published into it, if one is."""

    marker: Marker
    entries: int
    reaching: int | None = None

    def is_of(self, marker: Marker) -> bool:
        return marker == self.marker or marker.snapshot == self.reaching

    def as_text(self) -> str:
        return json.dumps({"published": self.marker.as_text(), "entries": self.entries, "reaching": self.reaching})

    @classmethod
    def of(cls, text: str | bytes) -> Self:
        """What `as_text` made of one."""
        found = json.loads(text)
        return cls(Marker.of(found["published"]), found["entries"], found["reaching"])


class Sealed(Protocol):
    """An online store that can be given a seal. What it raises where it does not answer, or is damaged, is its library's."""

    def read(self) -> Seal | None: ...

    def write(self, seal: Seal) -> None: ...

    def remove(self) -> None: ...

    def entries(self) -> int:
        """How many there are, the seal left out."""
        ...


def sealed(settings: Settings) -> Sealed:
    """The online store of these settings."""
    return _InRedis(settings.features.redis) if settings.features.redis else _InFile(folder(settings.home) / ONLINE)


def whole(store: Sealed) -> Seal | None:
    """The store's seal. None where it has none, or not as many entries as when it was given it."""
    seal = store.read()
    if seal is None:
        return None
    there = store.entries()
    return seal if there == seal.entries or (there > seal.entries and seal.reaching is not None) else None


def begin(store: Sealed, marker: Marker) -> None:
    """Says that this is being published: onto what was, or into an empty store."""
    store.write(replace(store.read() or Seal(marker, 0), reaching=marker.snapshot))


def end(store: Sealed, marker: Marker) -> None:
    """Says that this was published to the end."""
    store.write(Seal(marker, store.entries()))


@dataclass(frozen=True)
class _InFile:
    """SQLite's file. Reading it makes none."""

    file: Path

    def read(self) -> Seal | None:
        with self._open("ro") as connection:
            there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_NAME,)).fetchone()
            found = connection.execute(f"SELECT seal FROM {_NAME}").fetchone() if there else None
        return None if found is None else Seal.of(found[0])

    def write(self, seal: Seal) -> None:
        with self._open("rwc") as connection, connection:
            connection.execute("BEGIN IMMEDIATE")  # whoever answers sees one seal or the other
            connection.execute(f"CREATE TABLE IF NOT EXISTS {_NAME} (seal TEXT NOT NULL)")
            connection.execute(f"DELETE FROM {_NAME}")
            connection.execute(f"INSERT INTO {_NAME} VALUES (?)", (seal.as_text(),))

    def remove(self) -> None:
        with self._open("rwc") as connection, connection:
            connection.execute(f"DROP TABLE IF EXISTS {_NAME}")

    def entries(self) -> int:
        with self._open("ro") as connection:
            views = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> ?", (_NAME,))]
            return sum(int(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]) for name in views)

    @contextmanager
    def _open(self, mode: str) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(f"file:{quote(str(self.file))}?mode={mode}", uri=True, timeout=_WAIT_S)) as connection:
            yield connection


class _InRedis:
    """A database of Redis, which is this lake's alone."""

    def __init__(self, words: str) -> None:
        import feature_repo  # isort: skip  # noqa: F401  (Feast without what takes it seconds)
        from feast.infra.online_stores.redis import RedisOnlineStore
        from redis import Redis

        nodes, options = RedisOnlineStore._parse_connection_string(redis_connection(words))
        self._client: Redis = Redis(host=nodes[0]["host"], port=int(nodes[0]["port"]), **options)

    def read(self) -> Seal | None:
        found = self._client.get(_NAME)
        return None if found is None else Seal.of(cast("bytes", found))

    def write(self, seal: Seal) -> None:
        self._client.set(_NAME, seal.as_text())

    def remove(self) -> None:
        self._client.delete(_NAME)

    def entries(self) -> int:
        return cast("int", self._client.dbsize()) - cast("int", self._client.exists(_NAME))


@contextmanager
def answering() -> Iterator[None]:
    """Raises `TryAgain` for whatever Redis or the way to it refuses."""
    try:
        from redis.exceptions import RedisError
    except ImportError:  # then it is nobody's online store
        yield
        return
    try:
        yield
    except RedisError as error:
        raise TryAgain(
            f"the online store in Redis does not answer: {type(error).__name__}: {error}. Nothing is marked as published; try again, and if it stays so "
            "look at features.redis"
        ) from error
