"""Files of the shipped layout `canonical`, small enough to see in a test."""

from __future__ import annotations

from pathlib import Path

HEADER = "invoice,product_code,description,quantity,sold_at,unit_price,customer,country"


def written(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text("\n".join((HEADER, *lines)) + "\n")
    return path
