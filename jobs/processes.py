"""A run's processes and all that they start: begun in a group of their own, ended whole.

What a notebook starts may open a session of its own, so a group alone is not enough: everything that inherited a
`ZEROMARGIN_RESULT` belongs to the stage or the run that this names, whoever its parent is by now. What was started without it is found on
Linux all the same, since its parent, once its own has ended, is the process that stages are forked from.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
MARK = "ZEROMARGIN_RESULT"
GRACE_S = 2.0
_PR_SET_CHILD_SUBREAPER = 36


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


def adopt_orphans() -> None:
    """Makes this process the parent of every process below it whose own parent ends. Linux only; elsewhere the system's first process stays that."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_children() -> None:
    """Ends all that runs below this process, and waits until it is gone. What can't be ended, since the system holds it, is left after `GRACE_S`."""
    until = time.monotonic() + GRACE_S
    with contextlib.suppress(ChildProcessError):  # there is none
        while time.monotonic() < until:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            time.sleep(0.01)


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
