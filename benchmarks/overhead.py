"""What a stage costs as a notebook, over calling what the notebook calls: in a kernel of its own, as a run starts one, and in this process."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial, wraps
from pathlib import Path
from unittest.mock import patch

import nbformat
from matplotlib import pyplot
from report import Spread

import lakehouse
from jobs import environment
from jobs.attempt import Place, attempt
from jobs.inprocess import drawn_once
from jobs.inprocess import environment as process_environment
from jobs.nursery import Nursery
from jobs.outcome import Failure
from jobs.pipeline import STAGES
from lakehouse.engine import Endpoint
from lakehouse.ingest import answers
from lakehouse.medallion import silver
from lakehouse.settings import Settings
from lakehouse.tables import Lake, StageLake
from lakehouse.tables.opening import begin_or_resume

# What the notebook calls: by whom it is found there, and its name.
CALLED: tuple[tuple[object, str], ...] = ((lakehouse, "stage"), (answers, "land_answers"), (silver, "build"), (StageLake, "finish"))
SILVER = next(stage for stage in STAGES if stage.name == "silver")


def overhead(settings: Settings, endpoint: Endpoint, times: int) -> dict[str, Spread]:
    """Seconds of the stage silver over those of its functions, in turn, `times` times; the lake's newest lines must not be in silver yet.

    `cold`: in a kernel, with the start of the process that kernels are forked from; `warm`: in a kernel forked from one that is there, as all stages
    of a run but the first; `in_process`; `script`: the notebook's own cells, run here without Papermill, two queries and a figure included;
    `machinery`: the notebook in this process over that script, which is what Papermill, the shell and the executed copy cost.
    `functions` is what all are compared with: opening the stage, landing answers, building silver and declaring the result. Where they run in this
    process, their seconds are taken out of the same execution: from one to the next they differ by as much as what is measured. Raises SystemExit
    where a stage fails, did not do what the functions did, or ran in another process than it should.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        Lake(settings, endpoint=replace(endpoint, process=None)) as lake,
        lake.lease("benchmark") as held,
    ):
        record = begin_or_resume(lake, None, held.token, stages=["silver"])
        stage = _Stage(settings, endpoint.url, settings.home / "runs" / record.id, record.id, record.as_of.isoformat())
        stage.prepare(Path(folder) / "silver.ipynb")
        stage.functions()  # what is imported once is there
        stage.in_process()
        rounds: dict[str, list[float]] = {name: [] for name in ("functions", "script", "in_process", "machinery", "cold", "warm")}
        for _ in range(times):
            functions = _seconds(stage.functions)
            rounds["functions"].append(functions)
            rounds["script"].append(_beside_functions(stage.script))
            rounds["in_process"].append(_beside_functions(stage.in_process))
            rounds["machinery"].append(rounds["in_process"][-1] - rounds["script"][-1])
            began = time.perf_counter()
            with Nursery(stage.folder, (one.name for one in STAGES)) as nursery:
                stage.in_kernel(nursery)
                rounds["cold"].append(time.perf_counter() - began - functions)
                rounds["warm"].append(_seconds(partial(stage.in_kernel, nursery)) - functions)
    return {name: Spread.of(found) for name, found in rounds.items()}


class _Stage:
    """The stage silver of one run, again and again: it puts its tables back to what they were before it each time."""

    def __init__(self, settings: Settings, remote: str, folder: Path, run: str, as_of: str) -> None:
        self.settings, self.remote, self.folder = settings, remote, folder
        self.given = {"run": run, "as_of": as_of}
        self.place = Place(folder, "silver")
        self.expected: Mapping[str, object] | None = None

    def prepare(self, notebook: Path) -> None:
        """A copy of the notebook that also says which process it runs in."""
        self.folder.mkdir(parents=True, exist_ok=True)
        read = nbformat.read(SILVER.notebook, as_version=4)
        self.cells = [cell.source for cell in read.cells if cell.cell_type == "code"]
        read.cells.append(nbformat.v4.new_code_cell("import os\n\nprint(os.getpid())"))
        nbformat.write(read, notebook)
        self.notebook = notebook

    def functions(self) -> None:
        with StageLake(self.settings, "silver", self.given["run"], self.given["as_of"]) as stage:
            landed = answers.land_answers(stage)
            report = asdict(silver.build(stage))
            stage.finish(answers=landed, **report)
        if not report["lines"]:
            raise SystemExit("the stage that is measured found no new lines")
        self.expected = {"answers": landed, **report}

    def script(self) -> None:
        with process_environment(environment.of_stage(self.settings, self.remote, self.place.result)):
            names: dict[str, object] = {}
            exec(self.cells[0], names)
            names |= self.given
            for cell in self.cells[1:]:
                exec(cell, names)
            for number in pyplot.get_fignums():
                drawn_once(pyplot.figure(number))
            pyplot.close("all")

    def in_process(self) -> None:
        if self._attempt(None) != os.getpid():
            raise SystemExit("the notebook that was to run in this process ran in another")

    def in_kernel(self, nursery: Nursery) -> None:
        if self._attempt(nursery) == os.getpid():
            raise SystemExit("the notebook that was to run in a kernel ran in this process")

    def _attempt(self, nursery: Nursery | None) -> int:
        """Runs the notebook as a run does, and returns the number of the process that its cells ran in."""
        found = attempt(self.notebook, self.given, self.place, self.settings, self.remote, nursery)
        if isinstance(found, Failure):
            raise SystemExit(f"the stage that is measured failed: {found.error}: {found.message}")
        if found != self.expected:
            raise SystemExit(f"the notebook did otherwise than its functions: {found}, and {self.expected}")
        executed = nbformat.read(self.place.notebook, as_version=4)
        return int(executed.cells[-1].outputs[0].text)


def _beside_functions(work: Callable[[], object]) -> float:
    """Seconds of the notebook's cells, without those within the functions that they call."""
    within = []

    def timed(function: Callable[..., object]) -> Callable[..., object]:
        @wraps(function)
        def called(*given: object, **named: object) -> object:
            began = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                within.append(time.perf_counter() - began)

        return called

    with ExitStack() as stack:
        for owner, name in CALLED:
            stack.enter_context(patch.object(owner, name, timed(getattr(owner, name))))
        seconds = _seconds(work)
    if len(within) != len(CALLED):
        raise SystemExit(f"the notebook called {len(within)} of the functions that it is compared with, expected {len(CALLED)}")
    return seconds - sum(within)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
