"""Files of which nothing is known, and the drafts of their entries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import openpyxl
import yaml

from lakehouse.ingest import sources
from lakehouse.ingest.checking import Understood, check
from lakehouse.ingest.guessing import draft

OLDEST = datetime(1990, 1, 1)
NAMES = ("item", "qty", "day", "total")


def lines(*rows: Sequence[object], mark: str = ",") -> str:
    return "".join(mark.join(map(str, row)) + "\n" for row in rows)


def table(
    rows: int = 20, quantity: str = "2", amount: str = "2.50", when: str = "%Y-%m-%d", mark: str = ",", names: Sequence[str] = NAMES
) -> str:
    return lines(
        names,
        *((f"S{day}", quantity, datetime(2024, 3, day, 9 + day % 12, 30, 5).strftime(when), amount) for day in range(1, rows)),
        mark=mark,
    )


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def workbook(path: Path, **sheets: Sequence[Sequence[object]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
    book.save(path)
    return path


def entry_of(text: str) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load(text)["my-shop"]
    return found


def used(file: Path, **more: object) -> Understood:
    """What the draft, taken as it is, makes of its own file."""
    return check(file, sources.parse("my-shop", entry_of(draft(file)) | {"currency": "EUR"} | more), OLDEST)
