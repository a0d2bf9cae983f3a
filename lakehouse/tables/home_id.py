"""Which run database a home belongs to: both carry one number, so that an empty one, or another one's, is not taken for it. What it says of pins, snapshots
and leases decides what is deleted and who may write."""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

from sqlalchemy import Connection, Engine, Table, insert, select, update
from sqlalchemy.engine import make_url

from lakehouse.databases import file_of
from lakehouse.errors import StateError
from lakehouse.tables import ops
from lakehouse.tables.ops import currencies, homes, vaults

FILE = "lake.id"


def connect(url: str, home: Path) -> Engine:
    """The run database of a home. Raises as `ops.connect`, and `StateError` for one that is not this home's; where there is none any more, none is made.
    A home that has lost its number is known to be one by the lines in it."""
    said = _said(home)
    file, has_landed = file_of(url), said is not None or _has_landed(home)
    if has_landed and file is not None and not file.exists():
        raise _other(url, home, "it is not there")
    engine = ops.connect(url)
    found = _number(engine) if has_landed else None
    wrong = found != said if said is not None else has_landed and found is None and ops.is_new(engine)
    if wrong:
        engine.dispose()
        raise _other(url, home, "it knows of no lake" if found is None else "it belongs to another lake")
    return engine


def give(engine: Engine, home: Path) -> None:
    """Gives both the same number if the home has none yet. The lease is held."""
    if _said(home) is not None:
        return
    number = _number(engine)
    if number is None:
        number = uuid.uuid4().hex
        with engine.begin() as connection:
            connection.execute(insert(homes).values(id=1, number=number))
    draft = home / f"{FILE}.part"
    with draft.open("w", encoding="ascii") as file:
        file.write(f"{number}\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(home / FILE)


def keys(engine: Engine) -> int:
    """How many keys of customers the vault had made, as far as this lake knows."""
    with engine.connect() as connection:
        return int(connection.execute(select(homes.c.vault_keys)).scalar() or 0)


def vault(engine: Engine) -> str | None:
    """The mark of the vault that customers were given keys by, as far as this lake knows."""
    with engine.connect() as connection:
        return connection.execute(select(vaults.c.mark)).scalar()


def note_keys(engine: Engine, made: int, mark: str) -> None:
    """Remembers how many keys there are, and of which vault. The lease is held."""
    with engine.begin() as connection:
        connection.execute(update(homes).values(vault_keys=made))
        _note(connection, vaults, mark=mark)


def currency(engine: Engine) -> str | None:
    """In which the lines are that have landed, as far as this lake knows."""
    with engine.connect() as connection:
        return connection.execute(select(currencies.c.code)).scalar()


def note_currency(engine: Engine, code: str) -> None:
    """Remembers it. The lease is held."""
    with engine.begin() as connection:
        _note(connection, currencies, code=code)


def _note(connection: Connection, table: Table, **values: str) -> None:
    """The only row of a table."""
    if connection.execute(update(table).values(**values)).rowcount == 0:
        connection.execute(insert(table).values(id=1, **values))


def _said(home: Path) -> str | None:
    try:
        found = (home / FILE).read_text(encoding="ascii", errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not re.fullmatch("[0-9a-f]{32}", found):
        raise StateError(
            f"{home / FILE} is damaged: expected the lake's number, 32 hex digits. Take it away, and look at zeromargin status: where the run database is"
            " the lake's, the next command that writes puts it back"
        )
    return found


def _has_landed(home: Path) -> bool:
    return any((home / "tables" / "bronze" / "sales").rglob("*.parquet"))


def _number(engine: Engine) -> str | None:
    with engine.connect() as connection:
        found = connection.execute(select(homes.c.number)).scalar()
    return None if found is None else str(found)


def _other(url: str, home: Path, what: str) -> StateError:
    shown = make_url(url).render_as_string(hide_password=True)
    return StateError(
        f"the run database {shown} is not that of the lake in {home}: {what}. Pins, snapshots and leases are in its own, so nothing is done without it."
        " Put it back, set ops.url to where it is, or bring the home back from a backup (zeromargin restore-backup)"
    )
