"""One attempt at one notebook: parameters checked, process started, deadline kept, result read."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs import environment
from jobs.nursery import Nursery
from jobs.outcome import FULL, Failure, killed, read_failure, read_result
from jobs.parameters import checked
from lakehouse.errors import DiskFull, ProcessKilled
from lakehouse.settings import Settings

Result = dict[str, object]


@dataclass(frozen=True)
class Place:
    """Where the files of one stage of a run lie. All are in the run's folder."""

    folder: Path
    stage: str

    @property
    def notebook(self) -> Path:
        """The executed copy."""
        return self.folder / f"{self.stage}.ipynb"

    @property
    def result(self) -> Path:
        """What the notebook declared with `lake.finish`."""
        return self.folder / f"{self.stage}.result.json"

    @property
    def failure(self) -> Path:
        """What stopped it, as the process that ran it says."""
        return self.folder / f"{self.stage}.failure.json"

    @property
    def log(self) -> Path:
        """What that process and its kernel printed."""
        return self.folder / f"{self.stage}.log"


def attempt(
    notebook: Path,
    given: Mapping[str, object],
    place: Place,
    settings: Settings,
    remote: str,
    nursery: Nursery | None = None,
) -> Result | Failure:
    """The result that the notebook declared, or what stopped it.

    `remote` is the endpoint's URL; without a `nursery` the notebook runs inside this process. Raises `UnknownName` or `InputError` for a
    parameter that the notebook does not take, before anything is started.
    """
    parameters = checked(notebook, given)
    place.folder.mkdir(parents=True, exist_ok=True)
    for old in (place.result, place.failure):
        old.unlink(missing_ok=True)
    own = environment.of_stage(settings, remote, place.result)
    if nursery is None:
        failure = _in_process(notebook, parameters, place, own)
    else:
        failure = _in_kernel(notebook, parameters, place, own, settings.runner.deadline_s, nursery)
    if failure is not None:
        return failure
    found = read_result(place.result)
    if found is None:
        return Failure("StageFailed", "it ended without declaring a result. Its last cell must call lake.finish(…)")
    return found


def _in_process(notebook: Path, parameters: Mapping[str, object], place: Place, own: Mapping[str, str]) -> Failure | None:
    from jobs.execute import execute
    from jobs.inprocess import environment as process_environment

    with process_environment(own):
        return execute(notebook, place.notebook, parameters, in_process=True)


def _in_kernel(
    notebook: Path, parameters: Mapping[str, object], place: Place, own: Mapping[str, str], deadline_s: float, nursery: Nursery
) -> Failure | None:
    job = {"notebook": str(notebook), "output": str(place.notebook), "failure": str(place.failure), "parameters": dict(parameters)}
    try:
        code = nursery.run(job, own, place.log, deadline_s)
    except subprocess.TimeoutExpired:  # not tried again: what hangs would most likely hang again, for as long
        return Failure("StageFailed", f"it ran longer than its deadline of {deadline_s:g} s (runner.deadline_s) and was ended")
    if code == 0:
        return None
    if code == FULL:
        full = DiskFull.behind(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place.folder)))
        return Failure(DiskFull.__name__, str(full))
    if code is None:
        return Failure(ProcessKilled.__name__, f"the process that stages are forked from has ended. {_last_lines(nursery.log)}")
    said = read_failure(place.failure)
    if said is not None:
        return said
    if code < 0:
        return Failure(ProcessKilled.__name__, f"{killed('its process', code)}. {_last_lines(place.log)}")
    return Failure("StageFailed", f"its process ended with code {code}. {_last_lines(place.log)}")


def _last_lines(log: Path) -> str:
    said = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:] if log.exists() else []
    return "\n".join([f"Its log ({log}) ends with:", *said])
