"""What one more week costs when ten are loaded and when a hundred are, what a notebook costs over its functions, and a small query.

    python benchmarks/weeks.py [--weeks 10 100] [--json PATH --plot]

A week is a file that lands, a run of silver, gold, quality and features, and their publication online, in this process on Sail (kernels would add
the same to each week, and hide how it grows). All weeks are loaded and run one by one, and after each the lake is maintained, as the timetable in
conf/ does it weekly; maintenance is told apart, and `verify`, which changes nothing, is left out. Runs are ended, as they are once models are made.
Where that takes too long, `--together 50` lands the fifty weeks after the few as one, and says so. Two lakes, one with the few and one with the many,
then take the same new weeks in turn, the first of them uncounted. `--plot` draws the seconds of the many weeks, one by one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from matplotlib.figure import Figure as Drawing
from overhead import overhead
from report import TIMES, Figure, Spread, arguments, drawing, parser, tell

from jobs.runner import run
from lakehouse import settings as settings_module
from lakehouse.engine import start
from lakehouse.ingest import load
from lakehouse.ingest.sample import write_sample
from lakehouse.settings import Settings
from lakehouse.tables import Lake, runs
from lakehouse.tables.maintenance import maintain

OVER = {"functions": "", "machinery": " (in_process over script)"}
PARTS = ["silver", "gold", "quality", "features"]


@dataclass(frozen=True)
class Week:
    """Seconds of one week by step; a run puts its features online too. `maintain` is none of the week's own."""

    lines: int
    load: float
    run: float
    maintain: float

    @property
    def all(self) -> float:
        return self.load + self.run

    def as_json(self) -> dict[str, float]:
        return {step: round(value, 2) for step, value in asdict(self).items()}


def main() -> int:
    options = wanted()
    few, many = options.weeks
    with nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        truth = write_sample(raw, seed=7, weeks=many + options.times + 2, products=options.products, customers=options.customers)
        files = [(raw / file.name, file.lines) for file in truth.files]
        lakes = {count: chosen(Path(folder) / f"after-{count}") for count in (few, many)}
        endpoint = start(lakes[few], Path(folder) / "endpoint")
        os.environ["SPARK_REMOTE"] = endpoint.url
        try:
            print(f"{many} weeks, {many - options.together} of them one by one ...", flush=True)
            walked = {number: one_week(lakes[many], files[number - 1]) for number in range(1, few + 1)}
            if options.together:
                one_week(lakes[many], *files[few : few + options.together])
            walked |= {number: one_week(lakes[many], files[number - 1]) for number in range(few + options.together + 1, many + 1)}
            # The few are the newest of the many, so that both lakes take weeks of one size.
            for file in files[many - few : many]:
                one_week(lakes[few], file)
            more: dict[int, list[Week]] = {count: [] for count in lakes}
            for file in files[many:-1]:
                for count, settings in lakes.items():
                    more[count].append(one_week(settings, file))
            more = {count: weeks[1:] for count, weeks in more.items()}
            query = small_query(lakes[many])
            with Lake(lakes[many]) as lake:
                load(lake, files[-1][0], "canonical")
            stage = overhead(lakes[many], endpoint, options.times)
        finally:
            endpoint.stop()
    figures = [
        Figure(f"one more week after {many}, over one after {few}", ratio(more, few, many, "all"), TIMES, 1.3, 1.1),
        Figure("a notebook in a kernel over its functions, first of a run", stage["cold"].median, "s", 8, 3),
        Figure("a notebook in a kernel over its functions, within a run", stage["warm"].median, "s", 8, 3),
        Figure("a notebook in this process over its functions alone", stage["in_process"].median, "s", 0.1),
        Figure("a notebook in this process over all that its cells call", stage["machinery"].median, "s", 0.1),
        Figure("a small query at a version", query.median, "ms", 50, 20),
    ]
    measured = {
        "one_by_one": many - options.together,
        "lines_a_week": round(statistics.mean(week.lines for week in more[many])),
        "one_more_week_s": {
            str(count): {step: Spread.of([getattr(week, step) for week in weeks]).as_json() for step in ("all", "load", "run")}
            for count, weeks in more.items()
        },
        "ratios": {step: round(ratio(more, few, many, step), 3) for step in ("all", "load", "run")},
        "maintain_s": {str(count): round(statistics.median(week.maintain for week in weeks), 2) for count, weeks in more.items()},
        "notebook_over_functions_s": {name: spread.as_json() for name, spread in stage.items()},
        "small_query_ms": query.as_json(),
        "weeks": {number: week.as_json() for number, week in walked.items()},
    }
    for count, weeks in more.items():
        print(f"one more week after {count}: {steps(weeks)}")
    for name, spread in stage.items():
        print(f"stage silver, {name}{OVER.get(name, ' over functions')}: {spread} s")
    return tell("weeks", options, figures, measured, draw=lambda: drawn(walked))


