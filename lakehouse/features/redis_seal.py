"""Redis as the online store: how it is reached, and the seal by which a store that lost its rows is told from one that has them.

The marker beside the home says up to which moment the store was published. Redis may be emptied, restarted without its data or given to another
lake while that file stays; so the same words stand in Redis too, and what differs is published anew. A lake needs a database of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from lakehouse.errors import TryAgain
from lakehouse.features.marker import Marker
from lakehouse.features.repository import redis_connection

if TYPE_CHECKING:
    from redis import Redis

SEAL = "zeromargin:published"


def read(words: str) -> Marker | None:
    """What Redis says was published into it. Raises `TryAgain` when it does not answer."""
    with answering():
        found = _client(words).get(SEAL)
    return None if found is None else Marker.of(cast("bytes", found))


def write(words: str, marker: Marker) -> None:
    with answering():
        _client(words).set(SEAL, marker.as_text())


def remove(words: str) -> None:
    with answering():
        _client(words).delete(SEAL)


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


def _client(words: str) -> Redis:
    """A connection as Feast makes it of the same words."""
    from feast.infra.online_stores.redis import RedisOnlineStore
    from redis import Redis

    nodes, options = RedisOnlineStore._parse_connection_string(redis_connection(words))
    return Redis(host=nodes[0]["host"], port=int(nodes[0]["port"]), **options)
