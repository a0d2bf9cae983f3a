"""Runs the stages of a run, one notebook after another, under the lake's lease, all against one endpoint.

A run publishes through its notebooks alone: after the features, and again after the predictions. A stage that fails or is killed leaves the
newest snapshot as it was. Running again goes on with the first stage that is not done.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jobs import pipeline, processes
from jobs.attempt import Place, Result, attempt
from jobs.nursery import Nursery
from jobs.outcome import Failure, error_class
from jobs.parameters import checked
from jobs.pipeline import Stage
from jobs.progress import Event, Progress, silent
from lakehouse.errors import InputError, ProcessKilled, StageFailed, StateError, TryAgain, UnknownName, ZeromarginError
from lakehouse.registry import publishing
from lakehouse.settings import Settings
from lakehouse.tables import Lake, delta, runs
from lakehouse.tables.catalog import BRONZE
from lakehouse.tables.lease import Lease
from lakehouse.tables.opening import begin_or_resume
from lakehouse.tables.runs import Run

ENGINES = ("sail", "spark")
log = logging.getLogger(__name__)
LONGEST = 2000  # characters of an engine's message that are shown; the executed notebook has them all


@dataclass(frozen=True)
class StageReport:
    """How one stage went. Skipped: an earlier attempt of the same run had done it."""

    name: str
    skipped: bool
    seconds: float
    result: dict[str, object]
    notebook: Path


@dataclass(frozen=True)
class RunReport:
    """How a run went. `snapshot` is what is published now, None where nothing is yet; `published` whether it is of this run; `waiting` how many
    files have landed that are not in it."""

    run: str
    as_of: datetime
    moment: datetime
    engine: str
    back_test: bool
    snapshot: int | None
    published: bool
    waiting: int
    stages: tuple[StageReport, ...]


def run(
    settings: Settings,
    stages: Iterable[str] | None = None,
    as_of: str | None = None,
    engine: str | None = None,
    from_bronze: bool = False,
    progress: Progress = silent,
    dropped: Collection[str] = (),
) -> RunReport:
    """Runs the whole pipeline, or the named stages and those before them that the run has not done yet, and says how it went. `from_bronze`: makes
    every derived table anew, those that were lost too, and those whose history is `dropped`.

    Raises `UnknownName` for a stage, an engine or a parameter that is not there, `LeaseHeld` when somebody else is writing, `GateFailed` or
    `StageFailed` with the cell, the message and the executed notebook when a stage fails. Nothing that failed is published.
    """
    named = tuple(stages or ())
    wanted = pipeline.chosen(named)
    if engine is not None:
        if engine not in ENGINES:
            raise UnknownName("engine", engine, ENGINES)
        settings = settings.model_copy(update={"engine": engine})
    for stage in wanted:
        checked(stage.notebook, {"run": "", "as_of": ""})
    purpose = f"run {' '.join(named)}".strip()
    with Lake(settings) as lake, lake.lease(purpose) as lease:
        # Whoever held the lease before us is gone; what it started may not be.
        processes.end_marked(settings.home / "runs")
        lake.sweep()
        record = begin_or_resume(
            lake, as_of, lease.token, named, from_bronze, dropped, lambda said: progress(Event("prepared", message=said))
        )
        if record.back_test and named and not wanted[-1].looks_back:
            runs.end(lake.ops, record.id, "abandoned")
            back = ", ".join(stage.name for stage in pipeline.STAGES if stage.looks_back)
            raise InputError(
                f"a run as of {record.as_of:%Y-%m-%d} looks back to before the newest snapshot and writes no table, so stage {wanted[-1].name} "
                f"has no part in it. Stages that do: {back}"
            )
        with _nursery(lake, lease, record, wanted) as nursery:
            return _Going(lake, lease, record, progress, nursery).through(wanted[-1], again=frozenset(named))


def run_folder(settings: Settings, run_id: str) -> Path:
    """Where a run's executed notebooks, results and reports lie."""
    return settings.home / "runs" / run_id


@contextlib.contextmanager
def _nursery(lake: Lake, lease: Lease, record: Run, ahead: Iterable[Stage]) -> Iterator[Nursery | None]:
    """Where the notebooks' processes come from, started already, since the endpoint takes its time too; None where they run in this process."""
    if lake.settings.runner.in_process:
        yield None
        return
    with Nursery(run_folder(lake.settings, record.id), (stage.name for stage in ahead), lease.add_group) as nursery:
        nursery.start()
        yield nursery


