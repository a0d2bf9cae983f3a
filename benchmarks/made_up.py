"""Feature rows of no shop, and the runs that publish them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.random import Generator

from lakehouse.features.customer_history import TABLE as CUSTOMERS
from lakehouse.features.product_sales import TABLE as PRODUCTS
from lakehouse.tables import Lake, StageLake, opening, runs
from lakehouse.tables.catalog import Table

MONDAY = datetime(2024, 1, 1)
STORE = "all"
KEPT = 0.6  # of a product's weeks: in the others nothing of it changed


def step(lake: Lake, moment: datetime, rows: Mapping[Table, pa.Table]) -> None:
    """One run that writes these rows, and its publication."""
    with lake.lease("benchmark") as held:
        lake.create_tables()
        run = opening.begin_or_resume(lake, f"{moment:%Y-%m-%d}", held.token)
        with StageLake(lake.settings, "features", run.id) as stage:
            for table, made in rows.items():
                frame = stage.spark.createDataFrame(made)
                frame = frame.selectExpr(*(f"cast({one} AS {table.type_of(one)}) AS {one}" for one in table.content_names))
                where = f"moment = TIMESTAMP'{moment:%Y-%m-%d}'" if table is CUSTOMERS else "true"
                stage.writer.replace(table.name, frame, where=where)
            stage.publish(after=())
            stage.finish()
        runs.end(lake.ops, run.id)


def customer_rows(random: Generator, keys: Sequence[str], moment: datetime) -> pa.Table:
    """One row per customer, of one moment."""
    return _rows(random, CUSTOMERS, {"customer_key": list(keys), "moment": pd.to_datetime([moment] * len(keys), utc=True)})


def product_rows(random: Generator, products: int, weeks: int) -> pa.Table:
    """One row per product and moment at which it changed: from a week of its own on (few begin with the first), and with gaps."""
    begins = random.integers(0, weeks, products) // 2
    held = (random.random((products, weeks)) < KEPT) & (np.arange(weeks) >= begins[:, None])
    which, week = np.nonzero(held)
    moments = np.datetime64(MONDAY, "us") - (weeks - 1 - week) * np.timedelta64(7, "D")
    return _rows(
        random,
        PRODUCTS,
        {
            "store": [STORE] * len(which),
            "product_code": [f"P{number}" for number in which],
            "moment": pd.to_datetime(moments, utc=True),
        },
    )


def _rows(random: Generator, table: Table, given: Mapping[str, object]) -> pa.Table:
    rows = len(next(iter(given.values())))  # type: ignore[arg-type]
    columns = [one for one in table.columns if one.name != "_run"]
    return pa.table({one.name: given[one.name] if one.name in given else _column(random, one.type, rows) for one in columns})


def _column(random: Generator, kind: str, rows: int) -> object:
    if kind.startswith("array<string>"):
        return [[f"P{number}" for number in random.integers(0, 400, 5)] for _ in range(rows)]
    if kind.startswith("array"):
        return [random.integers(1, 9, 5).tolist() for _ in range(rows)]
    if kind == "date":
        return [MONDAY.date() - timedelta(days=int(days)) for days in random.integers(1, 300, rows)]
    return random.integers(0, 1000, rows) if kind == "bigint" else random.integers(0, 100_000, rows) / 100
