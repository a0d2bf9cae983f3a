"""Runs one notebook with Papermill, and says what stopped it."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from jobs.outcome import FULL, Failure, write_failure
from lakehouse.engine import explain
from lakehouse.errors import DiskFull

DONE, FAILED, AGAIN = 0, 1, 75
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
ARROW = re.compile(r"^-+> *[0-9]+ (?P<line>.*)$", re.MULTILINE)
CELL = "Cell In["  # how IPython begins a frame of the notebook's own


def execute(notebook: Path, output: Path, parameters: Mapping[str, object], in_process: bool = False) -> Failure | None:
    """Runs the notebook, keeps the executed copy at `output`; None, or what stopped it."""
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    try:
        execute_notebook(
            str(notebook),
            str(output),
            parameters=dict(parameters),
            progress_bar=False,
            cwd=str(output.parent),
            engine_name=_engine(in_process),
        )
    except PapermillExecutionError as error:
        line = _failing_line(error.traceback) or _first_line(error.source)
        return explained(Failure(error.ename, error.evalue or "the cell ended with an error", error.exec_count, line))
    except Exception as error:
        cell, line = _last_started(output)
        return explained(Failure(type(error).__name__, str(error), cell, line))
    return None


def explained(failure: Failure) -> Failure:
    """The failure in our own words where a raw error of the engine means that it is gone or out of memory."""
    meant = None if failure.is_ours else explain(RuntimeError(f"{failure.error}: {failure.message}"))
    return failure if meant is None else replace(failure, error=type(meant).__name__, message=str(meant))


def main(job: Mapping[str, object]) -> int:
    """Executes `notebook` into `output` with `parameters`, in a stage's own process: 0, 1 after writing to `failure` what failed, 75 where that
    says of itself that it may pass on a second try, 74 where there was no room to write it.

    Standard input is a lifeline: the process ends, with its group, when whoever holds the other end is gone.
    """
    _end_with_the_runner()
    parameters = job["parameters"]
    assert isinstance(parameters, Mapping)
    failure = execute(Path(str(job["notebook"])), Path(str(job["output"])), parameters)
    if failure is None:
        return DONE
    try:
        write_failure(Path(str(job["failure"])), failure)
    except OSError as error:
        return FULL if DiskFull.behind(error) else FAILED
    return AGAIN if failure.try_again else FAILED


def _engine(in_process: bool) -> str:
    if in_process:
        from jobs.inprocess import register
    else:
        from jobs.kernel import register
    return register()


def _end_with_the_runner() -> None:
    """Ends this process's group as soon as the runner's end of standard input is closed, even by a SIGKILL of the runner."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os.killpg(os.getpgid(0), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _failing_line(traceback: list[str]) -> str:
    """The cell's own line in a traceback as IPython writes it: the first one with an arrow in its last frame of a cell. What led to the error
    stands before it, and has frames of libraries alone."""
    text = COLOUR.sub("", "\n".join(traceback))
    found = ARROW.search(text, max(0, text.rfind(CELL)))
    return found["line"].strip() if found else ""


def _first_line(source: str) -> str:
    lines = [line.strip() for line in source.splitlines() if line.strip() and not line.strip().startswith("#")]
    return lines[0] if lines else ""


def _last_started(output: Path) -> tuple[int | None, str]:
    """The execution count and first line of the last code cell that was begun, from what was saved of the executed copy."""
    try:
        cells = json.loads(output.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError):
        return None, ""
    begun = [cell for cell in cells if cell["cell_type"] == "code" and cell["metadata"].get("papermill", {}).get("start_time")]
    return (len(begun), _first_line("".join(begun[-1]["source"]))) if begun else (None, "")
