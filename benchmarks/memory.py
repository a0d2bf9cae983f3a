"""The most memory that a benchmark's processes hold at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psutil

EVERY_S = 0.1
SHARE = 0.05  # of a core, at the most: looking must not slow down what is looked at


class Memory:
    """The most that all processes below this one have held at once, in bytes: shared pages are counted once (PSS).

    Counting those costs the watched process time, by its size. What is resident is never less and costs next to nothing, so the pages are counted only
    where that is more than the most so far. Of processes that were forked the sum of what is resident is always more, so looks are also the rarer, the
    longer one takes.
    """

    def __init__(self) -> None:
        self.peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        pause = EVERY_S
        while not self._stop.wait(pause):
            began = time.thread_time()
            below = me.children(recursive=True)
            if _total(below, _resident) > self.peak:
                self.peak = max(self.peak, _total(below, _shared_once))
            pause = max(EVERY_S, (time.thread_time() - began) / SHARE)


def _resident(process: psutil.Process) -> int:
    return int(process.memory_info().rss)


def _shared_once(process: psutil.Process) -> int:
    return int(process.memory_full_info().pss)


def _total(processes: list[psutil.Process], held: Callable[[psutil.Process], int]) -> int:
    total = 0
    for process in processes:
        try:
            total += held(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total
