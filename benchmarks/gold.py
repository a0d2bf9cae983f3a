"""Bronze to gold at size: our stages silver and gold on Sail and on Spark, beside polars and delta-rs by hand over the same bronze.

    python benchmarks/gold.py [--lines 5000000] [--peers sail spark polars] [--json PATH --plot]

Seconds are those of the two stages (of the whole script for polars), without starting an engine; memory is what all processes of a peer hold
together. Every table that ours derives must have the same digest on both engines; of what is made by hand, which has columns of its own, the rows of
silver, the links of cancellations, units and revenue must be ours. `--plot` draws seconds and memory of each.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path

import polars as pl
from matplotlib.figure import Figure as Drawing
from memory import Memory
from processes import ROOT, zeromargin
from report import TIMES, Figure, arguments, drawing, parser, tell

import lakehouse
from lakehouse.engine.commands import missing_for_spark
from lakehouse.ingest.sample import write_sample
from lakehouse.tables import catalog

CUSTOMERS_A_MILLION = 5_500  # of the sample, over WEEKS, for about a million lines
WEEKS = 100
PEERS = ("sail", "spark", "polars")
TABLES = [name for name, table in catalog.load().items() if table.kind == "derived" and table.stage in ("silver", "gold")]


@dataclass(frozen=True)
class Made:
    """What one peer took, and what came of it. `tables`: the digest of each derived table; none of those made by hand."""

    seconds: float
    memory_gb: float
    sums: dict[str, str]
    tables: dict[str, str]


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--lines", type=int, default=5_000_000)
    made.add_argument("--peers", nargs="+", choices=PEERS, default=[one for one in PEERS if one != "spark" or not missing_for_spark()])
    drawing(made)
    options = arguments(made)
    os.environ |= {"ZEROMARGIN_VAULT__KEYS": "derived", "ZEROMARGIN_VAULT__SECRET": "5e" * 32, "ZEROMARGIN_RUNNER__IN_PROCESS": "true"}
    peers: dict[str, Made] = {}
    with tempfile.TemporaryDirectory() as folder:
        home, raw = Path(folder) / "home", Path(folder) / "raw"
        truth = write_sample(raw, weeks=WEEKS, products=2_000, customers=CUSTOMERS_A_MILLION * options.lines // 1_000_000)
        zeromargin(home, "load", str(raw), "--source", "canonical")
        shutil.rmtree(raw)
        for peer in options.peers:
            peers[peer] = by_hand(home, Path(folder) / "by-hand") if peer == "polars" else ours(home, Path(folder) / peer, peer)
            print(f"{peer}: {peers[peer].seconds} s, {peers[peer].memory_gb} GB", flush=True)
    lines = sum(file.lines for file in truth.files)
    return tell("gold", options, figures(peers), {"lines": lines, "peers": told(peers)}, differing(peers), lambda: drawn(peers, lines))


def ours(bronze: Path, home: Path, engine: str) -> Made:
    """The stages silver and gold on a copy of the home where the lines have landed. One engine computes the digests of both."""
    shutil.copytree(bronze, home)
    with Memory() as memory:
        report = json.loads(zeromargin(home, "run", "silver", "gold", "--engine", engine, "--json"))
    stages = {stage["name"]: stage for stage in report["stages"]}
    days = pl.read_delta(str(home / "tables" / "gold" / "daily_sales"))
    silver = stages["silver"]["result"]
    sums = {"silver_rows": silver["written"], "links": silver["linked"], "units": days["units"].sum(), "revenue": days["revenue"].sum()}
    with lakehouse.open(home) as lake:
        tables = {name: lake.digest(name, version=lake.head(name)).digest for name in TABLES}
    shutil.rmtree(home)
    return Made(round(sum(stages[name]["seconds"] for name in ("silver", "gold")), 1), _gb(memory), plain(sums), tables)


def by_hand(bronze: Path, folder: Path) -> Made:
    script = [sys.executable, str(ROOT / "benchmarks" / "by_hand.py"), str(bronze / "tables" / "bronze" / "sales"), str(folder)]
    with Memory() as memory:
        found = json.loads(subprocess.run(script, check=True, stdout=subprocess.PIPE, text=True).stdout)
    seconds = found.pop("seconds")
    return Made(seconds, _gb(memory), plain(found), {})


def figures(peers: dict[str, Made]) -> list[Figure]:
    sail, spark, hand = (peers.get(name) for name in PEERS)
    return [
        Figure("Sail, as fast as Spark with two cores", sail and spark and spark.seconds / sail.seconds, TIMES, 3, 5, at_least=True),
        Figure("Sail, as long as polars and delta-rs by hand", sail and hand and sail.seconds / hand.seconds, TIMES, 2, 1.2),
        Figure("memory with Sail", sail and sail.memory_gb, "GB", 2, 1.2),
    ]


def differing(peers: dict[str, Made]) -> list[str]:
    found = []
    first = next(iter(peers.values()))
    for name in first.sums:
        values = {peer: one.sums[name] for peer, one in peers.items()}
        if len(set(values.values())) > 1:
            found.append(f"{name}: {values}")
    engines = [one.tables for one in peers.values() if one.tables]
    tables = [name for name in TABLES if len({one[name] for one in engines}) > 1]
    return [*found, *([f"tables of both engines: {', '.join(tables)}"] if tables else [])]


def told(peers: dict[str, Made]) -> dict[str, object]:
    return {name: asdict(one) for name, one in peers.items()}


def plain(sums: dict[str, object]) -> dict[str, str]:
    """Numbers as text without the zeros that their types end them with."""
    return {name: f"{Decimal(str(value)).normalize():f}" for name, value in sums.items()}


def drawn(peers: dict[str, Made], lines: int) -> Drawing:
    picture = Drawing(figsize=(9, 2.5))
    for plot, what, unit in zip(picture.subplots(1, 2, sharey=True), ("seconds", "memory_gb"), ("seconds", "GB"), strict=True):
        bars = plot.barh(list(peers), [getattr(one, what) for one in peers.values()])
        plot.bar_label(bars, padding=3)
        plot.set_xlabel(unit)
        plot.margins(x=0.2)
    plot.invert_yaxis()
    picture.suptitle(f"Bronze to gold, {lines:,} lines")
    picture.tight_layout()
    return picture


def _gb(memory: Memory) -> float:
    return round(memory.peak / 1e9, 2)


if __name__ == "__main__":
    sys.exit(main())
