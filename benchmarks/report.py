"""What every benchmark tells, in one shape: a table of figures with what must be and what is aimed at, then JSON, then an exit code.

The code is 1 where answers that should be the same differ, or where a ratio misses what must be; times and memory depend on the machine, and say
only that they missed. JSON is the last line of what is printed; `--json PATH` writes it into a file too, `--plot` draws beside that file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure as Drawing

TIMES = "times"  # the unit of a ratio


@dataclass(frozen=True)
class Figure:
    """One figure. `must` and `goal` are bounds in `unit`: at most, or `at_least`; None where nobody set one. `seen` is None where this machine can't
    measure it."""

    what: str
    seen: float | None
    unit: str
    must: float | None = None
    goal: float | None = None
    at_least: bool = False

    def meets(self, bound: float | None) -> bool | None:
        """None where there is nothing to meet, or nothing that could."""
        if self.seen is None or bound is None:
            return None
        return self.seen >= bound if self.at_least else self.seen <= bound

    @property
    def is_missed_ratio(self) -> bool:
        return self.unit == TIMES and self.meets(self.must) is False

    def as_json(self) -> dict[str, object]:
        bound = "at least" if self.at_least else "at most"
        return {
            "what": self.what,
            "seen": self.seen,
            "unit": self.unit,
            "bound": bound,
            "must": self.must,
            "must_met": self.meets(self.must),
            "goal": self.goal,
            "goal_met": self.meets(self.goal),
        }


@dataclass(frozen=True)
class Spread:
    """Of what was measured several times."""

    minimum: float
    median: float
    maximum: float
    times: int

    @classmethod
    def of(cls, measured: Sequence[float], digits: int = 3) -> Spread:
        found = (min(measured), statistics.median(measured), max(measured))
        low, middle, high = (round(one, digits) for one in found)
        return cls(low, middle, high, len(measured))

    def __str__(self) -> str:
        return f"{self.median:g} ({self.minimum:g} to {self.maximum:g}, {self.times} times)"

    def as_json(self) -> dict[str, float]:
        return {"minimum": self.minimum, "median": self.median, "maximum": self.maximum, "times": self.times}


def parser(about: str | None) -> argparse.ArgumentParser:
    """Of a benchmark's arguments, with those that all of them take."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", type=Path, metavar="PATH", help="write what the last line says into this file too")
    return made


def drawing(made: argparse.ArgumentParser) -> None:
    """Lets the benchmark be asked for a picture."""
    made.add_argument("--plot", action="store_true", help="draw it, into a PNG beside the file of --json")


def arguments(made: argparse.ArgumentParser) -> argparse.Namespace:
    options = made.parse_args()
    if getattr(options, "plot", False) and options.json is None:
        made.error("--plot draws beside the file of --json, and that was not named. Add: --json PATH")
    return options


def tell(
    name: str,
    options: argparse.Namespace,
    figures: Sequence[Figure],
    measured: Mapping[str, object],
    differing: Sequence[str] = (),
    draw: Callable[[], Drawing] | None = None,
) -> int:
    """Prints the table and the JSON, writes and draws what was asked for, and returns the exit code.

    `measured` is what else was seen; `differing` says of each pair of answers that should be the same and are not what differs.
    """
    for line in table(figures):
        print(line)
    for one in differing:
        print(f"DIFFERENT: {one}")
    missed = [one.what for one in figures if one.is_missed_ratio]
    told = {
        "benchmark": name,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}",
        "figures": [one.as_json() for one in figures],
        "differing": list(differing),
        "measured": dict(measured),
    }
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        if draw is not None and options.plot:
            draw().savefig(options.json.with_suffix(".png"), dpi=120, bbox_inches="tight")
    print(json.dumps(told), flush=True)
    return 1 if differing or missed else 0


def table(figures: Sequence[Figure]) -> list[str]:
    """One line per figure: what was seen, what must be, the goal, and whether each is met."""
    rows = [("", "seen", "must", "", "goal", "")]
    for one in figures:
        rows.append(
            (
                one.what,
                "not here" if one.seen is None else f"{_plain(one.seen)} {one.unit}",
                _bound(one, one.must),
                _met(one.meets(one.must)),
                _bound(one, one.goal),
                _met(one.meets(one.goal)),
            )
        )
    widths = [max(len(row[place]) for row in rows) for place in range(6)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _bound(one: Figure, bound: float | None) -> str:
    return "-" if bound is None else f"{'>=' if one.at_least else '<='} {_plain(bound)}"


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _met(is_met: bool | None) -> str:
    return "" if is_met is None else "met" if is_met else "MISSED"
