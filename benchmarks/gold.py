"""Bronze to gold at size: our stages silver and gold on Sail and on Spark, beside polars and delta-rs by hand over the same bronze.

    python benchmarks/gold.py [--lines 5000000] [--tries 3] [--peers sail spark spark-4g polars] [--json PATH --plot]

Each peer has as many tries, in turns; of each it is the median of its tries that counts, and for Spark the better of its two heaps: the one that
our settings give it, and one of 4 GB. Seconds are those of the two stages (of the whole script for polars), without starting an engine; memory is what
all processes of a peer hold together. Every table that silver and gold make must have the same rows with every peer, column by column, but for
what is bookkeeping. `--plot` draws seconds and memory of each.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import answers
import polars as pl
from matplotlib.figure import Figure as Drawing
from memory import Memory
from processes import ROOT, zeromargin
from report import TIMES, Figure, Spread, arguments, drawing, parser, tell

from lakehouse.engine.commands import missing_for_spark
from lakehouse.ingest.sample import write_sample
from lakehouse.tables import catalog

CUSTOMERS_A_MILLION = 5_500  # of the sample, over WEEKS, for about a million lines
WEEKS = 100
OPTIONS = "ZEROMARGIN_ENDPOINT__SPARK_OPTIONS"
HEAPS = {"spark": "", "spark-4g": "4g"}  # where another than our settings give it
PEERS = ("sail", *HEAPS, "polars")
TABLES = [table for table in catalog.load().values() if table.kind == "derived" and table.stage in ("silver", "gold")]
Answers = dict[str, dict[str, str]]  # of each table, a digest of each of its columns


@dataclass(frozen=True)
class Try:
    """What one try took, and the folder that has its tables, layer by layer."""

    seconds: float
    memory_gb: float
    tables: Path


@dataclass(frozen=True)
class Made:
    """What one peer took in all of its tries, and what came of the first."""

    seconds: Spread
    memory_gb: Spread
    answers: Answers


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--lines", type=int, default=5_000_000)
    made.add_argument("--tries", type=int, default=3)
    made.add_argument("--peers", nargs="+", choices=PEERS, default=[one for one in PEERS if one not in HEAPS or not missing_for_spark()])
    drawing(made)
    options = arguments(made)
    os.environ |= {"ZEROMARGIN_VAULT__KEYS": "derived", "ZEROMARGIN_VAULT__SECRET": "5e" * 32, "ZEROMARGIN_RUNNER__IN_PROCESS": "true"}
    with tempfile.TemporaryDirectory() as folder:
        home, raw = Path(folder) / "home", Path(folder) / "raw"
        truth = write_sample(raw, weeks=WEEKS, products=2_000, customers=CUSTOMERS_A_MILLION * options.lines // 1_000_000)
        zeromargin(home, "load", str(raw), "--source", "canonical")
        shutil.rmtree(raw)
        peers = in_turns(options.peers, options.tries, home, Path(folder) / "made")
    lines = sum(file.lines for file in truth.files)
    return tell("gold", options, figures(peers), {"lines": lines, "peers": told(peers)}, differing(peers), lambda: drawn(peers, lines))


def in_turns(names: Sequence[str], tries: int, bronze: Path, folder: Path) -> dict[str, Made]:
    """So that what else the machine does meanwhile falls on all peers alike."""
    found: dict[str, list[Try]] = {name: [] for name in names}
    first: dict[str, Answers] = {}
    for _ in range(tries):
        for name in names:
            one = by_hand(bronze, folder) if name == "polars" else ours(bronze, folder, name)
            if name not in first:
                first[name] = {table.name: answer(one.tables, table) for table in TABLES}
            shutil.rmtree(folder)
            found[name].append(one)
            print(f"{name}: {one.seconds} s, {one.memory_gb} GB", flush=True)
    return {name: Made(_spread(found[name], "seconds"), _spread(found[name], "memory_gb"), first[name]) for name in names}


def ours(bronze: Path, home: Path, name: str) -> Try:
    """The stages silver and gold on a copy of the home where the lines have landed."""
    shutil.copytree(bronze, home)
    os.environ.pop(OPTIONS, None)
    if heap := HEAPS.get(name):
        os.environ[OPTIONS] = f"--driver-memory {heap}"
    with Memory() as memory:
        report = json.loads(zeromargin(home, "run", "silver", "gold", "--engine", name.partition("-")[0], "--json"))
    return Try(round(sum(stage["seconds"] for stage in report["stages"]), 2), _gb(memory), home / "tables")


def by_hand(bronze: Path, folder: Path) -> Try:
    script = [sys.executable, str(ROOT / "benchmarks" / "by_hand.py"), str(bronze / "tables" / "bronze" / "sales"), str(folder)]
    with Memory() as memory:
        found = json.loads(subprocess.run(script, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return Try(found["seconds"], _gb(memory), folder)


def answer(tables: Path, table: catalog.Table) -> dict[str, str]:
    rows = pl.read_delta(str(tables / table.layer / table.name.partition(".")[2]))
    return answers.digests(rows, table.key, {name: table.type_of(name) for name in table.content_names})


def figures(peers: dict[str, Made]) -> list[Figure]:
    sail, hand = (peers[name].seconds.median if name in peers else None for name in ("sail", "polars"))
    spark = min((peers[name].seconds.median for name in HEAPS if name in peers), default=None)
    memory = peers["sail"].memory_gb.median if "sail" in peers else None
    return [
        Figure("Sail, as fast as Spark with two cores and the better heap", sail and spark and spark / sail, TIMES, 3, 5, at_least=True),
        Figure("Sail, as long as polars and delta-rs by hand", sail and hand and sail / hand, TIMES, 2, 1.2),
        Figure("memory with Sail", memory, "GB", 2, 1.2),
    ]


def differing(peers: dict[str, Made]) -> list[str]:
    """Each table that another peer than the first made otherwise, and in which columns."""
    (first, one), *others = peers.items()
    found = []
    for name, other in others:
        for table in TABLES:
            if columns := answers.differing(one.answers[table.name], other.answers[table.name]):
                found.append(f"{table.name} by {first} and by {name}: {', '.join(columns)}")
    return found


def told(peers: dict[str, Made]) -> dict[str, object]:
    return {
        name: {"seconds": one.seconds.as_json(), "memory_gb": one.memory_gb.as_json(), "answers": one.answers}
        for name, one in peers.items()
    }


def drawn(peers: dict[str, Made], lines: int) -> Drawing:
    picture = Drawing(figsize=(9, 2.5))
    for plot, what, unit in zip(picture.subplots(1, 2, sharey=True), ("seconds", "memory_gb"), ("seconds", "GB"), strict=True):
        bars = plot.barh(list(peers), [getattr(one, what).median for one in peers.values()])
        plot.bar_label(bars, padding=3)
        plot.set_xlabel(unit)
        plot.margins(x=0.2)
    plot.invert_yaxis()
    picture.suptitle(f"Bronze to gold, {lines:,} lines")
    picture.tight_layout()
    return picture


def _spread(tries: Sequence[Try], what: str) -> Spread:
    return Spread.of([getattr(one, what) for one in tries], digits=2)


def _gb(memory: Memory) -> float:
    return round(memory.peak / 1e9, 2)


if __name__ == "__main__":
    sys.exit(main())
