"""A run's processes and all that they start: begun in a group of their own, ended whole.

What a notebook starts may open a session of its own, so a group alone is not enough: everything that inherited a
`ZEROMARGIN_RESULT` belongs to the stage or the run that this names, whoever its parent is by now.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
MARK = "ZEROMARGIN_RESULT"
GRACE_S = 2.0


def start(arguments: list[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Starts this Python with `arguments`, leader of a new session. What it says besides answers goes to `log`; its standard input is its lifeline."""
    with log.open("ab") as sink:
        return subprocess.Popen(
            [sys.executable, *arguments],
            bufsize=0,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sink,
            cwd=ROOT,
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes], mark: Path) -> None:
    """Ends the process, its group, its descendants, and whatever else carries `mark`; waits until they are gone."""
    doomed: dict[int, psutil.Process] = {}
    if process.poll() is None:  # else its number may be another process's by now
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            own = psutil.Process(process.pid)
            doomed = {one.pid: one for one in (own, *own.children(recursive=True))}
            os.killpg(process.pid, signal.SIGKILL)
    doomed |= {other.pid: other for other in marked(mark)}
    _kill(list(doomed.values()))
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    process.wait()


def end_marked(folder: Path, spared: Collection[int] = ()) -> int:
    """Ends every process that runs for a stage whose result would lie under `folder`, but those `spared`; returns how many there were."""
    left = [process for process in marked(folder) if process.pid not in spared]
    _kill(left)
    return len(left)


def marked(place: Path) -> Iterator[psutil.Process]:
    """The processes, this one and those above it excepted, whose stage's result is `place` or lies under it."""
    own = psutil.Process()
    spared = {own.pid, *(parent.pid for parent in own.parents())}
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        with contextlib.suppress(psutil.Error, OSError):
            result = process.environ().get(MARK)
            if result and (Path(result) == place or place in Path(result).parents):
                yield process


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=GRACE_S)
