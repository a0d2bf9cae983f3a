"""The server process."""

from __future__ import annotations

import logging
import os

from lakehouse.settings import Settings

# Before numpy and LightGBM are imported: each answer is small, and threads that wait for one another cost more than they bring.
os.environ["OMP_NUM_THREADS"] = "1"


def run(settings: Settings, port: int | None = None) -> None:
    """Serves until SIGINT or SIGTERM, then finishes what it answers and writes the log. `port` 0: any free one, which the log names."""
    import uvicorn

    from serving.app import create_app

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("feast", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
    place = settings.serving.port if port is None else port
    uvicorn.run(
        create_app(settings),
        host=settings.serving.host,
        port=place,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="info",
        timeout_graceful_shutdown=10,
    )
