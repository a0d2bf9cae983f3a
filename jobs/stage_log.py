"""A stage's log: what its kernel and the programs that a notebook starts say, its beginning and its end where that is much.

All of it is printed into a pipe that the process which executes the notebook reads, so that what a killed kernel said last is there too.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from threading import Thread

BEGINNING, END = 500_000, 250_000  # bytes; between two cuts the end grows to twice that
CUT = re.compile(rb"\n\xe2\x80\xa6 (\d+) bytes of this log are not kept \xe2\x80\xa6\n")
PIECE = 65_536  # bytes: what a pipe holds
PATIENCE_S = 0.5


def follow(said: int, log: Path) -> Thread:
    """Appends to the log what comes out of the pipe `said`, until nobody is left to say anything."""
    reader = Thread(target=_read, args=(said, log), daemon=True)
    reader.start()
    return reader


def append(log: Path, said: bytes) -> None:
    """Adds to the log; where it is too long by now, its middle is left out."""
    with log.open("ab") as end:
        end.write(said)
        length = end.tell()
    if length > BEGINNING + 2 * END:
        _cut(log, length)


def _read(said: int, log: Path) -> None:
    with os.fdopen(said, "rb", buffering=0) as pipe:
        while piece := pipe.read(PIECE):
            with suppress(OSError):  # a full disk: who prints is not to wait for ever
                append(log, piece)


def _cut(log: Path, length: int) -> None:
    with log.open("rb") as whole:
        whole.seek(BEGINNING)
        before = CUT.match(whole.read(200))
        whole.seek(length - END)
        end = whole.read(END)
    gone = length - BEGINNING - END
    if before:
        gone += int(before[1]) - len(before[0])
    os.truncate(log, BEGINNING)
    with log.open("ab") as cut:
        cut.write(f"\n… {gone} bytes of this log are not kept …\n".encode() + end)
