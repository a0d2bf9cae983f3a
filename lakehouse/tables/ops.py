"""The SQL database of runs, stage runs, snapshots, pins and leases: SQLite beside the tables, or PostgreSQL by URL."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import (
    JSON,
    URL,
    Boolean,
    Column,
    DateTime,
    Engine,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    create_engine,
    event,
    select,
)
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from lakehouse.databases import may_pass
from lakehouse.errors import SettingsError, StateError, TryAgain, of_database
from lakehouse.tables import reading
from lakehouse.tables.schema import Schema, table_of_version

META = MetaData()
_READ_ONLY = "zeromargin_read_only"

runs = Table(
    "runs",
    META,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String, unique=True, nullable=False),
    Column("as_of", DateTime, nullable=False),
    Column("moment", DateTime, nullable=False),
    Column("every", String, nullable=False),  # the grid of moments: week or day
    Column("back_test", Boolean, nullable=False, default=False),
    Column("state", String, nullable=False),  # open (a stage that failed leaves it open: it is resumed), done, abandoned
    Column("base", Integer, ForeignKey("snapshots.id", use_alter=True)),
    Column("restored", JSON, nullable=False, default=dict),  # table -> version after it was put back to the base
    Column("bronze", JSON, nullable=False),  # bronze and log tables -> version resolved at the start
    Column("engine", String, nullable=False),
    Column("code", String, nullable=False),
    Column("settings", String, nullable=False),
    Column("lease", String, nullable=False),  # token of the lease under which it runs now
    Column("started_at", DateTime, nullable=False),  # wall clock, UTC, for people only
    Column("ended_at", DateTime),
)

stages = Table(
    "stages",
    META,
    Column("run", String, ForeignKey("runs.id"), primary_key=True),
    Column("name", String, primary_key=True),
    Column("state", String, nullable=False),  # started, done, failed
    Column("versions", JSON, nullable=False, default=dict),  # table -> [versions it wrote]
    Column("earlier", JSON, nullable=False, default=list),  # the same of each attempt before
    Column("result", JSON, nullable=False, default=dict),
    Column("error", String),
    Column("notebook", String),
    Column("started_at", DateTime, nullable=False),
    Column("ended_at", DateTime),
)

snapshots = Table(
    "snapshots",
    META,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run", String, nullable=False),
    Column("as_of", DateTime, nullable=False),
    Column("moment", DateTime, nullable=False),
    Column("every", String, nullable=False),  # the grid of moments: week or day
    Column("undone", Boolean, nullable=False, default=False),
    Column("published_at", DateTime, nullable=False),  # wall clock, UTC, for people only
)

snapshot_tables = Table(
    "snapshot_tables",
    META,
    Column("snapshot", Integer, ForeignKey("snapshots.id"), primary_key=True),
    Column("name", String, primary_key=True),
    Column("version", Integer, nullable=False),
)

pins = Table(
    "pins",
    META,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("owner", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("pinned_at", DateTime, nullable=False),
    UniqueConstraint("name", "version", "owner"),
)

digests = Table(  # what versions that are relied on held, to hold them to it
    "digests",
    META,
    Column("name", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("rows", Integer, nullable=False),
    Column("digest", String, nullable=False),  # the full one
    Column("recorded_at", DateTime, nullable=False),
)

file_lists = Table(  # of what files a version consisted when it was written or published
    "file_lists",
    META,
    Column("name", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("files", Integer, nullable=False),
    Column("digest", String, nullable=False),  # SHA-256 of their paths
)

let_go = Table(  # versions that a snapshot or a restore names and maintenance kept no more: that their files are gone is no damage
    "let_go",
    META,
    Column("name", String, primary_key=True),
    Column("version", Integer, primary_key=True),
)

made_anew = Table(  # tables whose history was given up: what runs up to this one wrote were other versions under the same numbers
    "made_anew",
    META,
    Column("name", String, primary_key=True),
    Column("run", Integer, nullable=False),  # runs.number; 0 before the first
)

corrections = Table(  # of lines in quarantine
    "corrections",
    META,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("file_digest", String, nullable=False),
    Column("line", Integer, nullable=False),
    Column("values", JSON, nullable=False),  # ours -> what it should have said, as text; the customer's key
    Column("by", String, nullable=False),
    Column("why", String, nullable=False),
    Column("proposed_at", DateTime, nullable=False),
    Column("landed_as", String),  # written no more: one landing, of before there was a table of them
    Column("withdrawn", Boolean, nullable=False, default=False),
)

landings = Table(  # of corrections: each time that one was let in, with whichever others
    "landings",
    META,
    Column("correction", Integer, ForeignKey("corrections.id"), primary_key=True),
    Column("file_digest", String, primary_key=True),  # of bronze; one that is not there was killed on its way, or taken out by a restore
)

restores = Table(
    "restores",
    META,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("snapshot", Integer, ForeignKey("snapshots.id"), nullable=False),
    Column("bronze", Integer, nullable=False),  # version of bronze.sales that it began from
    Column("started_at", DateTime, nullable=False),
    Column("ended_at", DateTime),  # none: it was broken off, and is finished before anything else is written
)

turns = Table(  # of the timetable's jobs
    "turns",
    META,
    Column("job", String, primary_key=True),
    Column("due", DateTime, primary_key=True),  # UTC
    Column("state", String, nullable=False),  # first seen, begun, waiting, done, failed
    Column("tries", Integer, nullable=False),
    Column("message", String, nullable=False),
    Column("started_at", DateTime, nullable=False),
    Column("ended_at", DateTime),
)

homes = Table(  # one row: the number of the home that it belongs to, and how many keys its vault had made when somebody loaded last
    "homes",
    META,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", String, nullable=False),
    Column("vault_keys", Integer, nullable=False, default=0),
)

vaults = Table(  # one row: the mark of the vault that the lake's customers are in
    "vaults",
    META,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("mark", String, nullable=False),
)

currencies = Table(  # one row: in which the lines are that have landed
    "currencies",
    META,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("code", String, nullable=False),  # ISO 4217
)

leases = Table(
    "leases",
    META,
    Column("name", String, primary_key=True),
    Column("token", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("host", String, nullable=False),  # host/boot, as `process.here` says it
    Column("pid", Integer, nullable=False),
    Column("born", Float, nullable=False),  # when the process was started, by `process.born`, so that a reused pid is not taken for it
    Column("groups", JSON, nullable=False, default=list),  # [[pgid, born], …]: process groups that it started
    Column("since", DateTime, nullable=False),
    Column("until", Float, nullable=False),  # wall clock, seconds since 1970
)


SCHEMA = Schema(META, table_of_version(META))


def now() -> datetime:
    """Wall clock in UTC, for people to read; it decides nothing."""
    return datetime.now(UTC).replace(tzinfo=None)


def connect(url: str) -> Engine:
    """The database, its tables made where they are missing; one that this user may not write to is opened to be read.

    Raises `StateError` where it can't be opened, `TryAgain` where it may be at another try, `OtherSchema` where another release wrote it, `NoPermission`,
    `SettingsError` for no URL. What the system refuses later is `NoPermission` or `DiskFull`, whatever is asked of the engine.
    """
    try:
        where = make_url(url)
        if where.get_backend_name() == "sqlite" and where.database:
            return _opened_file(where, Path(where.database))
        return _brought_up(create_engine(where, pool_pre_ping=True))  # a server may have been away between two uses
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise SettingsError(
            f"ops.url is no database that can be used here: {error}. Expected for example sqlite:///ops.db or "
            "postgresql+pg8000://user:password@host/database"
        ) from None
    except (SQLAlchemyError, OSError) as error:  # the latter where PostgreSQL's driver is cut off while it connects
        shown = where.render_as_string(hide_password=True)
        if may := may_pass(where, error):
            raise TryAgain(f"the run database {shown} {may}. Try again; if it stays so, look at ops.url") from None
        reason = str(getattr(error, "orig", None) or error)
        raise StateError(
            f"the run database {shown} can't be opened: {reason}. Let this user read and write it; if it is damaged, bring the home back from a"
            " backup (zeromargin restore-backup)"
        ) from None


def is_unused(file: Path) -> bool:
    """Whether a run database in a file is one that a look at a new home made, in which nobody has written anything yet."""
    try:
        engine = connect(f"sqlite:///{file}")
    except (StateError, TryAgain):
        return False
    unused = is_new(engine)
    engine.dispose()
    return unused


def is_new(engine: Engine) -> bool:
    """Whether nobody has written anything into it yet."""
    with engine.connect() as connection:
        return not any(connection.execute(select(table).limit(1)).first() for table in META.sorted_tables if table is not SCHEMA.written)


def is_read_only(engine: Engine) -> bool:
    """Whether this user may only read the database."""
    return bool(engine.get_execution_options().get(_READ_ONLY))


def _opened_file(where: URL, file: Path) -> Engine:
    _make_folder(file.parent)
    to_write = reading.may_write(file)
    if to_write:
        engine = create_engine(where, pool_pre_ping=True)
    else:
        # Each look opens the file anew: somebody who may write to it may do so in between.
        engine = create_engine(where, creator=lambda: reading.opened(file), poolclass=NullPool, execution_options={_READ_ONLY: True})

    @event.listens_for(engine, "handle_error", retval=True)
    def _(context: ExceptionContext) -> BaseException | None:
        return of_database(str(file), context.original_exception)

    if not to_write:
        SCHEMA.check(engine)
        return engine

    @event.listens_for(engine, "connect")
    def _(connection: object, _record: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA busy_timeout=30000")
        cursor.close()
        # The driver's own BEGIN would be a deferred one, under which two writers can meet half-way.
        connection.isolation_level = None  # type: ignore[attr-defined]

    @event.listens_for(engine, "begin")
    def _(connection: object) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # type: ignore[attr-defined]

    return _brought_up(engine)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(
            f"the home {error.filename} can't be written to: {error.strerror}. Choose another with --home or ZEROMARGIN_HOME, or let this "
            "user write there"
        ) from None


def _brought_up(engine: Engine) -> Engine:
    # Several processes may make the tables at the same moment, and one of them may lose.
    for attempt in Retrying(
        retry=retry_if_exception_type(SQLAlchemyError), stop=stop_after_attempt(3), wait=wait_random_exponential(0.05, 1), reraise=True
    ):
        with attempt:
            SCHEMA.bring_up(engine)
    return engine
