"""What was answered, on disk: a bounded queue that never makes an answer wait, and one thread that writes segments from it.

A record is handed to the operating system within milliseconds; a segment is closed by its rows or its age, whichever comes first. While
the disk refuses, records wait in the queue; what the queue has no room for is dropped and counted. Nothing else is lost while the
process lives, and what a killed process had written is closed by the next one that starts in the same home.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lakehouse import journal

RETRY_S = 0.5
_BATCH = 512

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answered:
    """One answer as it is kept: enough to make it again. `parameters` holds the customer's key, never the number, and
    none but recognised codes."""

    request_id: str
    answered_at: datetime
    model: str
    version: str
    digest: str
    variant: str
    parameters: Mapping[str, object]
    features: Mapping[str, object] | None
    features_as_of: str | None
    features_moment: str | None
    fallback: str | None
    answer: Mapping[str, object]

    def record(self) -> dict[str, object]:
        return {**vars(self), "answered_at": self.answered_at.isoformat()}


class AnswerLog:
    """The log of one process under `folder`. `put` may be called from any thread."""

    def __init__(self, folder: Path, capacity: int, segment_rows: int, segment_s: float, dropped: Callable[[int], None]) -> None:
        self._folder = folder
        self._segment_rows = segment_rows
        self._segment_s = segment_s
        self._dropped = dropped
        self._queue: queue.Queue[Answered | None] = queue.Queue(capacity)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_until_closed, name="answer-log", daemon=True)
        self._writer: journal.Writer | None = None
        self._close_by = 0.0

    def start(self) -> None:
        """Close what killed processes left open, and begin to write."""
        recovery = journal.recover(self._folder, _now())
        if recovery.segments:
            log.warning("closed %d answer segments of processes that are gone; torn lines: %d", len(recovery.segments), recovery.torn)
        self._thread.start()

    def put(self, answered: Answered) -> bool:
        """Takes the record without ever waiting. False where there was no room for it: it is dropped, and counted."""
        try:
            self._queue.put_nowait(answered)
        except queue.Full:
            self._dropped(1)
            return False
        return True

    def close(self) -> None:
        """Writes what waits, closes the segment, and ends the thread."""
        self._closing.set()
        with suppress(queue.Full):  # a full queue keeps the thread awake
            self._queue.put_nowait(None)
        self._thread.join()

    def _write_until_closed(self) -> None:
        waiting: list[bytes] = []
        while True:
            waiting += self._gather(_BATCH - len(waiting), wait=not waiting)
            if waiting and self._write(waiting):
                waiting = []
            if self._writer and (self._writer.rows >= self._segment_rows or time.monotonic() >= self._close_by):
                self._close_segment()
            if self._closing.is_set() and (waiting or self._queue.empty()):
                break
            if waiting:
                self._closing.wait(RETRY_S)
        lost = len(waiting)
        while not self._queue.empty():
            lost += self._queue.get_nowait() is not None
        if lost:
            self._dropped(lost)
        if self._writer:
            self._close_segment()

    def _gather(self, room: int, wait: bool) -> list[bytes]:
        """Up to `room` encoded records; where it may `wait`, until there is one or the open segment has to be closed."""
        lines: list[bytes] = []
        room = min(room, self._segment_rows - (self._writer.rows if self._writer else 0))
        while len(lines) < room:
            try:
                if wait and not lines:
                    timeout = max(0.0, self._close_by - time.monotonic()) if self._writer else None
                    answered = None if self._closing.is_set() and self._queue.empty() else self._queue.get(timeout=timeout)
                else:
                    answered = self._queue.get_nowait()
            except queue.Empty:
                break
            if answered is None:
                break
            try:
                lines.append(journal.encode(answered.record()))
            except (TypeError, ValueError) as error:
                log.error("answer %s can't be logged: %s", answered.request_id, error)
                self._dropped(1)
        return lines

    def _write(self, lines: list[bytes]) -> bool:
        try:
            if self._writer is None:
                self._writer = journal.Writer(self._folder)
                self._close_by = time.monotonic() + self._segment_s
            self._writer.write(lines)
        except OSError as error:
            log.error("the answer log in %s can't be written: %s. It is tried again", self._folder, error)
            return False
        return True

    def _close_segment(self) -> None:
        writer, self._writer = self._writer, None
        assert writer is not None
        try:
            if writer.rows:
                writer.close(_now())
            else:
                writer.discard()
        except OSError as error:
            log.error("a segment of the answer log in %s can't be closed: %s", self._folder, error)
            self._dropped(writer.rows)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
