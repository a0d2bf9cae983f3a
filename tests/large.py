"""Large files of the shipped layout `canonical`, and commands on an engine with so much memory."""

from __future__ import annotations

import subprocess
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from lakehouse.settings import Settings
from lakehouse.tables import Lake
from tests import shell
from tests.canonical import HEADER

PATIENCE_S = 3600

BLOCK, PRODUCTS, LINES = 100_000, 2_000, 10  # lines written at a time, products, lines of a receipt


def made(path: Path, size: int) -> tuple[int, int]:
    """A CSV of at least `size` bytes, no line of which is there twice: one receipt in 50 is of returns alone, one in 10 names no customer. How many
    lines and units it has."""
    lines = units = 0
    with path.open("wb") as file:
        file.write(f"{HEADER}\n".encode())
        while file.tell() < size:
            number = np.arange(lines, lines + BLOCK)
            receipt, product = number // LINES, (number * 7) % PRODUCTS
            is_return = receipt % 50 == 49
            quantity = np.where(is_return, -1, number % 29 + 1)
            table = pl.DataFrame({"receipt": receipt, "product": product, "quantity": quantity, "is_return": is_return}).select(
                pl.format("{}{}", pl.when("is_return").then(pl.lit("C")).otherwise(pl.lit("")), pl.col("receipt") + 1_000_000).alias(
                    "invoice"
                ),
                pl.format("P{}", "product"),
                pl.format("article number {}", "product").alias("description"),
                "quantity",
                (pl.lit(datetime(2020, 1, 6, 8)) + pl.duration(seconds=pl.col("receipt") * 53)).dt.strftime("%Y-%m-%dT%H:%M:%S"),
                (pl.col("product") % 300 / 20 + 1).alias("unit_price"),
                pl.when(pl.col("receipt") % 10 > 0).then(pl.col("receipt") * 7919 % 90_000 + 10_000).alias("customer"),
                pl.lit("France").alias("country"),
            )
            table.write_csv(file, include_header=False, float_precision=2)
            lines, units = lines + BLOCK, units + int(quantity.sum())
    return lines, units


def ran(settings: Settings, memory_gb: float, *words: str) -> subprocess.CompletedProcess[str]:
    """One command on the home, its engine with so much memory."""
    return shell.ran([*shell.PROGRAM, *words], shell.environ(settings.home, ENDPOINT__MEMORY_GB=memory_gb), PATIENCE_S)


def sold(settings: Settings) -> tuple[int, int, int, int]:
    """Lines of bronze and of silver; lines and units that gold counts, returns among them."""
    with Lake(settings) as lake:
        bronze, silver = (lake.read(name, version=lake.head(name)).count() for name in ("bronze.sales", "silver.sales"))
        days = lake.read("gold.daily_sales", version=lake.head("gold.daily_sales"))
        (total,) = days.selectExpr("sum(lines + return_lines) AS lines", "sum(units) AS units").toArrow().to_pylist()
    return bronze, silver, total["lines"] or 0, int(total["units"] or 0)
