"""What is popular at the newest moment: a small file beside the online store, for answers about customers where no model can say more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lakehouse.features.repository import POPULAR, folder, write_whole


@dataclass(frozen=True)
class PopularProduct:
    """`score`: customers who bought it, each counted by the age of the purchase."""

    product: str
    name: str | None
    score: float


def write(home: Path, products: Sequence[PopularProduct]) -> None:
    """Puts the products, the most popular first, in place of those of the moment before."""
    folder(home).mkdir(parents=True, exist_ok=True)
    write_whole(folder(home) / POPULAR, json.dumps([asdict(product) for product in products], ensure_ascii=False))


def read(home: Path) -> list[PopularProduct]:
    """The most popular first; none where nothing was published yet. Raises `OSError` or `ValueError` where the file can't be read."""
    try:
        found = json.loads((folder(home) / POPULAR).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return [PopularProduct(**product) for product in found]
