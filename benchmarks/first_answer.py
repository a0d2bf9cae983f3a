"""From the raw file to the first served answer, on each engine: seconds by step, the memory of all processes together, and equal tables.

    python benchmarks/first_answer.py [--engines sail spark] [--data FILE --source NAME] [--json PATH]

The bounds are for 2 cores with Sail and Online Retail II. Homes are made anew in a temporary folder, with derived customer keys, so that
the digests of both engines can be compared. Spark needs Java 17 and `make jars`; left out, --engines is what this machine can run.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from memory import Memory
from processes import ROOT, rows, serving, zeromargin
from report import Figure, arguments, parser, tell

import lakehouse
from lakehouse.engine.commands import missing_for_spark
from lakehouse.tables import catalog

REAL = ROOT.parent / "shared" / "data" / "online_retail_ii.parquet"
DERIVED = [table.name for table in catalog.load().values() if table.kind == "derived"]


@dataclass(frozen=True)
class Measured:
    """What one engine took, the steps one after another, and of the run its stages, in seconds."""

    seconds: float
    memory_gb: float
    steps: dict[str, float]
    stages: dict[str, float]


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--engines", nargs="+", choices=("sail", "spark"), default=["sail"] if missing_for_spark() else ["sail", "spark"])
    made.add_argument("--data", type=Path, default=REAL)
    made.add_argument("--source", default="online-retail-ii")
    options = arguments(made)
    os.environ |= {"ZEROMARGIN_VAULT__KEYS": "derived", "ZEROMARGIN_VAULT__SECRET": "5e" * 32}
    tables, models, measured = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for engine in options.engines:
            home = Path(folder) / engine / "home"
            os.environ["ZEROMARGIN_ENGINE"] = engine
            measured[engine] = measure(home, engine, options.data, options.source)
            tables[engine], models[engine] = derived_digests(home), model_digests(home)
    differing = []
    if len(options.engines) == 2:
        differing = [*compare("derived tables", tables), *compare("models", models)]
    sail = measured.get("sail")
    figures = [
        Figure("from the file to the first answer, Sail", None if sail is None else sail.seconds, "s", 300, 120),
        Figure("memory of all processes together, Sail", None if sail is None else sail.memory_gb, "GB", 4),
    ]
    return tell("first_answer", options, figures, {engine: asdict(found) for engine, found in measured.items()}, differing)


def derived_digests(home: Path) -> dict[str, str]:
    """The content digest of every derived table, computed by the engine that made it."""
    with lakehouse.open(home) as lake:
        return {name: lake.digest(name).digest for name in DERIVED}


def model_digests(home: Path) -> dict[str, str]:
    return {model["name"]: model["digest"] for model in json.loads(zeromargin(home, "models", "--json"))}


def compare(what: str, digests: dict[str, dict[str, str]]) -> list[str]:
    """Prints how many digests are the same on both engines, and returns what to say of those that are not."""
    one, other = digests["sail"], digests["spark"]
    differ = [name for name in sorted(one | other) if one.get(name) != other.get(name)]
    print(f"{what} with equal digests on both engines: {len(one | other) - len(differ)} of {len(one | other)}")
    return [f"{what} of both engines: {', '.join(differ)}"] if differ else []


def measure(home: Path, engine: str, data: Path, source: str) -> Measured:
    """Loads, runs, serves and asks on a fresh home; prints what each step took."""
    steps: dict[str, float] = {}
    with Memory() as memory:
        began = time.monotonic()
        with step(steps, f"{engine}: load"):
            zeromargin(home, "load", str(data), "--source", source)
        with step(steps, f"{engine}: run"):
            report = json.loads(zeromargin(home, "run", "--json"))
        for stage in report["stages"]:
            print(f"    {stage['name']:<16} {stage['seconds']:6.1f} s")
        with step(steps, f"{engine}: serve, until the first answer"):
            answer = first_answer(home)
        seconds = time.monotonic() - began
    print(
        f"{engine}: answered by {answer['model']['name']} version {answer['model']['version']}, fallback {answer['fallback']}", flush=True
    )
    stages = {stage["name"]: round(stage["seconds"], 1) for stage in report["stages"]}
    return Measured(round(seconds, 1), round(memory.peak / 1e9, 2), steps, stages)


@contextmanager
def step(steps: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    steps[name] = round(time.monotonic() - began, 1)
    print(f"{name}: {steps[name]} s", flush=True)


def first_answer(home: Path) -> dict[str, dict[str, str]]:
    product = rows(home, "SELECT product_code FROM gold.products ORDER BY lines DESC, product_code LIMIT 1", 1)[0]["product_code"]
    with serving(home) as server:
        body = json.dumps({"product": product}).encode()
        url = f"http://127.0.0.1:{server.port}/v1/forecast"
        with urllib.request.urlopen(urllib.request.Request(url, body, {"content-type": "application/json"}), timeout=10) as reply:
            found: dict[str, dict[str, str]] = json.load(reply)
            return found


if __name__ == "__main__":
    sys.exit(main())
