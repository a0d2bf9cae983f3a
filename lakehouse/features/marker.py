"""The online store's marker: up to which moment it is published. A small file beside it, replaced at once, written last."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lakehouse.features.repository import MARKER, folder, write_whole


@dataclass(frozen=True)
class Marker:
    """The snapshot that was published online last, and its moment."""

    moment: datetime
    snapshot: int


def read(home: Path) -> Marker | None:
    """None where nothing was published to the end."""
    try:
        found = json.loads((folder(home) / MARKER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Marker(datetime.fromisoformat(found["moment"]), found["snapshot"])


def write(home: Path, marker: Marker) -> None:
    write_whole(folder(home) / MARKER, json.dumps({"moment": marker.moment.isoformat(), "snapshot": marker.snapshot}))


def remove(home: Path) -> None:
    """Says that the store can't be relied on, before its rows are taken out."""
    (folder(home) / MARKER).unlink(missing_ok=True)
