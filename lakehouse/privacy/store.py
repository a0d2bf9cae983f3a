"""The vault's database: SQLite beside the tables, or PostgreSQL by URL. It has no history and is never pinned."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import (
    Column,
    DateTime,
    Engine,
    Insert,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    inspect,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError
from sqlalchemy.schema import CreateTable
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_after_delay, wait_random_exponential

from lakehouse import release

META = MetaData()
BUSY_S = 60
SCHEMA = 1  # raised with each change of these tables, whose statements then go into `connect`, for vaults that have fewer
_SCHEMA = "schema"

facts = Table(
    "vault_facts",
    META,
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
)

customers = Table(
    "vault_customers",
    META,
    Column("identity", String, primary_key=True),  # space of customer numbers
    Column("lookup", LargeBinary(32), primary_key=True),  # HMAC-SHA256 of the number under the lookup subkey
    Column("generation", Integer, nullable=False),  # which encryption subkey
    Column("number", LargeBinary, nullable=False),  # nonce and AES-GCM of the number
    Column("customer_key", String, nullable=False, unique=True),
)

tombstones = Table(
    "vault_tombstones",
    META,
    Column("identity", String, primary_key=True),
    Column("lookup", LargeBinary(32), primary_key=True),
    Column("before", DateTime, nullable=False),  # lines sold before it come without a customer
    Column("times", Integer, nullable=False),  # how often this person was erased
)


def connect(url: str) -> Engine:
    """The database, its tables made where they are missing; nothing is written to one that has them, so that whoever writes there keeps nobody
    from opening it. SQLite's file is made readable by its owner alone. Raises `OtherSchema` for a vault that a newer release wrote."""
    where = make_url(url)
    options: dict[str, object] = {}
    if where.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": BUSY_S}
        if where.database:
            _own_file(Path(where.database))
    # Parameters stay out of error messages: they hold what the vault is there to hide.
    engine = create_engine(where, hide_parameters=True, pool_pre_ping=True, **options)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _(connection: object, _record: object) -> None:
            cursor = connection.cursor()  # type: ignore[attr-defined]
            cursor.execute("PRAGMA journal_mode=WAL")
            # A key that a table holds must not be lost with the power, nor may a deleted row stay in the file's free pages.
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA secure_delete=ON")
            cursor.close()

    # Several processes may make the tables at the same moment, and one of them may lose. Who waited for a lock in vain does not wait again.
    for attempt in Retrying(
        retry=retry_if_exception_type(DatabaseError),
        stop=stop_after_attempt(5) | stop_after_delay(BUSY_S),
        wait=wait_random_exponential(0.05, 1),
        reraise=True,
    ):
        with attempt:
            found, _space, wrote = (_written(engine) or _made(engine)).partition(" ")
            release.refuse_newer(f"the vault {where.render_as_string(hide_password=True)}", int(found), SCHEMA, wrote)
    return engine


def _written(engine: Engine) -> str | None:
    """Schema and release that the tables are of; none where a table, or this, is missing."""
    with engine.connect() as connection:
        if META.tables.keys() - inspect(connection).get_table_names():
            return None
        return connection.execute(select(facts.c.value).where(facts.c.name == _SCHEMA)).scalar()


def _made(engine: Engine) -> str:
    """The same, what is missing made."""
    with engine.begin() as connection:
        for table in META.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
        connection.execute(insert_new(engine, facts), [{"name": _SCHEMA, "value": f"{SCHEMA} {release.here()}"}])
        return str(connection.execute(select(facts.c.value).where(facts.c.name == _SCHEMA)).scalar_one())


def insert_new(engine: Engine, table: Table) -> Insert:
    """An INSERT that leaves rows alone which are there already."""
    if engine.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def _own_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
