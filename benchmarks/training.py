"""A training set as of its moments: ours, polars' join_asof over the same table, and Feast's own store for Spark; and whether all answer alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import polars as pl
from answers import differing, digests
from deltalake import DeltaTable
from made_up import MONDAY, STORE
from numpy.random import Generator
from processes import ROOT
from report import Spread

from lakehouse.engine.commands import missing_for_spark
from lakehouse.features.product_sales import TABLE as PRODUCTS
from lakehouse.features.store import historical
from lakehouse.tables import Lake

TRIES = 3
WHEN = "event_timestamp"
KEY = ["store", "product_code", WHEN]
KINDS = {WHEN: "timestamp", **{name: PRODUCTS.type_of(name) for name in PRODUCTS.content_names if name != "moment"}}
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Trained:
    """Seconds of each way to the same training set; `feast` is None where Spark can't run."""

    ours: Spread
    polars: Spread
    feast: Spread | None
    differing: list[str]

    @property
    def by_name(self) -> dict[str, Spread]:
        own = {"ours": self.ours, "polars' join_asof": self.polars}
        return own if self.feast is None else own | {"Feast's own, on Spark": self.feast}

    def as_json(self) -> dict[str, object]:
        named = {"ours_s": self.ours, "polars_s": self.polars, "feast_spark_s": self.feast}
        return {name: None if spread is None else spread.as_json() for name, spread in named.items()} | {"features": len(KINDS) - len(KEY)}


def entities(random: Generator, number: int, products: int, weeks: int) -> pd.DataFrame:
    """Pairs of a product and a moment: hours and Mondays, some before the product's first row, some of products that have none."""
    hours = random.integers(0, 7 * 24 * weeks, number)
    hours = np.where(random.random(number) < 0.2, hours // (7 * 24) * (7 * 24), hours)
    return pd.DataFrame(
        {
            "store": STORE,
            "product_code": [f"P{one}" for one in random.integers(0, products + products // 100 + 1, number)],
            WHEN: (np.datetime64(MONDAY, "ns") - hours * np.timedelta64(1, "h")),
        }
    )


def training(lake: Lake, asked: pd.DataFrame, folder: Path) -> Trained:
    path, version = lake.path(PRODUCTS.name), lake.version(PRODUCTS.name)
    ours, found = timed(lambda: historical(lake, "demand_v1", asked))
    peer, by_hand = timed(lambda: by_polars(path, version, asked))
    own = digests(pl.from_pandas(found), KEY, KINDS)
    others = {"polars": digests(by_hand, KEY, KINDS)}
    feast = None
    if not missing_for_spark():
        told = by_feast(path, version, asked, folder)
        feast, others["Feast's own store"] = Spread.of(told["seconds"]), told["digests"]
    differ = {name: differing(own, other) for name, other in others.items()}
    said = [f"a training set of {name} and ours, in {', '.join(which)}" for name, which in differ.items() if which]
    return Trained(Spread.of(ours), Spread.of(peer), feast, said)


def by_polars(path: str, version: int, asked: pd.DataFrame) -> pl.DataFrame:
    rows = pl.from_arrow(DeltaTable(path, version=version).to_pyarrow_table())
    assert isinstance(rows, pl.DataFrame)
    rows = rows.with_columns(pl.col("moment").dt.replace_time_zone(None).cast(pl.Datetime("ns"))).sort("moment")
    left = pl.from_pandas(asked).with_columns(pl.col(WHEN).cast(pl.Datetime("ns"))).sort(WHEN)
    return left.join_asof(rows, left_on=WHEN, right_on="moment", by=["store", "product_code"], check_sortedness=False)


def by_feast(path: str, version: int, asked: pd.DataFrame, folder: Path) -> dict[str, object]:
    """The same through Feast's own store, in a process of its own, for this one talks to another engine: its seconds and its digests."""
    place = folder / "entities.parquet"
    asked.to_parquet(place)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    words = [sys.executable, str(ROOT / "benchmarks" / "by_feast.py"), path, str(version), str(place)]
    said = subprocess.run(words, check=True, env=environ, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, object] = json.loads(said.splitlines()[-1])
    return found


def timed(work: Callable[[], Answer]) -> tuple[list[float], Answer]:
    """Seconds of each of three times, and the last answer."""
    seconds = []
    for _ in range(TRIES):
        began = time.perf_counter()
        answer = work()
        seconds.append(time.perf_counter() - began)
    return seconds, answer
