"""One process of the service, from its settings to its end. Several of them may answer from one home."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys

from lakehouse.errors import StateError
from lakehouse.settings import Settings
from lakehouse.sparing import ESTIMATORS, spare

SHUTDOWN_S = 10


def run(settings: Settings, port: int | None) -> None:
    """Answers until the process is told to end (SIGTERM, SIGINT), then finishes what is asked already and writes the answer log out.

    `port` left out: `serving.port`; 0: any free one.
    """
    # One row at a time gains nothing from threads, and loses two thirds of the throughput to them. Read when numpy is first imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("FEAST_USAGE", "False")
    spare(*ESTIMATORS)
    import uvicorn

    from serving.app import create_app

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Once it has shut down in order, uvicorn sends itself the signal again; this makes that end a clean one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    wanted = settings.serving.port if port is None else port
    _check_free(settings.serving.host, wanted)
    uvicorn.run(
        create_app(settings),
        host=settings.serving.host,
        port=wanted,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )


def _check_free(host: str, port: int) -> None:
    """Raises `StateError` where somebody else listens already: said now, rather than once everything is loaded."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise StateError(
            f"the service can't listen on {where}: {error.strerror}. Choose another port with --port, or, where this computer does not have that"
            " address, another serving.host"
        ) from None
