"""The online store's marker: up to which moment it is published. A small file beside it, replaced at once, written last."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from lakehouse.features.repository import MARKER, folder, write_whole


@dataclass(frozen=True)
class Marker:
    """The snapshot that was published online last, and its moment."""

    moment: datetime
    snapshot: int

    def as_text(self) -> str:
        return json.dumps({"moment": self.moment.isoformat(), "snapshot": self.snapshot})

    @classmethod
    def of(cls, text: str | bytes) -> Self:
        """What `as_text` made of one."""
        found = json.loads(text)
        return cls(datetime.fromisoformat(found["moment"]), found["snapshot"])


def read(home: Path) -> Marker | None:
    """None where nothing was published to the end, or what says so can't be read."""
    try:
        return Marker.of((folder(home) / MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def write(home: Path, marker: Marker) -> None:
    write_whole(folder(home) / MARKER, marker.as_text())


def remove(home: Path) -> None:
    """Says that the store can't be relied on, before its rows are taken out."""
    (folder(home) / MARKER).unlink(missing_ok=True)
