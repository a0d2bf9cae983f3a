"""The lake: tables by name at the version that is published, and the way to write them."""

from __future__ import annotations

import contextlib
import html
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sqlalchemy import Engine

from lakehouse.engine import Endpoint, connect, remote, start
from lakehouse.errors import InputError, LeaseHeld, NothingPublished, StateError
from lakehouse.settings import Settings
from lakehouse.tables import (
    catalog,
    delta,
    delta_log,
    digests,
    file_lists,
    home_id,
    lease,
    moments,
    pins,
    rebuilding,
    runs,
    snapshots,
    sql,
    states,
)
from lakehouse.tables.catalog import Column, Table
from lakehouse.tables.digests import Digest
from lakehouse.tables.lease import Lease
from lakehouse.tables.listing import Listing
from lakehouse.tables.runs import Run
from lakehouse.tables.snapshots import Snapshot
from lakehouse.tables.staging import Staged, Staging
from lakehouse.tables.states import TableState, Version, versions_read
from lakehouse.tables.views import Views
from lakehouse.tables.writer import Writer

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession


class Lake:
    """A home's tables. Reads resolve to the newest snapshot, to the snapshot it was opened `at`, or to its own run's work.

    The engine's endpoint is started (or attached to, where SPARK_REMOTE or endpoint.remote names one) on first use, and stopped by `close` if it is ours.
    """

    def __init__(
        self,
        settings: Settings,
        run: Run | None = None,
        endpoint: Endpoint | None = None,
        now: Lake | None = None,
        fixed: Snapshot | None = None,
    ):
        self.settings = settings
        self.run = run
        self._now, self._fixed = now, fixed
        self._endpoint = endpoint
        self._owns_endpoint = endpoint is None and now is None
        self._lease: Lease | None = None
        self._done: dict[str, int] = {}
        if run is not None:
            self._bind(run)

    def _bind(self, run: Run) -> None:
        self.run = run
        self._done = versions_read(self.ops, run)

    # ------------------------------------------------------------------ places

    @property
    def home(self) -> Path:
        return self.settings.home

    @property
    def catalog(self) -> Mapping[str, Table]:
        return catalog.load()

    def path(self, name: str) -> str:
        """The folder of a table. Raises `UnknownName` for one that the catalog lacks."""
        layer, table = catalog.table(name).name.split(".")
        return str(self.home / "tables" / layer / table)

    @cached_property
    def ops(self) -> Engine:
        return home_id.connect(self.settings.ops_url, self.home)

    # ------------------------------------------------------------------ engine

    @property
    def endpoint(self) -> Endpoint:
        """The engine's endpoint, started or attached to on first use."""
        if self._now is not None:
            return self._now.endpoint
        if self._endpoint is None:
            self._endpoint = remote(self.settings) or start(self.settings, self.home / "endpoint")
            # Of a lake that a notebook's cell opens once more, nobody closes the first one.
            weakref.finalize(self, self._endpoint.stop)
            if self._lease is not None and self._endpoint.process is not None:
                self._lease.add_group(self._endpoint.process.pid)
        return self._endpoint

    @cached_property
    def spark(self) -> SparkSession:
        if self._now is not None:  # one session for all days, so that they can be compared in one query
            return self._now.spark
        session = connect(self.endpoint.url)
        self._session_end = weakref.finalize(self, _end_session, session)
        return session

    @cached_property
    def _views(self) -> Views:
        return Views(self._opened, self.path)

    def _opened(self, name: str, version: int) -> DataFrame:
        """A version as its log says now, which each query reads anew."""
        return self.spark.read.format("delta").option("versionAsOf", version).load(self.path(name))

    def close(self) -> None:
        """Ends the session, and the endpoint if this lake started it."""
        self._staging.clear()
        self.__dict__.pop("_views", None)
        is_open = self.__dict__.pop("spark", None) is not None
        if self._now is not None:
            return
        if is_open:
            self._session_end()
        if self._owns_endpoint and self._endpoint is not None:
            self._endpoint.stop()
            self._endpoint = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------ reading

    def snapshot(self) -> Snapshot | None:
        """The snapshot that reads resolve through: the newest, or the one this lake was opened at."""
        return self._fixed or snapshots.newest(self.ops)

    def snapshots(self) -> Listing[Snapshot]:
        """All that were not undone, the oldest first."""
        return Listing(snapshots.every(self.ops), "nothing is published yet", ("id", "as_of", "moment", "run"))

    def at(self, day: str | date) -> Lake:
        """The whole lake as it was published last with as_of ≤ `day` (a day as text or a `date`; a `datetime` is that time). Raises `NothingPublished`
        before the first, `WrongDay` for what is no day."""
        when = moments.until(day)
        found = snapshots.newest(self.ops, when)
        if found is None:
            first = next(iter(self.snapshots()), None)
            known = "nothing is published yet" if first is None else f"the first snapshot is of {first.as_of:%Y-%m-%d}"
            raise NothingPublished(f"nothing was published as of {when:%Y-%m-%d}: {known}")
        return Lake(self.settings, now=self, fixed=found)

    def head(self, name: str) -> int:
        """The newest version in the table's log."""
        return delta.head(self.path(name))

    def version(self, name: str) -> int:
        """The version that `read` takes by default. Raises `NothingPublished` before the first snapshot (bronze reads its head)."""
        table = catalog.table(name)
        if self.run is not None and self._fixed is None:
            if name in self.writer.written:
                return self.writer.written[name][-1]
            if name in self._done:
                return self._done[name]
        if table.kind in ("source", "log"):
            return self._fixed.versions[name] if self._fixed and name in self._fixed.versions else self.head(name)
        published = self.snapshot()
        if published is None or name not in published.versions:
            raise NothingPublished(f"nothing published yet: {name} has no version to read. Load files, then run: zeromargin run")
        return published.versions[name]

    def version_at(self, name: str, time: str | date) -> int:
        """The version that was the newest at a time of the wall clock (UTC, where no offset is said; a text to the second means that second to its end).
        Raises `StateError` for a time before the first, `WrongDay` for what is no time."""
        return delta.version_at(self.path(name), moments.written_by(time))

    def read(self, name: str, version: int | None = None, at: str | date | None = None, timestamp: str | date | None = None) -> DataFrame:
        """A table at its default version, at `version`, as it was published `at` a day, or as it was written by a `timestamp` (UTC)."""
        if sum(way is not None for way in (version, at, timestamp)) > 1:
            raise InputError("give one of version, at and timestamp: each says by itself which version is read")
        if at is not None:
            return self.at(at).read(name)
        if timestamp is not None:
            version = self.version_at(name, timestamp)
        number = self.version(name) if version is None else version
        if version is not None or self.run is None:  # what a run reads was looked at when it began
            number = self._checked(name, number)
        view = None if self.run is None else self._views.of(name, number)
        return self._opened(name, number) if view is None else self.spark.table(view)

    def sql(self, text: str) -> DataFrame:
        """One SELECT over the catalog's tables and this session's temporary views; bare names read their default version, `VERSION AS OF` and
        `TIMESTAMP AS OF` (UTC) that one."""
        places = sql.Places(self.path, self.version, self._checked, self.version_at, lambda name: self.spark.catalog.tableExists(name))
        return self.spark.sql(sql.with_versions(text, places))

    def digest(self, name: str, version: int | None = None, full: bool = False) -> Digest:
        number = self._checked(name, self.version(name) if version is None else version)
        return digests.digest(self._opened(name, number), catalog.table(name), number, full)

    def history(self, name: str) -> Listing[Version]:
        """Every version of a table, the newest first."""
        writers = runs.writers(self.ops)
        pinned = {pin.version for pin in pins.every(self.ops) if pin.table == name}
        published = {snapshot.versions.get(name) for snapshot in self.snapshots()}
        found = []
        for commit in delta.history(self.path(name)):
            run, stage = writers.get((name, commit.version), (None, None))
            shown = (commit.version, commit.written_at, commit.operation, run, stage)
            found.append(Version(name, *shown, commit.version in pinned, commit.version in published))
        return Listing(found)

    def tables(self) -> Listing[TableState]:
        """Every table of the catalog with its default version, rows and bytes."""
        published = None if self._fixed else self.snapshot()  # what is newest may be whole where a version of the past is not
        lost = rebuilding.losses(self, published)
        found = [states.state(self, table, lost.get(name)) for name, table in self.catalog.items()]
        columns = ("name", "version", "rows", "bytes", *(["wrong"] if any(one.wrong for one in found) else []), "about")
        return Listing(found, columns=columns)

    def __repr__(self) -> str:
        bound = f", bound to run {self.run.id}" if self.run is not None else ""
        return f"lake in {self.home} on {self.settings.engine}{bound}: {self.snapshot() or 'nothing is published yet'}"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>"

    def _checked(self, name: str, version: int) -> int:
        """The version, if it is there. Raises `StateError` where it is not, `InputError` where it is no number."""
        version = states.whole_number(name, version)
        published = None if self._fixed else self.snapshot()  # what is newest may be whole where a version of the past is not
        lost = rebuilding.loss(self, name, published)
        if lost is not None:
            raise rebuilding.refuse(name, lost)
        if version == rebuilding.relied_on(name, published, file_lists.noted(self.ops, name)):
            return version  # that one was looked at
        newest = self.head(name)
        if not 0 <= version <= newest:
            raise StateError(f"{name} has no version {version}. Versions: 0 to {newest}. See: zeromargin history {name}")
        wrong = rebuilding.damage(self, name, version, delta.sizes(self.path(name), version))
        if wrong is not None:
            raise StateError(
                f"{name} version {version} can't be read any more ({wrong}): it was neither pinned nor of a kept snapshot when maintenance cleaned"
                f" up, or it was damaged (zeromargin verify tells). Which are kept: zeromargin history {name}"
            )
        return version

    # ------------------------------------------------------------------ writing

    def create_tables(self) -> None:
        """Every table of the catalog, empty where it is not there yet. Those that no stage writes get the columns that they lack now; the others
        when they are put back, before a stage writes to them. Raises `StateError` for a table that a newer version of this library wrote, and for one
        that was published and is lost."""
        published = snapshots.newest(self.ops)
        rebuilding.check(self, published)
        for name, table in self.catalog.items():
            delta_log.forget_hint(self.path(name))
            is_known = published is not None and name in published.versions
            if not is_known and (not delta.exists(self.path(name)) or delta.head(self.path(name)) < delta.created_version(table)):
                delta.create(self.path(name), table, self.settings.snapshots.retention_days)
            elif table.stage is None:
                delta.evolve(self.path(name), table)

    @contextmanager
    def lease(self, purpose: str, restoring: bool = False) -> Iterator[Lease]:
        """Holds the lake for writing. Raises `LeaseHeld` when somebody else has it, `StateError` (unless `restoring`) while a restore that
        was broken off waits to be finished."""
        with lease.hold(self.ops, purpose, self.settings.ops.lease_s, self.settings.ops.wait_s) as granted:
            home_id.give(self.ops, self.home)
            if not restoring:
                snapshots.check_no_restore(self.ops)
            self._lease = granted
            try:
                if self._owns_endpoint and self._endpoint is not None and self._endpoint.process is not None:
                    granted.add_group(self._endpoint.process.pid)
                yield granted
            finally:
                self._lease = None

    @cached_property
    def writer(self) -> Writer:
        """The one writer. It refuses to commit without the lease."""
        stamp = self.run.id if self.run is not None else "load"
        return Writer(lambda: self.spark, self.path, self._staging_folder, self.check_lease, stamp, self.note)

    def note(self, name: str, version: int) -> None:
        """Keeps which files a table's newest version consists of, to hold its log to it."""
        file_lists.note(self.ops, name, version, file_lists.of(delta.files(self.path(name), version)))

    def note_published(self, versions: Mapping[str, int]) -> None:
        """The same of what is about to be published, as far as no writer has said it before."""
        for name, version in versions.items():
            if file_lists.noted(self.ops, name, version) is None:
                self.note(name, version)

    @property
    def _staging_folder(self) -> Path:
        return self.home / "staging"

    @cached_property
    def _staging(self) -> Staging:
        return Staging(self._staging_folder, lambda: self.spark)

    def staged(self, frame: DataFrame) -> Staged:
        """The frame computed once, into files that are gone when the lake is closed."""
        return self._staging.stage(frame)

    def written(self, parts: Iterable[pa.Table], columns: Sequence[Column]) -> Staged:
        """The same of rows of these columns that were made in this process, one table after another."""
        return self._staging.write(parts, columns)

    def sweep(self) -> None:
        """Removes what killed processes left in the staging folder. The lease is held, so nobody else is writing there."""
        self.check_lease()
        self._staging.sweep()

    def check_lease(self) -> None:
        """Raises `LeaseHeld` unless this lake, or the run that it is bound to, holds the lease."""
        if self._fixed is not None:
            raise StateError("this lake was opened at a day of the past. It can be read, not written")
        token = self._lease.token if self._lease is not None else self.run.lease if self.run is not None else None
        if token is None:
            raise LeaseHeld("writing needs the lease on this lake. Use: with lake.lease(purpose)")
        if self.run is not None and self.run.back_test:
            raise StateError("this run looks back to before the newest snapshot. It writes into its run folder alone")
        with self.ops.connect() as connection:
            lease.check(connection, token)

    def pin(self, table: str, version: int, owner: str, reason: str) -> None:
        """Keeps a version from maintenance, and its digest, to hold it to. Pinning it again changes nothing.

        Raises `LeaseHeld` while maintenance is at work: it has looked already which versions are pinned. Raises `StateError` where that version is not
        there any more, also where it went away meanwhile; then nothing is pinned.
        """
        number = self._checked(table, version)
        if (table, number) not in pins.recorded(self.ops):
            pins.record(self.ops, self.digest(table, number, full=True))
        if not pins.add(self.ops, table, number, owner, reason):
            return
        try:
            # Maintenance that begins from here on sees the pin; one that is at work may not, and one that has ended may have deleted what is pinned.
            who = lease.holder(self.ops)
            if who is not None and who.startswith(f'"{lease.MAINTENANCE}"'):
                raise LeaseHeld(f"{who} is deleting what nothing needs, and may have begun before this pin. Pin again when it is done")
            self._checked(table, number)
        except StateError:
            pins.remove(self.ops, table, number, owner)
            raise


def _end_session(session: SparkSession) -> None:
    with contextlib.suppress(Exception):  # the endpoint may be gone, or the session have ended, which is no reason not to close
        session.stop()
