"""The process that the stages of a run are forked from: what every notebook needs is imported once, not once in each of them.

A stage still has processes of its own, a group of its own and a fresh namespace: one process executes the notebook, the other is its
kernel, both forked before either has begun anything. `python -m jobs.nursery` reads jobs from its standard input, one line of JSON each,
and answers each with two lines: the number of the process that executes it, and what that process ended with. Standard input is a lifeline
too: with whoever holds its other end all of this ends.
"""

from __future__ import annotations

import gc
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from jobs import environment, processes
from lakehouse import scratch
from lakehouse.quality import importing
from lakehouse.registry import tracking
from lakehouse.sparing import ADDRESSES, DEBUGGER, POLARS, allow, spare

AT_ONCE = ("papermill.execute", "jobs.kernel", "ipykernel.kernelapp", "lakehouse.medallion.silver", "lakehouse.medallion.gold")
MODELS = ("lakehouse.registry.training", "lakehouse.registry.pyfunc_model")
LATER = {  # what is imported while earlier stages run
    "quality": ("lakehouse.quality.validation", "great_expectations"),
    "features": ("lakehouse.features.build", "feature_repo", "lakehouse.features.publish"),
    "demand": MODELS,
    "segments": MODELS,
    "recommendations": MODELS,
    "predictions": ("lakehouse.registry.batch", "lightgbm"),
}
_SOCKET = "zm-12345678/tmp12345678/kernel-99"  # the longest that lies in the folder for temporary files
_SOCKET_BYTES = 103  # what macOS takes; Linux takes four more


class Nursery:
    """Runs jobs one after another, each in processes forked for it. Its own process is started with the first, or by `start`."""

    def __init__(self, folder: Path, stages: Iterable[str] = (), started: Callable[[int], None] = lambda group: None) -> None:
        """`folder` is the run's, `stages` those that are ahead; `started` is told each process group that is opened."""
        self.folder, self.stages, self.started = folder, tuple(stages), started
        self.private = scratch.folder(_for_sockets(), "zm-")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        shutil.rmtree(self.private, ignore_errors=True)

    def start(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            own = environment.of_process({processes.MARK: str(self.folder / "nursery")}, self.private)
            self._process = processes.start(["-m", "jobs.nursery", *self.stages], own, self.log)
            self.started(self._process.pid)
        return self._process

    @property
    def log(self) -> Path:
        """What the process that stages are forked from says."""
        return self.folder / "nursery.log"

    def run(self, job: Mapping[str, object], own: Mapping[str, str], log: Path, deadline_s: float) -> int | None:
        """What the job's process ended with; everything that it left behind has ended too. None where the process that it was forked from, or
        should have been, has ended instead.

        `own` is the environment of the stage beside the caller's. Raises `subprocess.TimeoutExpired` after `deadline_s`, which counts until an
        import that is under way meanwhile is done.
        """
        process, until = self.start(), time.monotonic() + deadline_s
        private = Path(tempfile.mkdtemp(dir=self.private))
        order = {"job": dict(job), "environment": environment.of_process(own, private), "log": str(log)}
        assert process.stdin is not None
        code = None
        try:
            with suppress(BrokenPipeError):  # it has ended, which is seen where an answer is missing
                process.stdin.write(json.dumps(order).encode() + b"\n")
            number = _answer(process, until)
            if number is not None:
                self.started(number)
                code = _answer(process, until)
            return code
        finally:
            if code is None:
                self._end()
            # What was forked from the nursery shows its mark, whatever it set since; what was started by a program, the stage's.
            processes.end_marked(self.folder / "nursery", spared={process.pid})
            processes.end_marked(Path(own[processes.MARK]))
            shutil.rmtree(private, ignore_errors=True)

    def _end(self) -> None:
        if self._process is not None:
            processes.end(self._process, self.folder / "nursery")
            self._process = None


def _for_sockets() -> Path:
    """The folder for temporary files, or a short one: a socket's path is limited to about a hundred bytes, which a home may already have, and so may
    the folder that TMPDIR names."""
    usual = Path(tempfile.gettempdir())
    return usual if len(os.fsencode(usual / _SOCKET)) <= _SOCKET_BYTES else Path("/tmp")


def _answer(process: subprocess.Popen[bytes], until: float) -> int | None:
    """The next number that the nursery answers; None where it has ended."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], max(0.0, until - time.monotonic()))[0]:
        raise subprocess.TimeoutExpired(process.args, 0)
    line = process.stdout.readline().strip()
    return int(line) if line else None


def main(stages: Iterable[str]) -> int:
    """Forks a stage for each line of standard input. Returns in the nursery with its end, and in a forked process with what that did."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what an import prints is no answer
    processes.adopt_orphans()
    import_at_once()
    later = imports(stages)
    while order := _line():
        gc.freeze()
        number = os.fork()
        if number == 0:
            answers.close()
            return _stage(json.loads(order))
        answers.write(b"%d\n" % number)
        answers.write(b"%d\n" % _ended(number, later))
    return 0


def _line() -> bytes:
    """One line, read byte by byte: what is read too much here would be missing where a forked process watches for the end."""
    read = bytearray()
    while (byte := os.read(0, 1)) and byte != b"\n":
        read += byte
    return bytes(read)


def _ended(number: int, imports: Iterator[None]) -> int:
    """What the forked process ended with. While it works, more is imported; what is left of all that it started ends with it."""
    while os.waitid(os.P_PID, number, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None and next(imports, "all") is None:
        pass
    os.waitid(os.P_PID, number, os.WEXITED | os.WNOWAIT)  # its number stays its own until the group has been ended
    with suppress(ProcessLookupError):
        os.killpg(number, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
    processes.end_children()
    return code


def import_at_once() -> None:
    """Imports what every stage needs, and has the rest imported without what would do harm in a fork or tell others of its use."""
    spare(ADDRESSES, DEBUGGER, POLARS)
    tracking.quiet()
    for name in AT_ONCE:
        import_module(name)


def imports(stages: Iterable[str]) -> Iterator[None]:
    """Imports what these stages need besides, one thing at a time."""
    for name in dict.fromkeys(name for stage in stages for name in LATER.get(stage, ())):
        try:
            if name == "great_expectations":
                importing.great_expectations()
            else:
                import_module(name)
        except Exception:  # the stage that can't do without says so itself
            traceback.print_exc()
        yield


def _stage(order: dict[str, object]) -> int:
    """In a forked process: becomes the kernel, or executes the notebook in it."""
    from jobs import execute, kernel, stage_log

    os.setsid()
    _become(order)
    reader = kernel.fork(Path(str(order["log"])))
    if reader is None:
        return 0
    job = order["job"]
    assert isinstance(job, dict)
    code = execute.main(job)
    reader.join(stage_log.PATIENCE_S)  # what the kernel has left running may go on saying things
    return code


def _become(order: dict[str, object]) -> None:
    """Takes on the environment and the log of the stage."""
    with Path(str(order["log"])).open("ab") as sink:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
    own = order["environment"]
    assert isinstance(own, dict)
    os.environ.clear()
    os.environ.update(own)
    allow(POLARS)
    tempfile.tempdir = None
    time.tzset()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
