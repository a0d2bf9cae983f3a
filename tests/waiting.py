"""Waiting for what another process or thread does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

PATIENCE_S = 60


def wait_for(what: Callable[[], bool]) -> None:
    """Until it is so. Fails the test where it is not after a minute."""
    deadline, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        pause.wait(0.05)