class _Going:
    """One run under way."""

    def __init__(self, lake: Lake, lease: Lease, record: Run, progress: Progress, nursery: Nursery | None) -> None:
        self.lake, self.lease, self.record, self.progress, self.nursery = lake, lease, record, progress, nursery
        self.stages = tuple(stage for stage in pipeline.STAGES if stage.looks_back or not record.back_test)
        self.folder = run_folder(lake.settings, record.id)

    def through(self, last: Stage, again: frozenset[str]) -> RunReport:
        """Every stage up to `last` that is not done, and those in `again` though they are."""
        ahead = self.stages[: self.stages.index(last) + 1] if last in self.stages else ()
        reports = []
        for number, stage in enumerate(ahead, 1):
            done = self._done()
            if stage.name in done and stage.name not in again:
                self._keep_notebook(stage, done[stage.name])
                self.progress(Event("skipped", stage.name, number, len(ahead)))
                reports.append(StageReport(stage.name, True, 0.0, done[stage.name], self._place(stage).notebook))
            else:
                reports.append(self._stage(stage, number, len(ahead)))
        if {stage.name for stage in self.stages} <= set(self._done()):
            runs.end(self.lake.ops, self.record.id)
        published = self.lake.snapshot()
        return RunReport(
            run=self.record.id,
            as_of=self.record.as_of,
            moment=self.record.moment,
            engine=self.lake.settings.engine,
            back_test=self.record.back_test,
            snapshot=None if published is None else published.id,
            published=published is not None and published.run == self.record.id,
            waiting=self._waiting(),
            stages=tuple(reports),
        )

    def _stage(self, stage: Stage, number: int, total: int) -> StageReport:
        """Runs one stage, as often as its failures say that it may pass on another try."""
        ops, place, began, tries = self.lake.ops, self._place(stage), time.monotonic(), 0
        self._outdate_later(stage)
        while True:
            self.lease.check()
            self.progress(Event("started", stage.name, number, total))
            runs.start_stage(ops, self.record.id, stage.name)
            outcome = self._attempt(stage)
            runs.set_notebook(ops, self.record.id, stage.name, str(place.notebook))
            seconds = time.monotonic() - began
            if not isinstance(outcome, Failure):
                self._keep_notebook(stage, outcome)
                self.progress(Event("done", stage.name, number, total, seconds))
                return StageReport(stage.name, False, seconds, outcome, place.notebook)
            if not outcome.try_again or tries == self.lake.settings.runner.retries:
                break
            tries += 1
            self.progress(Event("again", stage.name, number, total, seconds, outcome.message))
            self._revive_endpoint(outcome)
        error = self._error(stage, outcome, place)
        runs.fail_stage(ops, self.record.id, stage.name, str(error), str(place.notebook))
        self.progress(Event("failed", stage.name, number, total, seconds, outcome.message))
        raise error

    def _attempt(self, stage: Stage) -> Result | Failure:
        given = {"run": self.record.id, "as_of": self.record.as_of.isoformat()}
        try:
            remote = self.lake.endpoint.url
        except TryAgain as error:
            return Failure(type(error).__name__, str(error))
        return attempt(stage.notebook, given, self._place(stage), self.lake.settings, remote, self.nursery)

    def _keep_notebook(self, stage: Stage, result: Result) -> None:
        """Puts the executed notebook beside the model version that it registered; a run broken off before that does it when it goes on."""
        version = result.get("version")
        if isinstance(version, str):
            try:
                publishing.attach_notebook(self.lake.settings, stage.name, version, self._place(stage).notebook)
            except Exception as error:  # what the stage has made is there; the notebook lies in the run's folder
                log.warning(
                    "the notebook of %s can't be put beside its model now: %s. It lies in %s",
                    stage.name,
                    error,
                    self._place(stage).notebook,
                )

    def _waiting(self) -> int:
        """Files that landed after the run had begun. One that goes on with stages by name leaves them to the next run."""
        if self.record.back_test:
            return 0
        path = self.lake.path(BRONZE)
        landed, read = (delta.partition_values(path, "file_digest", version) for version in (None, self.record.bronze))
        return len(landed - read)

    def _done(self) -> dict[str, dict[str, object]]:
        return {stage.name: stage.result for stage in runs.stage_runs(self.lake.ops, self.record.id) if stage.state == "done"}

    def _outdate_later(self, stage: Stage) -> None:
        """What later stages had made from what this one is about to make anew counts no longer."""
        done = self._done()
        for later in self.stages[self.stages.index(stage) + 1 :]:
            if later.name in done:
                runs.fail_stage(self.lake.ops, self.record.id, later.name, f"out of date: stage {stage.name} ran again")

    def _revive_endpoint(self, failure: Failure) -> None:
        """Has another endpoint started where ours has died, or may still write what a killed process had asked for; one that was given to us is
        not ours to start."""
        with contextlib.suppress(TryAgain):  # one that can't be started is told of by the next attempt
            process = self.lake.endpoint.process
            if process is not None and (process.poll() is not None or failure.error == ProcessKilled.__name__):
                self.lake.close()

    def _place(self, stage: Stage) -> Place:
        return Place(self.folder, stage.name)

    def _error(self, stage: Stage, failure: Failure, place: Place) -> ZeromarginError:
        """The failure as what it is to whoever started the run: a gate that said no, something to try again, or a stage that failed."""
        message = failure.message if len(failure.message) <= LONGEST else f"{failure.message[:LONGEST]} …"
        published = self.lake.snapshot()
        is_ours = published is not None and published.run == self.record.id
        text = (
            f"stage {stage.name} failed in {failure.place}: {message}\n"
            f"{failure.error}; the executed notebook: {place.notebook}\n"
            f"{f'Snapshot {published.id}, which this run has published, stands.' if published and is_ours else 'Nothing of it was published.'}"
            " Running again goes on from this stage: zeromargin run"
        )
        kind = error_class(failure.error)
        if issubclass(kind, TryAgain) or (issubclass(kind, StateError) and kind is not StateError):
            return kind(text)
        return StageFailed(text)
