"""Features at size: publishing what changed beside Feast materialising everything, and a training set beside Feast's own store and polars.

    python benchmarks/features.py [--customers 200000] [--entities 300000] [--json PATH --plot]

Publishing: three moments, at each of which one in a hundred of the customers changed, into SQLite and (where a redis-server is) into Redis; Feast
materialises all of them into another, empty store of the same kind. Both stores must then answer alike. Training: entities with the features of
products as of their moments, through Feast over the pinned Delta versions; beside polars' join_asof over the same table and (where Java and Delta's
jars are) beside Feast's own store for Spark with two cores. All columns must be the same. Sail, one machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import made_up
import numpy as np
import pyarrow as pa
import training
from matplotlib.figure import Figure as Drawing
from publishing import MOMENTS, publishing, stores
from report import TIMES, Figure, Spread, arguments, drawing, parser, tell

from lakehouse import settings as settings_module
from lakehouse.features.customer_history import TABLE as CUSTOMERS
from lakehouse.features.product_sales import TABLE as PRODUCTS
from lakehouse.privacy.vault import open_vault
from lakehouse.settings import Settings
from lakehouse.tables import Lake


def main() -> int:
    options = wanted()
    random = np.random.default_rng(7)
    print(f"{options.customers:,} customers; {options.entities:,} entities over {options.products:,} products of {options.weeks} weeks ...")
    measured: dict[str, object] = {name: getattr(options, name) for name in ("customers", "entities", "products", "weeks")}
    with tempfile.TemporaryDirectory() as folder, Lake(chosen(Path(folder) / "home")) as lake:
        os.environ["SPARK_REMOTE"] = lake.endpoint.url
        keys = known(lake.settings, options.customers)
        products = made_up.product_rows(random, options.products, options.weeks)
        made_up.step(lake, made_up.MONDAY, {CUSTOMERS: made_up.customer_rows(random, keys, made_up.MONDAY), PRODUCTS: products})
        for moment, changed in MOMENTS.items():
            made_up.step(lake, moment, {CUSTOMERS: made_up.customer_rows(random, keys[changed], moment)})
        published = {store: publishing(lake, store, keys, Path(folder) / store) for store in stores()}
        asked = training.entities(random, options.entities, options.products, options.weeks)
        trained = training.training(lake, asked, Path(folder))
    differing = [one for found in published.values() for one in found.differing] + trained.differing
    figures = [
        Figure(
            f"publishing 1 % into {store}, over Feast's all", published[store].ratio if store in published else None, TIMES, 1 / 10, 1 / 30
        )
        for store in ("sqlite", "redis")
    ]
    feast = None if trained.feast is None else trained.ours.median / trained.feast.median
    figures.append(Figure("a training set, over Feast's own store for Spark", feast, TIMES, 1 / 2))
    figures.append(Figure("a training set, over polars' join_asof", trained.ours.median / trained.polars.median, TIMES, 5, 2))
    for store, one in published.items():
        print(f"{store}: publishing {one.ours} s, Feast's all {one.feast:.2f} s; {one.compared:,} customers read back from both")
    for name, spread in trained.by_name.items():
        print(f"a training set, {name}: {spread} s")
    measured |= {"publishing": {store: one.as_json() for store, one in published.items()}, "training": trained.as_json()}
    return tell("features", options, figures, measured, differing, lambda: drawn(trained.by_name))


def wanted() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--customers", type=int, default=200_000, help="who are published")
    made.add_argument("--entities", type=int, default=300_000, help="pairs of a product and a moment in the training set")
    made.add_argument("--products", type=int, default=5_000)
    made.add_argument("--weeks", type=int, default=100, help="over which products have rows, with gaps")
    drawing(made)
    return arguments(made)


def chosen(home: Path) -> Settings:
    return settings_module.load(home, "local", {"vault": {"keys": "derived", "secret": "5e" * 32}}, environ={})


def known(settings: Settings, customers: int) -> list[str]:
    with open_vault(settings) as vault:
        numbers = pa.array([str(10_000_000 + number) for number in range(customers)])
        keys: list[str] = vault.exchange("benchmark", numbers).to_pylist()
    return keys


def drawn(times: dict[str, Spread]) -> Drawing:
    """Seconds of a training set by whose they are, with the least and the most."""
    picture = Drawing(figsize=(9, 2.5))
    plot = picture.subplots()
    medians = [spread.median for spread in times.values()]
    reach = [[spread.median - spread.minimum for spread in times.values()], [spread.maximum - spread.median for spread in times.values()]]
    bars = plot.barh(list(times), medians, xerr=reach, log=True)
    plot.bar_label(bars, [f"{median:.2f} s" for median in medians], padding=12)
    plot.set_xlabel("seconds, each step ten times the one before")
    plot.set_title("A training set")
    plot.margins(x=0.3)
    plot.invert_yaxis()
    return picture


if __name__ == "__main__":
    sys.exit(main())
