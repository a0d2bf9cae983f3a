"""Queries in a session at an endpoint on this machine: one that is interrupted ends in the server too, and one whose answer was lost is not asked again."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil
import pytest

from lakehouse.engine import Endpoint, connect, explain
from lakehouse.errors import EndpointDown
from tests.waiting import wait_for

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ENGINES = ["sail", pytest.param("spark", marks=pytest.mark.slow)]
FOR_MINUTES = "SELECT sum(a.id * b.id) AS found FROM range(0, 300000) a CROSS JOIN range(0, 300000) b"
SOON_S = 2.0


def busy_s(endpoint: Endpoint) -> float:
    """Seconds of a processor that the server and its children have used."""
    assert endpoint.process is not None
    server = psutil.Process(endpoint.process.pid)
    return sum(used.user + used.system for used in (one.cpu_times() for one in (server, *server.children(recursive=True))))


def is_idle(endpoint: Endpoint) -> bool:
    before = busy_s(endpoint)
    time.sleep(1)
    return busy_s(endpoint) - before < 0.3


@pytest.fixture
def keyboard() -> Iterator[None]:
    """An interrupt raises, also where the tests were begun in a shell's background, which has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("engine_name", ENGINES)
@pytest.mark.usefixtures("keyboard")
def test_a_query_that_is_interrupted_ends_in_the_server_too(endpoint: Endpoint) -> None:
    session = connect(endpoint.url)
    threading.Timer(SOON_S, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        session.sql(FOR_MINUTES).collect()
    wait_for(lambda: is_idle(endpoint))
    assert session.sql("SELECT 41 + 1 AS n").collect()[0].n == 42
    session.stop()


def interrupted(session: SparkSession) -> bool:
    """Whether the session's queries were told to end; the client may have to notice first that its connection is gone."""
    try:
        session.interruptAll()
    except Exception as error:
        if not isinstance(explain(error), EndpointDown):
            raise
        return False
    return True


class Between:
    """A port on loopback that passes everything on to another, both ways, until it is told to cut what is open."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._open += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while found := source.recv(1 << 16):
                target.sendall(found)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def between(endpoint: Endpoint) -> Iterator[Between]:
    port = urlsplit(endpoint.url).port
    assert port is not None
    with closing(Between(port)) as found:
        yield found


@pytest.mark.parametrize("engine_name", ENGINES)
def test_a_query_whose_connection_broke_is_not_asked_once_more(endpoint: Endpoint) -> None:
    with between(endpoint) as way:
        session = connect(f"sc://127.0.0.1:{way.port}")
        threading.Timer(SOON_S, way.cut).start()
        with pytest.raises(Exception) as raised:
            session.sql(FOR_MINUTES).collect()
        assert isinstance(explain(raised.value), EndpointDown)
        wait_for(lambda: interrupted(session))
        wait_for(lambda: is_idle(endpoint))
        session.stop()
