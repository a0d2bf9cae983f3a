"""Rotation: every customer number is encrypted anew, under the subkey of the next generation. Keys and look-ups stay what they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, func, select, text, tuple_, update

from lakehouse.errors import VaultError
from lakehouse.privacy.sealing import Sealing
from lakehouse.privacy.store import customers, facts, insert_new

GENERATION, UNDER_WAY = "generation", "rotating"
FIRST = 1
ROWS = 1_000  # in one transaction
SHOWN = 5
LOG_WAIT_MS = 5_000
Progress = Callable[[int, int], None]
Row = tuple[str, bytes]


@dataclass(frozen=True)
class Rotation:
    """What a rotation did: the generation that numbers are under now, how many it encrypted anew, and whether it ended one that was broken
    off before. `in_log`: former ciphertexts stay in SQLite's write-ahead log until those who read now are done."""

    generation: int
    customers: int
    resumed: bool
    in_log: bool


def generation(connection: Connection) -> int:
    """The generation that new numbers are encrypted under. On PostgreSQL it stays that until the transaction ends."""
    found = connection.execute(select(facts.c.value).where(facts.c.name == GENERATION).with_for_update(read=True))
    return int(found.scalar_one())


def begin(engine: Engine, connection: Connection) -> None:
    """Writes down the first generation where none is."""
    connection.execute(insert_new(engine, facts), [{"name": GENERATION, "value": str(FIRST)}])


def rotate(engine: Engine, sealing: Sealing, progress: Progress) -> Rotation:
    """Moves every number to the next generation, a thousand to a transaction; where an earlier rotation was broken off, ends that instead.

    Whoever exchanges, looks up or erases meanwhile is not in the way: a row says which generation it is of, and one that is gone or was moved
    since it was read is left alone. Raises `VaultError` for rows that do not open, with their customers' keys, when all others are done.
    """
    with engine.begin() as connection:
        inserted = connection.execute(insert_new(engine, facts), [{"name": UNDER_WAY, "value": "1"}])
        resumed = inserted.rowcount == 0
        if not resumed:
            connection.execute(update(facts).where(facts.c.name == GENERATION).values(value=str(generation(connection) + 1)))
    with engine.connect() as connection:
        now = generation(connection)
        whole = connection.execute(select(func.count()).select_from(customers).where(customers.c.generation < now)).scalar_one()
    done, damaged, after = 0, list[str](), None
    while (found := _some(engine, sealing, now, after, damaged)) is not None:
        after, count = found
        done += count
        progress(done, max(done, whole))
    with engine.begin() as connection:
        connection.execute(delete(facts).where(facts.c.name == UNDER_WAY))
    in_log = not _forget_pages(engine)
    if damaged:
        raise VaultError(
            f"{len(damaged)} rows of the vault are not what was written, they were changed or moved from another customer: those of the customer keys"
            f" {', '.join(damaged[:SHOWN])}{' and more' if len(damaged) > SHOWN else ''}. They stay as they are, and their numbers can't be told; a backup"
            f" of the vault has them. The other {done - len(damaged):,} numbers are encrypted under generation {now} now"
        )
    return Rotation(now, done, resumed, in_log)


def _some(engine: Engine, sealing: Sealing, now: int, after: Row | None, damaged: list[str]) -> tuple[Row, int] | None:
    """Moves up to a thousand rows that come after one. Returns the last and how many there were; None where there are no more."""
    place = tuple_(customers.c.identity, customers.c.lookup)
    wanted = select(customers).where(customers.c.generation < now).order_by(customers.c.identity, customers.c.lookup).limit(ROWS)
    with engine.begin() as connection:
        rows = connection.execute(wanted if after is None else wanted.where(place > after)).all()
        for row in rows:
            lookup = bytes(row.lookup)
            try:
                number = sealing.unseal(row.generation, row.identity, lookup, bytes(row.number))
            except VaultError:
                damaged.append(row.customer_key)
                continue
            same = (customers.c.identity == row.identity, customers.c.lookup == lookup, customers.c.generation == row.generation)
            again = sealing.seal(now, row.identity, lookup, number)
            connection.execute(update(customers).where(*same).values(generation=now, number=again))
    return ((rows[-1].identity, bytes(rows[-1].lookup)), len(rows)) if rows else None


def _forget_pages(engine: Engine) -> bool:
    """Takes the former ciphertexts out of SQLite's write-ahead log, if nobody reads there; its free pages are overwritten anyway. PostgreSQL
    does it when it vacuums."""
    if engine.dialect.name != "sqlite":
        return True
    with engine.connect() as connection:
        connection.execute(text(f"PRAGMA busy_timeout = {LOG_WAIT_MS}"))
        busy = connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()[0]
        connection.invalidate()  # the next one waits as long as any other
    return not busy
