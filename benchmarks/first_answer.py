"""From the raw file to the first served answer, on each engine: seconds by step, the memory of all processes together, and equal tables.

    python benchmarks/first_answer.py [--engines sail spark] [--data FILE --source NAME]

Targets on 2 cores with Sail and Online Retail II: 300 s and 4 GB. Homes are made anew in a temporary folder, with derived customer keys, so that
the digests of both engines can be compared. Spark needs Java 17 and `make jars`; left out, --engines is what this machine can run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from processes import ROOT, rows, serving, zeromargin

import lakehouse
from lakehouse.engine.commands import missing_for_spark
from lakehouse.tables import catalog

REAL = ROOT.parent / "shared" / "data" / "online_retail_ii.parquet"
EVERY_S = 0.5
SECONDS, BYTES = 300, 4e9
DERIVED = [table.name for table in catalog.load().values() if table.kind == "derived"]


class Memory:
    """The most that this process and all below it have held at once, in bytes: shared pages are counted once (PSS)."""

    def __init__(self) -> None:
        self.peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(EVERY_S):
            total = 0
            for process in me.children(recursive=True):
                try:
                    total += process.memory_full_info().pss
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
            self.peak = max(self.peak, total)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", choices=("sail", "spark"), default=["sail"] if missing_for_spark() else ["sail", "spark"])
    parser.add_argument("--data", type=Path, default=REAL)
    parser.add_argument("--source", default="online-retail-ii")
    options = parser.parse_args()
    os.environ |= {"ZEROMARGIN_VAULT__KEYS": "derived", "ZEROMARGIN_VAULT__SECRET": "5e" * 32}
    tables, models = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for engine in options.engines:
            home = Path(folder) / engine / "home"
            os.environ["ZEROMARGIN_ENGINE"] = engine
            measure(home, engine, options.data, options.source)
            tables[engine], models[engine] = derived_digests(home), model_digests(home)
    if len(options.engines) == 2:
        compare("derived tables", tables)
        compare("models", models)
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.machine()}")


def derived_digests(home: Path) -> dict[str, str]:
    """The content digest of every derived table, computed by the engine that made it."""
    with lakehouse.open(home) as lake:
        return {name: lake.digest(name).digest for name in DERIVED}


def model_digests(home: Path) -> dict[str, str]:
    return {model["name"]: model["digest"] for model in json.loads(zeromargin(home, "models", "--json"))}


def compare(what: str, digests: dict[str, dict[str, str]]) -> None:
    """Prints how many digests are the same on both engines, and which are not."""
    one, other = digests["sail"], digests["spark"]
    differ = [name for name in sorted(one | other) if one.get(name) != other.get(name)]
    print(f"{what} with equal digests on both engines: {len(one | other) - len(differ)} of {len(one | other)}; others: {differ or 'none'}")


def measure(home: Path, engine: str, data: Path, source: str) -> None:
    """Loads, runs, serves and asks on a fresh home; prints what each step took."""
    with Memory() as memory:
        began = time.monotonic()
        with step(f"{engine}: load"):
            zeromargin(home, "load", str(data), "--source", source)
        with step(f"{engine}: run"):
            report = json.loads(zeromargin(home, "run", "--json"))
        for stage in report["stages"]:
            print(f"    {stage['name']:<16} {stage['seconds']:6.1f} s")
        with step(f"{engine}: serve, until the first answer"):
            answer = first_answer(home)
        seconds = time.monotonic() - began
    met = "met" if seconds <= SECONDS and memory.peak <= BYTES else "missed"
    target = f"; at most {SECONDS} s and 4 GB: {met}" if engine == "sail" else ""
    print(f"{engine}: answered by {answer['model']['name']} version {answer['model']['version']}, fallback {answer['fallback']}")
    print(f"{engine}: in all {seconds:.0f} s; all processes together {memory.peak / 1e9:.2f} GB{target}", flush=True)


@contextmanager
def step(name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"{name}: {time.monotonic() - began:.1f} s", flush=True)


def first_answer(home: Path) -> dict[str, dict[str, str]]:
    product = rows(home, "SELECT product_code FROM gold.products ORDER BY lines DESC, product_code LIMIT 1", 1)[0]["product_code"]
    with serving(home) as server:
        body = json.dumps({"product": product}).encode()
        url = f"http://127.0.0.1:{server.port}/v1/forecast"
        with urllib.request.urlopen(urllib.request.Request(url, body, {"content-type": "application/json"}), timeout=10) as reply:
            found: dict[str, dict[str, str]] = json.load(reply)
            return found


if __name__ == "__main__":
    main()
