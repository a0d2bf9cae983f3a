"""Bronze to gold at size: our stages silver and gold on Sail and on Spark, beside polars and delta-rs by hand over the same bronze.

    python benchmarks/gold.py [--lines 5000000] [--peers sail spark polars]

Seconds are those of the two stages (of the whole script for polars), without starting an engine; memory is what all processes of a peer hold
together. Targets: Sail at least 3 times as fast as Spark with two cores, with at most 2 GB; at most twice as long as by hand. The rows of silver,
the links of cancellations, units and revenue must be the same for each.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

import polars as pl
from first_answer import Memory
from processes import ROOT, zeromargin

from lakehouse.engine.commands import missing_for_spark
from lakehouse.ingest.sample import write_sample

CUSTOMERS_A_MILLION = 5_500  # of the sample, over WEEKS, for about a million lines
WEEKS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=5_000_000)
    parser.add_argument(
        "--peers", nargs="+", choices=("sail", "spark", "polars"), default=["sail", *([] if missing_for_spark() else ["spark"]), "polars"]
    )
    options = parser.parse_args()
    os.environ |= {"ZEROMARGIN_VAULT__KEYS": "derived", "ZEROMARGIN_VAULT__SECRET": "5e" * 32, "ZEROMARGIN_RUNNER__IN_PROCESS": "true"}
    with tempfile.TemporaryDirectory() as folder:
        home, raw = Path(folder) / "home", Path(folder) / "raw"
        truth = write_sample(raw, weeks=WEEKS, products=2_000, customers=CUSTOMERS_A_MILLION * options.lines // 1_000_000)
        told: dict[str, object] = {"lines": sum(file.lines for file in truth.files)}
        zeromargin(home, "load", str(raw), "--source", "canonical")
        shutil.rmtree(raw)
        for peer in options.peers:
            with Memory() as memory:
                found = by_hand(home, Path(folder) / "by-hand") if peer == "polars" else ours(home, Path(folder) / peer, peer)
            told[peer] = found | {"memory_gb": round(memory.peak / 1e9, 2)}
            print(peer, told[peer], flush=True)
    told["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    show(told)
    print(json.dumps(told))


def ours(bronze: Path, home: Path, engine: str) -> dict[str, object]:
    """The stages silver and gold on a copy of the home where the lines have landed."""
    shutil.copytree(bronze, home)
    report = json.loads(zeromargin(home, "run", "silver", "gold", "--engine", engine, "--json"))
    stages = {stage["name"]: stage for stage in report["stages"]}
    days = pl.read_delta(str(home / "tables" / "gold" / "daily_sales"))
    sums = {name: str(days[name].sum()) for name in ("units", "revenue")}
    shutil.rmtree(home)
    silver = stages["silver"]["result"]
    return {
        "seconds": round(sum(stages[name]["seconds"] for name in ("silver", "gold")), 1),
        "silver_rows": silver["written"],
        "links": silver["linked"],
        **sums,
    }


def by_hand(bronze: Path, folder: Path) -> dict[str, object]:
    script = [sys.executable, str(ROOT / "benchmarks" / "by_hand.py"), str(bronze / "tables" / "bronze" / "sales"), str(folder)]
    found: dict[str, object] = json.loads(subprocess.run(script, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return found


def show(told: dict[str, object]) -> None:
    peers = {name: found for name, found in told.items() if isinstance(found, dict)}
    same = {name: {_plain(found[name]) for found in peers.values()} for name in ("silver_rows", "links", "units", "revenue")}
    for name, values in same.items():
        print(f"{name}: {'the same' if len(values) == 1 else f'DIFFERENT: {values}'}")
    if "sail" not in peers:
        return
    sail = peers["sail"]
    rows = [("memory of Sail with ours, GB", sail["memory_gb"], "at most", 2.0, sail["memory_gb"] <= 2.0)]
    if "spark" in peers:
        times = round(peers["spark"]["seconds"] / sail["seconds"], 2)
        rows.append(("Spark's seconds over Sail's", times, "at least", 3.0, times >= 3))
    if "polars" in peers:
        times = round(sail["seconds"] / peers["polars"]["seconds"], 2)
        rows.append(("Sail's seconds over those by hand", times, "at most", 2.0, times <= 2))
    for what, seen, bound, target, met in rows:
        print(f"{what:<40}{seen:>8} {bound} {target}{'' if met else '   missed'}")


def _plain(value: object) -> Decimal:
    return Decimal(str(value)).normalize()


if __name__ == "__main__":
    main()
