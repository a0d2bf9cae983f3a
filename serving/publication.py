"""What the lake published last, read from the run database without the library that writes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import column, select, table
from sqlalchemy.exc import SQLAlchemyError

from lakehouse.databases import file_of, opened_to_read
from lakehouse.errors import TryAgain
from lakehouse.settings import Settings

_snapshots = table("snapshots", *map(column, ("id", "as_of", "moment", "every", "undone")))


@dataclass(frozen=True)
class Publication:
    """The newest snapshot: the day it was told, its moment, and the distance to the next."""

    snapshot: int
    as_of: datetime
    moment: datetime
    step: timedelta


class Publications:
    """The run database of a home, read at each call."""

    def __init__(self, settings: Settings) -> None:
        self._file = file_of(settings.ops_url)
        self._was_there = False
        self._engine = opened_to_read(settings.ops_url)

    def newest(self) -> Publication | None:
        """None where nothing is published yet. Raises `TryAgain` when the database does not answer."""
        if self._file is not None and not self._file.exists():
            if self._was_there:
                raise TryAgain(f"the run database {self._file} is away. It is looked for again")
            return None
        self._was_there = True
        query = select(_snapshots).where(~_snapshots.c.undone).order_by(_snapshots.c.id.desc()).limit(1)
        try:
            with self._engine.connect() as connection:
                row = connection.execute(query).first()
        except (SQLAlchemyError, OSError) as error:
            raise TryAgain(f"the run database does not answer: {error.__class__.__name__}. It is tried again") from error
        if row is None:
            return None
        step = timedelta(days=7 if row.every == "week" else 1)
        return Publication(row.id, _time(row.as_of), _time(row.moment), step)


def _time(value: datetime | str) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value
