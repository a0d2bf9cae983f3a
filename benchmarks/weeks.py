"""What one more week costs when ten are loaded and when a hundred are, what a notebook costs beside the functions that it calls, and a small query.

    python benchmarks/weeks.py [--weeks 10 100]

One more week is its load and a run of silver, gold, quality and features, online publication included, in this process on Sail: the same week's
size after few weeks and after many, the ratio is what counts. Targets: at most 1.3 times; a stage's notebook at most 8 s more than its functions
in a kernel and .1 s in this process; a query over a small table at a version 50 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from jobs.attempt import Place, attempt
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
from lakehouse.tables.opening import begin_or_resume

TIMES = 3
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
            seconds = {}
            for count in (few, many):
                # The same files are the few and the newest of the many, so that both add weeks of one size.
                begun = files[many - count : many]
                seconds[count] = one_more_week(settings[count], begun, files[many:])
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


def one_more_week(settings: Settings, begun: list[Path], more: list[Path]) -> list[float]:
    """Seconds of each of `more`, one after another, in a lake that has `begun`."""
    with Lake(settings) as lake:
        for file in begun:
            load(lake, file, "canonical")
    run(settings, PARTS)
    online(settings)
    found = []
    for file in more:
        began = time.perf_counter()
        with Lake(settings) as lake:
            load(lake, file, "canonical")
        run(settings, PARTS)
        online(settings)
        found.append(time.perf_counter() - began)
    return found


def online(settings: Settings) -> None:
    with Lake(settings) as lake:
        publish_online(lake)


def overhead(settings: Settings, endpoint: Endpoint) -> dict[str, float]:
    """Seconds of the stage silver, which has nothing to do: as a notebook in a kernel, as one in this process, and as its functions alone."""
    with Lake(settings, endpoint=replace(endpoint, process=None)) as lake, lake.lease("benchmark") as held:
        record = begin_or_resume(lake, None, held.token, stages=["silver"])
        given = {"run": record.id, "as_of": record.as_of.isoformat()}

        def notebook(in_process: bool) -> None:
            ways = settings.model_copy(update={"runner": settings.runner.model_copy(update={"in_process": in_process})})
            attempt(SILVER.notebook, given, Place(settings.home / "runs" / record.id, "silver"), ways, endpoint.url)

        def functions() -> None:
            with StageLake(settings, "silver", record.id) as stage:
                silver.build(stage)
                stage.finish()

        alone = median(functions)
        return {
            "notebook_in_a_kernel_s": round(median(lambda: notebook(False)) - alone, 2),
            "notebook_in_this_process_s": round(median(lambda: notebook(True)) - alone, 3),
        }


def small_query(settings: Settings) -> float:
    """Seconds to read a table of a few hundred rows at its version, in an open session."""
    with Lake(settings) as lake:
        version = lake.version("gold.products")
        return median(lambda: lake.read("gold.products", version=version).toArrow(), 21)


def median(work: Callable[[], object], times: int = 5) -> float:
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def show(told: dict[str, object]) -> None:
    rows = [
        ("one more week after many weeks, times after few", told["one_more_week_ratio"], 1.3),
        ("a notebook in a kernel beside its functions, s", told["notebook_in_a_kernel_s"], 8),
        ("a notebook in this process beside its functions, s", told["notebook_in_this_process_s"], 0.1),
        ("a small query at a version, ms", told["small_query_ms"], 50),
    ]
    print(f"{'what':<52}{'seen':>8}{'at most':>9}")
    for what, seen, most in rows:
        print(f"{what:<52}{seen:>8}{most:>9}{'' if float(str(seen)) <= most else '   over'}")


if __name__ == "__main__":
    main()
