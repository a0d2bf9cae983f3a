"""Files of the shipped layout `canonical`, small enough to see in a test, and what bronze holds of them."""

from __future__ import annotations

from pathlib import Path

from lakehouse.tables import Lake

HEADER = "invoice,product_code,description,quantity,sold_at,unit_price,customer,country"


def written(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text("\n".join((HEADER, *lines)) + "\n")
    return path


def sale(product: str, customer: object = 17850) -> str:
    return f"1,{product},thing,2,2011-01-03T10:00:00,2.50,{customer},France"


def rows(lake: Lake, *columns: str, name: str = "bronze.sales") -> list[tuple[object, ...]]:
    found = lake.read(name).select(*columns).toArrow().to_pylist()
    return sorted((tuple(row[column] for column in columns) for row in found), key=repr)