def wanted() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--weeks", nargs=2, type=int, default=[10, 100], metavar=("FEW", "MANY"))
    made.add_argument("--times", type=int, default=5, help="weeks that are measured after those, and stages")
    made.add_argument("--products", type=int, default=400, help="of the sample")
    made.add_argument("--customers", type=int, default=6000, help="of the sample")
    made.add_argument("--together", type=int, default=0, metavar="WEEKS", help="so many after the few are loaded and run as one")
    made.add_argument("--keep", metavar="FOLDER", help="leaves the two lakes there, to look at or to profile")
    drawing(made)
    options = arguments(made)
    few, many = options.weeks
    if not 0 < few <= many - options.together:
        made.error(f"{few} weeks, {options.together} together, are no beginning of {many}")
    return options


def chosen(home: Path) -> Settings:
    return settings_module.load(
        home, "local", {"runner": {"in_process": True}, "vault": {"keys": "derived", "secret": "5e" * 32}}, environ={}
    )


def one_week(settings: Settings, *files: tuple[Path, int]) -> Week:
    """Loads and runs a week's file (or those of several, as one), until it is online, then maintains the lake. Ends the benchmark where the run saw
    another number of lines than the files hold."""
    began = time.perf_counter()
    with Lake(settings) as lake:
        for file, _ in files:
            load(lake, file, "canonical")
    loaded = time.perf_counter()
    report = run(settings, PARTS)
    ran = time.perf_counter()
    read, lines = report.stages[0].result["lines"], sum(lines for _, lines in files)
    if read != lines or not report.published:
        raise SystemExit(f"the files hold {lines} lines, and the run read {read}; published: {report.published}")
    with Lake(settings) as lake:
        runs.end(lake.ops, report.run)
        maintain(lake)
    return Week(lines, loaded - began, ran - loaded, time.perf_counter() - ran)


def ratio(more: dict[int, list[Week]], few: int, many: int, step: str) -> float:
    """Of the medians."""
    late, early = (statistics.median(getattr(week, step) for week in more[count]) for count in (many, few))
    return late / early


def steps(weeks: list[Week]) -> str:
    spreads = {step: Spread.of([getattr(week, step) for week in weeks], 2) for step in ("all", "load", "run")}
    return "; ".join(f"{step} {spread.median} s ({spread.minimum} to {spread.maximum})" for step, spread in spreads.items())


def small_query(settings: Settings) -> Spread:
    """Milliseconds to read a table of a few hundred rows at its version, in an open session."""
    with Lake(settings) as lake:
        version = lake.version("gold.products")
        measured = []
        for _ in range(21):
            began = time.perf_counter()
            lake.read("gold.products", version=version).toArrow()
            measured.append(1000 * (time.perf_counter() - began))
    return Spread.of(measured, 1)


def drawn(walked: dict[int, Week]) -> Drawing:
    """Seconds of each week by what took them, and below how many lines it had."""
    numbers, weeks = list(walked), list(walked.values())
    picture = Drawing(figsize=(9, 5))
    above, below = picture.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    above.stackplot(
        numbers,
        [week.load for week in weeks],
        [week.run for week in weeks],
        labels=["load", "run: silver to online features"],
        alpha=0.8,
    )
    above.plot(numbers, [week.maintain for week in weeks], color="black", linewidth=0.8, linestyle=":", label="maintenance, not counted")
    above.set_ylabel("seconds")
    above.set_title("One more week, by how many are there already")
    above.set_ylim(0, 1.3 * max(week.all for week in weeks))
    above.legend(loc="upper left", ncols=2)
    below.bar(numbers, [week.lines for week in weeks], color="grey")
    below.set_ylabel("lines")
    below.set_xlabel("week")
    below.xaxis.get_major_locator().set_params(integer=True)
    return picture


if __name__ == "__main__":
    sys.exit(main())
