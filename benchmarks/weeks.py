"""What one more week costs when ten are loaded and when a hundred are, what a notebook costs beside its code as a script, and a small query.

    python benchmarks/weeks.py [--weeks 10 100]

One more week is its load and a run of silver, gold, quality and features, online publication included, in this process on Sail: weeks of the same
size after few weeks and after many, in turn, each lake maintained once before them. The ratio is what counts. Targets: at most 1.3 times; a
stage's notebook at most 8 s more than its code as a script in a kernel and .1 s in this process; a query over a small table at a version 50 ms.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nbformat
from matplotlib import pyplot

from jobs import environment
from jobs.attempt import Place, attempt
from jobs.inprocess import environment as process_environment
from jobs.pipeline import STAGES
from jobs.runner import run
from lakehouse import settings as settings_module
from lakehouse.engine import Endpoint, start
from lakehouse.features.publish import publish_online
from lakehouse.ingest import load
from lakehouse.ingest.sample import write_sample
from lakehouse.medallion import silver
from lakehouse.settings import Settings
from lakehouse.tables import Lake, StageLake
from lakehouse.tables.maintenance import maintain
from lakehouse.tables.opening import begin_or_resume

TIMES = 5
PARTS = ["silver", "gold", "quality", "features"]
SILVER = next(stage for stage in STAGES if stage.name == "silver")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weeks", nargs=2, type=int, default=[10, 100], metavar=("FEW", "MANY"))
    few, many = parser.parse_args().weeks
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        truth = write_sample(raw, seed=7, weeks=many + TIMES, products=400, customers=6000)
        files = [raw / file.name for file in truth.files]
        settings = {count: chosen(Path(folder) / f"after-{count}") for count in (few, many)}
        endpoint = start(settings[few], Path(folder) / "endpoint")
        os.environ["SPARK_REMOTE"] = endpoint.url
        try:
            # The same files are the few and the newest of the many, so that both add weeks of one size.
            for count, chosen_for in settings.items():
                begin(chosen_for, files[many - count : many])
            seconds: dict[int, list[float]] = {count: [] for count in settings}
            for week, file in enumerate(files[many:]):
                for count, chosen_for in settings.items():
                    found = one_more_week(chosen_for, file)
                    if week:  # the first pays for what is loaded once
                        seconds[count].append(found)
            lines = sum(file.lines for file in truth.files[many:]) // TIMES
            told = {
                "lines_a_week": lines,
                "one_more_week_s": {str(count): round(statistics.median(found), 2) for count, found in seconds.items()},
                "one_more_week_ratio": round(statistics.median(seconds[many]) / statistics.median(seconds[few]), 2),
                **overhead(settings[many], endpoint),
                "small_query_ms": round(1000 * small_query(settings[many]), 1),
            }
        finally:
            endpoint.stop()
    told |= {"machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"}
    show(told)
    print(json.dumps(told))


def chosen(home: Path) -> Settings:
    return settings_module.load(
        home, "local", {"runner": {"in_process": True}, "vault": {"keys": "derived", "secret": "5e" * 32}}, environ={}
    )


def begin(settings: Settings, files: list[Path]) -> None:
    """A lake with these files, published, and maintained as the timetable in conf/ does every week."""
    with Lake(settings) as lake:
        for file in files:
            load(lake, file, "canonical")
    run(settings, PARTS)
    online(settings)
    with Lake(settings) as lake:
        maintain(lake)


def one_more_week(settings: Settings, file: Path) -> float:
    """Seconds until it is online."""
    began = time.perf_counter()
    with Lake(settings) as lake:
        load(lake, file, "canonical")
    run(settings, PARTS)
    online(settings)
    return time.perf_counter() - began


def online(settings: Settings) -> None:
    with Lake(settings) as lake:
        publish_online(lake)


def overhead(settings: Settings, endpoint: Endpoint) -> dict[str, float]:
    """Seconds of the stage silver over what its code takes as a script that draws the same figures: in a kernel, and in this process."""
    with Lake(settings, endpoint=replace(endpoint, process=None)) as lake, lake.lease("benchmark") as held:
        record = begin_or_resume(lake, None, held.token, stages=["silver"])
        given = {"run": record.id, "as_of": record.as_of.isoformat()}

        def notebook(in_process: bool) -> None:
            ways = settings.model_copy(update={"runner": settings.runner.model_copy(update={"in_process": in_process})})
            attempt(SILVER.notebook, given, place, ways, endpoint.url)

        place = Place(settings.home / "runs" / record.id, "silver")
        place.folder.mkdir(parents=True, exist_ok=True)
        cells = [cell.source for cell in nbformat.read(SILVER.notebook, as_version=4).cells if cell.cell_type == "code"]

        def script() -> None:
            with process_environment(environment.of_stage(settings, endpoint.url, place.result)):
                names: dict[str, object] = {}
                exec(cells[0], names)
                names |= given
                for cell in cells[1:]:
                    exec(cell, names)
                for number in pyplot.get_fignums():
                    pyplot.figure(number).savefig(io.BytesIO(), format="png", bbox_inches="tight")
                pyplot.close("all")

        def functions() -> None:
            with StageLake(settings, "silver", record.id) as stage:
                silver.build(stage)
                stage.finish()

        alone, beside, more = [], [], []
        for _ in range(9):  # in turn, since what is done takes ten times as long as what is looked for
            alone.append(seconds_of(script))
            took = seconds_of(lambda: notebook(True))
            beside.append(took - alone[-1])
            more.append(took - seconds_of(functions))
        kernel = statistics.median(seconds_of(lambda: notebook(False)) for _ in range(3))
        return {
            "notebook_in_a_kernel_s": round(kernel - statistics.median(alone), 2),
            "notebook_in_this_process_s": round(statistics.median(beside), 3),
            "notebook_beside_its_stage_alone_s": round(statistics.median(more), 3),
        }


def small_query(settings: Settings) -> float:
    """Seconds to read a table of a few hundred rows at its version, in an open session."""
    with Lake(settings) as lake:
        version = lake.version("gold.products")
        return statistics.median(seconds_of(lambda: lake.read("gold.products", version=version).toArrow()) for _ in range(21))


def seconds_of(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def show(told: dict[str, object]) -> None:
    rows = [
        ("one more week after many weeks, times after few", told["one_more_week_ratio"], 1.3),
        ("a notebook in a kernel beside its code as a script, s", told["notebook_in_a_kernel_s"], 8),
        ("a notebook in this process beside that, s", told["notebook_in_this_process_s"], 0.1),
        ("the same beside its stage's functions alone, s", told["notebook_beside_its_stage_alone_s"], 0.1),
        ("a small query at a version, ms", told["small_query_ms"], 50),
    ]
    print(f"{'what':<52}{'seen':>8}{'at most':>9}")
    for what, seen, most in rows:
        print(f"{what:<52}{seen:>8}{most:>9}{'' if float(str(seen)) <= most else '   over'}")


if __name__ == "__main__":
    main()
