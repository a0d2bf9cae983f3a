"""A Spark Connect session that fails fast, and what its errors mean."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

from lakehouse.errors import EndpointDown, StateError, ZeromarginError, of_system

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.client import SparkConnectClient
    from pyspark.sql.connect.proto import ExecutePlanRequest

LOOPBACK = "127.0.0.1"
_GONE = (
    "UNAVAILABLE",
    "Connection refused",
    "Socket closed",
    "failed to connect",
    "Connection reset",
    "Broken pipe",
    "deserializing response",
)
_MEMORY = ("Failed to allocate", "Resources exhausted", "OutOfMemoryError", "Java heap space")


def connect(url: str) -> SparkSession:
    """A session of its own at the endpoint, in UTC, whose calls to a dead server fail within seconds."""
    # Workers of the client are of no use here, and its own default waits for more than half a minute.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.client.retries import DefaultPolicy

    # It writes every query that fails to standard error, with pages of the server's stack; whoever catches the error says what it means.
    logging.getLogger("SQLQueryContextLogger").disabled = True
    session = SparkSession.builder.remote(url).create()
    if urlsplit(url).hostname == LOOPBACK:
        _answer_at_once(session.client)
    else:
        policy = DefaultPolicy(max_retries=3, initial_backoff=100, max_backoff=500, jitter=0, min_jitter_threshold=10)
        session.client.set_retry_policies([policy])
    try:
        session.conf.set("spark.sql.session.timeZone", "UTC")
        session.sql("SELECT 1").collect()
    except Exception as error:
        raise explain(error) or error from None
    return session


def _answer_at_once(client: SparkConnectClient) -> None:
    """Queries go without what takes up a broken connection again, a thread and two calls for each: on loopback there is nothing that breaks one but the
    server's end. None is asked a second time, since a write would be done twice. Each still has a name, by which an interrupt ends it in the server."""
    from pyspark.sql.connect.session import SparkSession

    class Named(SparkSession.Hook):
        def on_execute_plan(self, request: ExecutePlanRequest) -> ExecutePlanRequest:
            request.operation_id = str(uuid4())
            return request

    client.disable_reattachable_execute()
    client.set_retry_policies([])
    client._session_hooks.append(Named())


def explain(error: BaseException) -> ZeromarginError | None:
    """What an engine's error means to the caller, or None where it is an error of the query itself."""
    if isinstance(error, ZeromarginError):
        return error
    refused = of_system(error)
    if refused is not None:
        return refused
    text = f"{type(error).__name__}: {error}"
    if any(mark in text for mark in _MEMORY):
        return StateError(f"the engine ran out of memory. Raise endpoint.memory_gb, or load smaller files. It said: {text[:400]}")
    if any(mark in text for mark in _GONE):
        return EndpointDown(
            "the engine's endpoint went away in the middle of a query. Run again; nothing was published. Where it goes away each time, it is short of"
            " memory (its log tells; endpoint/endpoint.log in the home, where it was started for it): raise endpoint.memory_gb, or load smaller files"
        )
    return None
