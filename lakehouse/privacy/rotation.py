"""Rotation: every customer number is encrypted anew, under the subkey of the next generation. Keys and look-ups stay what they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, func, select, text, update

from lakehouse.privacy.sealing import Sealing
from lakehouse.privacy.store import customers, facts, insert_new

FACT = "generation"
FIRST = 1
ROWS = 1_000  # in one transaction
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Rotation:
    """What a rotation did: the generation that numbers are under now, and how many of them were encrypted anew."""

    generation: int
    customers: int


def generation(connection: Connection) -> int:
    """The generation that new numbers are encrypted under."""
    found = connection.execute(select(facts.c.value).where(facts.c.name == FACT)).scalar_one_or_none()
    return FIRST if found is None else int(found)


def rotate(engine: Engine, sealing: Sealing, progress: Progress) -> Rotation:
    """Moves every number to the next generation, a thousand to a transaction; where an earlier rotation was broken off, ends that instead.

    Whoever exchanges, looks up or erases meanwhile is not in the way: a row says which generation it is of, and one that is gone or was moved
    since it was read is left alone. Raises `VaultError` for a row that does not open, which stays as it is with those after it.
    """
    with engine.begin() as connection:
        now = generation(connection)
        left = connection.execute(select(func.count()).select_from(customers).where(customers.c.generation < now)).scalar_one()
        if not left:
            connection.execute(insert_new(engine, facts), [{"name": FACT, "value": str(now)}])
            connection.execute(update(facts).where(facts.c.name == FACT, facts.c.value == str(now)).values(value=str(now + 1)))
    with engine.connect() as connection:
        now = generation(connection)
        whole = connection.execute(select(func.count()).select_from(customers).where(customers.c.generation < now)).scalar_one()
    done = 0
    while moved := _some(engine, sealing, now):
        done += moved
        progress(done, max(done, whole))
    _forget_pages(engine)
    return Rotation(now, done)


def _some(engine: Engine, sealing: Sealing, now: int) -> int:
    """Moves up to a thousand rows. Returns how many there were to move."""
    of_row = (customers.c.identity, customers.c.lookup, customers.c.generation)
    with engine.begin() as connection:
        rows = connection.execute(select(*of_row, customers.c.number).where(customers.c.generation < now).limit(ROWS)).all()
        for identity, lookup, before, sealed in rows:
            number = sealing.unseal(before, identity, bytes(lookup), bytes(sealed))
            same = (customers.c.identity == identity, customers.c.lookup == lookup, customers.c.generation == before)
            again = sealing.seal(now, identity, bytes(lookup), number)
            connection.execute(update(customers).where(*same).values(generation=now, number=again))
    return len(rows)


def _forget_pages(engine: Engine) -> None:
    """Takes the former ciphertexts out of SQLite's write-ahead log; its free pages are overwritten anyway. PostgreSQL does it when it vacuums."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
