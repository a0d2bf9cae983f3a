"""A timetable of one job, its keeper, and files put into its inbox."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from jobs import scheduling
from jobs.scheduling import SEEN, Schedule
from jobs.timetable import Timetable
from lakehouse.settings import Settings
from lakehouse.tables import Lake, ops

HEADER = "invoice,product_code,quantity,sold_at,unit_price"


def table(do: tuple[str, ...] = ("load",), tries: int = 3, **changes: object) -> Timetable:
    job = {"at": "0 3 * * *", "do": do, "tries": tries, "wait_s": 0}
    return Timetable.model_validate({"zone": "UTC", "inbox": None, "settle_s": 0, "keep_landed": False, "jobs": {"nightly": job}} | changes)


def put(inbox: Path, name: str, *lines: str, source: str = "canonical") -> Path:
    file = inbox / source / name
    file.write_text("\n".join((HEADER, *(lines or ("1,A,2,2011-01-03T10:00:00,2.50",)))) + "\n", encoding="utf-8")
    return file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def keeper(settings: Settings, found: Timetable) -> tuple[Schedule, list[str]]:
    said: list[str] = []
    return Schedule(settings, said.append, lambda _: found), said


def overdue(lake: Lake, settings: Settings, found: Timetable) -> tuple[Schedule, list[str]]:
    """A keeper whose jobs were last done two days ago."""
    missed(lake, days=2)
    return keeper(settings, found)


def missed(lake: Lake, days: float) -> None:
    """The jobs were last done so many days ago."""
    with lake.ops.begin() as connection:
        connection.execute(ops.turns.delete())
    scheduling._claim(lake, "nightly", ops.now() - timedelta(days=days), SEEN)
