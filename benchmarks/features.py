"""Features at size: publishing what changed beside Feast materialising everything, and a training set beside polars' own as-of join.

    python benchmarks/features.py [--customers 200000] [--entities 300000]

Publishing: a moment at which one in a hundred of the customers changed, into SQLite and (where a redis-server is) into Redis; Feast materialises
all of them into the same kind of store. Target: at most a tenth. Training: entities with 22 features as of their moments, through Feast over the
pinned Delta versions, beside polars' join_asof over the same table and (where Java and Delta's jars are) beside Feast's own store for Spark with two
cores. Targets: at most five times as long as polars, at most half of Feast's own. Sail, one machine.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from deltalake import DeltaTable
from processes import ROOT, free_port

from lakehouse import settings as settings_module
from lakehouse.engine.commands import missing_for_spark
from lakehouse.features import publish
from lakehouse.features.customer_history import TABLE as CUSTOMERS
from lakehouse.features.product_sales import TABLE as PRODUCTS
from lakehouse.features.store import historical, open_store, pins
from lakehouse.privacy.vault import open_vault
from lakehouse.settings import Settings
from lakehouse.tables import Lake, StageLake, opening, runs

MONDAY = datetime(2024, 1, 1)
MOMENTS = 20  # of the training set
CHANGED = 0.01
SEED = np.random.default_rng(7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=200_000)
    parser.add_argument("--entities", type=int, default=300_000)
    options = parser.parse_args()
    told: dict[str, object] = {"customers": options.customers, "entities": options.entities}
    with tempfile.TemporaryDirectory() as folder:
        settings = chosen(Path(folder) / "home")
        with Lake(settings) as lake:
            os.environ["SPARK_REMOTE"] = lake.endpoint.url
            keys = known(settings, options.customers)
            fill(lake, keys)
            for store in stores():
                told |= {f"{store}_{name}": value for name, value in publishing(lake, store).items()}
            told |= training(lake, options.entities)
    told["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    show(told)
    print(json.dumps(told))


def chosen(home: Path) -> Settings:
    return settings_module.load(home, "local", {"vault": {"keys": "derived", "secret": "5e" * 32}}, environ={})


def known(settings: Settings, customers: int) -> list[str]:
    with open_vault(settings) as vault:
        numbers = pa.array([str(10_000_000 + number) for number in range(customers)])
        keys: list[str] = vault.exchange("benchmark", numbers).to_pylist()
    return keys


def fill(lake: Lake, keys: list[str]) -> None:
    """Two snapshots: every customer's row and a product's rows of the moments before, then rows of one in a hundred customers."""
    products = product_rows(400)
    step(lake, MONDAY, customer_rows(keys, MONDAY), products)
    chosen = keys[:: int(1 / CHANGED)]
    step(lake, MONDAY + timedelta(days=7), customer_rows(chosen, MONDAY + timedelta(days=7)), None)


def step(lake: Lake, moment: datetime, customers: pa.Table, products: pa.Table | None) -> None:
    """One run that writes these rows, and its publication."""
    with lake.lease("benchmark") as held:
        lake.create_tables()
        run = opening.begin_or_resume(lake, f"{moment:%Y-%m-%d}", held.token)
        with StageLake(lake.settings, "features", run.id) as stage:
            for table, rows in ((CUSTOMERS, customers), (PRODUCTS, products)):
                if rows is not None:
                    frame = stage.spark.createDataFrame(rows)
                    frame = frame.selectExpr(*(f"cast({one} AS {table.type_of(one)}) AS {one}" for one in table.content_names))
                    stage.writer.replace(
                        table.name, frame, where=f"moment = TIMESTAMP'{moment:%Y-%m-%d}'" if table is CUSTOMERS else "true"
                    )
            stage.publish(after=())
            stage.finish()
        runs.end(lake.ops, run.id)


def column(name: str, kind: str, rows: int) -> object:
    if kind.startswith("array<string>"):
        return [[f"P{number}" for number in SEED.integers(0, 400, 5)] for _ in range(rows)]
    if kind.startswith("array"):
        return [SEED.integers(1, 9, 5).tolist() for _ in range(rows)]
    if kind == "date":
        return [MONDAY.date() - timedelta(days=int(days)) for days in SEED.integers(1, 300, rows)]
    return SEED.integers(0, 1000, rows) if kind == "bigint" else SEED.integers(0, 100_000, rows) / 100


def customer_rows(keys: list[str], moment: datetime) -> pa.Table:
    given = {"customer_key": keys, "moment": pd.to_datetime([moment] * len(keys), utc=True)}
    return pa.table(
        {one.name: given.get(one.name, column(one.name, one.type, len(keys))) for one in CUSTOMERS.columns if one.name != "_run"}
    )


def product_rows(products: int) -> pa.Table:
    """Every product's row at each of the training set's moments."""
    codes = [f"P{number}" for number in range(products) for _ in range(MOMENTS)]
    moments = [MONDAY - timedelta(days=7 * place) for _ in range(products) for place in range(MOMENTS)]
    given = {"store": ["all"] * len(codes), "product_code": codes, "moment": pd.to_datetime(moments, utc=True)}
    return pa.table(
        {one.name: given.get(one.name, column(one.name, one.type, len(codes))) for one in PRODUCTS.columns if one.name != "_run"}
    )


def stores() -> list[str]:
    return ["sqlite", *(["redis"] if shutil.which("redis-server") else [])]


def publishing(lake: Lake, store: str) -> dict[str, float]:
    """Seconds to publish the second moment when the first is online, and for Feast to materialise all."""
    with redis() if store == "redis" else nullcontext() as words:
        lake.settings = lake.settings.model_copy(update={"features": lake.settings.features.model_copy(update={"redis": words})})
        first, second = lake.snapshots()
        publish.empty_online(lake, open_store(lake.settings, pins(lake)))
        newest = lake.snapshot
        lake.snapshot = lambda: first  # type: ignore[method-assign]
        publish.publish_online(lake)
        lake.snapshot = newest  # type: ignore[method-assign]
        ours = seconds(lambda: publish.publish_online(lake))
        feast = open_store(lake.settings, {name: second.versions[name] for name in pins(lake)})
        everything = seconds(lambda: feast.materialize(datetime(2000, 1, 1), second.moment + timedelta(days=1)))
    return {"publish_s": round(ours, 2), "feast_all_s": round(everything, 2), "publish_ratio": round(ours / everything, 3)}


def training(lake: Lake, entities: int) -> dict[str, float]:
    """Seconds for the features of product and moment pairs."""
    asked = pd.DataFrame(
        {
            "store": "all",
            "product_code": [f"P{number}" for number in SEED.integers(0, 400, entities)],
            "event_timestamp": [MONDAY - timedelta(days=int(days)) for days in SEED.integers(0, 7 * (MOMENTS - 1), entities)],
        }
    )
    path, version = lake.path(PRODUCTS.name), lake.version(PRODUCTS.name)

    def by_hand() -> pl.DataFrame:
        rows = pl.from_arrow(DeltaTable(path, version=version).to_pyarrow_table())
        assert isinstance(rows, pl.DataFrame)
        rows = rows.with_columns(pl.col("moment").dt.replace_time_zone(None).cast(pl.Datetime("ns"))).sort("moment")
        left = pl.from_pandas(asked).with_columns(pl.col("event_timestamp").cast(pl.Datetime("ns"))).sort("event_timestamp")
        return left.join_asof(rows, left_on="event_timestamp", right_on="moment", by=["store", "product_code"], check_sortedness=False)

    ours = min(seconds(lambda: historical(lake, "demand_v1", asked)) for _ in range(3))
    peer = min(seconds(by_hand) for _ in range(3))
    told = {"training_s": round(ours, 2), "polars_s": round(peer, 2), "training_ratio": round(ours / peer, 2)}
    if missing_for_spark():
        return told
    units = float(historical(lake, "demand_v1", asked)["units_13w"].sum())
    feast = by_feast(path, version, asked)
    if feast["rows"] != entities or not math.isclose(feast["units"], units, rel_tol=1e-9):
        raise SystemExit(f"Feast's own store for Spark answered otherwise: {feast}, ours: {entities} rows, {units} units in 13 weeks")
    return told | {"feast_spark_s": feast["seconds"], "training_feast_ratio": round(ours / feast["seconds"], 3)}


def by_feast(path: str, version: int, asked: pd.DataFrame) -> dict[str, float]:
    """The same through Feast's own store, in a process of its own, for this one talks to another engine."""
    with tempfile.TemporaryDirectory() as folder:
        entities = Path(folder) / "entities.parquet"
        asked.to_parquet(entities)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
        words = [sys.executable, str(ROOT / "benchmarks" / "by_feast.py"), path, str(version), str(entities)]
        said = subprocess.run(words, check=True, env=environ, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, float] = json.loads(said.splitlines()[-1])
    return found


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@contextmanager
def redis() -> Iterator[str]:
    """A Redis of its own, empty, by its connection string."""
    port = free_port()
    words = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, cwd="/")
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.05)
        yield f"127.0.0.1:{port},db=0"
    finally:
        process.kill()
        process.wait()


def show(told: dict[str, object]) -> None:
    rows = [(f"publishing 1 % into {store}, times Feast's all", told.get(f"{store}_publish_ratio"), 0.1) for store in ("sqlite", "redis")]
    rows.append(("a training set, times polars' join_asof", told["training_ratio"], 5))
    rows.append(("a training set, times Feast's own store for Spark", told.get("training_feast_ratio"), 0.5))
    print(f"{'what':<52}{'seen':>8}{'at most':>9}")
    for what, seen, most in rows:
        if seen is not None:
            print(f"{what:<52}{seen:>8}{most:>9}{'' if float(str(seen)) <= most else '   over'}")


if __name__ == "__main__":
    main()
