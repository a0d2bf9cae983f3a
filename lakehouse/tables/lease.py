"""One writer at a time: a lease on the lake, renewed while it is held, taken over when its holder is gone.

The wall clock decides nothing, for somebody may set it, and a host may sleep. On this host a holder is gone when its process is. One on another
host is gone when whoever waits has not seen its lease renewed for as long as a lease lasts, by a clock that nobody sets.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
from sqlalchemy import Connection, Engine, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from lakehouse import process
from lakehouse.errors import LeaseHeld
from lakehouse.tables.ops import leases, now

NAME = "lake"
MAINTENANCE = "maintenance"  # the purpose of whoever deletes what nothing needs
_LOOK_S = 0.2
_LEFT: set[str] = set()  # leases of this process that it holds no more and could not give back

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lease:
    """A lease that was granted. `token` names this holding of it and no other."""

    token: str
    purpose: str
    engine: Engine
    name: str = NAME

    def check(self) -> None:
        """Raises `LeaseHeld` when somebody else has the lease by now."""
        with self.engine.connect() as connection:
            check(connection, self.token, self.name)

    def add_group(self, group: int) -> None:
        """Remembers a process group that the holder started, so that a takeover ends it too. One that has ended by now is left out."""
        try:
            born = process.born(group)
        except psutil.NoSuchProcess:
            return
        with self.engine.begin() as connection:
            groups = connection.execute(select(leases.c.groups).where(leases.c.token == self.token)).scalar() or []
            connection.execute(update(leases).where(leases.c.token == self.token).values(groups=[*groups, [group, born]]))


def check(connection: Connection, token: str, name: str = NAME) -> None:
    """Raises `LeaseHeld` unless `token` holds the lease; in the caller's own transaction, until whose end nobody takes it over."""
    row = connection.execute(select(leases).where(leases.c.name == name).with_for_update()).first()
    if row is None or row.token != token:
        who, what = "nobody" if row is None else _holder(row), "on this lake" if name == NAME else f'"{name}"'
        raise LeaseHeld(f"the lease {what} was lost: {who} holds it now. What was not committed is dropped; run again")


@contextlib.contextmanager
def hold(engine: Engine, purpose: str, lease_s: float, wait_s: float, name: str = NAME) -> Iterator[Lease]:
    """Holds a lease (left out: that on writing) for the length of the block, renewing it. Raises `LeaseHeld` after `wait_s`, saying who has it.

    Where it can't be given back, since the disk is full or the database away, this process takes it back when it writes next, others once it has ended.
    """
    lease = _acquire(engine, purpose, lease_s, wait_s, name)
    over = threading.Event()
    renewal = threading.Thread(target=_renew, args=(engine, lease.token, lease_s, over), daemon=True)
    renewal.start()
    try:
        yield lease
    finally:
        over.set()
        renewal.join()
        _give_back(engine, lease)


def _give_back(engine: Engine, lease: Lease) -> None:
    try:
        with engine.begin() as connection:
            connection.execute(delete(leases).where(leases.c.token == lease.token))
    except Exception as error:  # what the block raised is what has to be told
        _LEFT.add(lease.token)
        log.warning(
            'the lease for "%s" could not be given back (%s): it ends with this process, or when it writes again', lease.purpose, error
        )


def holder(engine: Engine, name: str = NAME) -> str | None:
    """Who holds a lease, in words; none where nobody does who lives. Of another host's holder one look tells no more than the wall clock does."""
    with engine.connect() as connection:
        row = connection.execute(select(leases).where(leases.c.name == name)).first()
    return None if row is None or _is_over(engine, row) or (not _is_here(engine, row) and row.until < time.time()) else _holder(row)


def _acquire(engine: Engine, purpose: str, lease_s: float, wait_s: float, name: str) -> Lease:
    deadline, watch = time.monotonic() + wait_s, _Watch(engine, lease_s)
    while True:
        try:
            with engine.begin() as connection:
                row = connection.execute(select(leases).where(leases.c.name == name).with_for_update()).first()
                if row is None or _is_over(engine, row) or watch.has_run_out(row):
                    return Lease(_granted(connection, row, purpose, lease_s, name), purpose, engine, name)
        except IntegrityError:  # PostgreSQL: a row that is not there can't be locked, and somebody else was faster to write it
            continue
        left = deadline - time.monotonic()
        if left <= 0 and not watch.goes_on(row):
            if name != NAME:
                raise LeaseHeld(f"{_holder(row)} is at it already on this lake. Stop that one first")
            if row.host == process.here() and row.pid == os.getpid():
                raise LeaseHeld(f"this very process is writing to this lake already: {_holder(row)}. Close that lake first: lake.close()")
            raise LeaseHeld(f"{_holder(row)} is writing to this lake. Wait until it is done, or set ops.wait_s to have it waited for")
        time.sleep(min(_LOOK_S, max(0.01, left)) if left > 0 else _LOOK_S)


class _Watch:
    """What somebody who wants a lease sees of it, look by look, where its holder is on another host."""

    def __init__(self, engine: Engine, lease_s: float) -> None:
        self._engine, self._lease_s = engine, lease_s
        self._token, self._until, self._since, self._renewed = "", 0.0, 0.0, False

    def has_run_out(self, row: Row[tuple[object, ...]]) -> bool:
        """A look. Whether the lease has not been renewed for as long as a lease lasts."""
        if _is_here(self._engine, row):
            return False
        if (row.token, row.until) != (self._token, self._until):
            self._renewed = row.token == self._token
            self._token, self._until, self._since = row.token, row.until, time.monotonic()
            if not self._renewed and self._looks_over(row):
                log.warning("%s does not look alive. Whether it renews its lease is watched for %g s", _holder(row), self._lease_s)
        return time.monotonic() - self._since >= self._lease_s

    def goes_on(self, row: Row[tuple[object, ...]]) -> bool:
        """Whether to look on, however short the wait was to be: by this clock the holder is gone, which is not known until it was watched."""
        return not _is_here(self._engine, row) and not self._renewed and self._looks_over(row)

    def _looks_over(self, row: Row[tuple[object, ...]]) -> bool:
        """Whether a holder that lives, and whose clock is as ours, would have written another time."""
        return not 0 <= row.until - time.time() <= self._lease_s


def _granted(connection: Connection, former: Row[tuple[object, ...]] | None, purpose: str, lease_s: float, name: str) -> str:
    """Takes a lease that is free or over, after ending what its former holder started. Returns its token."""
    if former is not None:
        if former.token not in _LEFT:
            _end_groups(former)
        connection.execute(delete(leases).where(leases.c.name == name))
    token, pid = uuid.uuid4().hex, os.getpid()
    connection.execute(
        insert(leases).values(
            name=name,
            token=token,
            purpose=purpose,
            host=process.here(),
            pid=pid,
            born=process.born(pid),
            groups=[],
            since=now(),
            until=time.time() + lease_s,
        )
    )
    return token


def _renew(engine: Engine, token: str, lease_s: float, over: threading.Event) -> None:
    while not over.wait(lease_s / 4):
        with contextlib.suppress(Exception), engine.begin() as connection:  # a locked database: the next turn tries again
            connection.execute(update(leases).where(leases.c.token == token).values(until=time.time() + lease_s))


def _is_here(engine: Engine, row: Row[tuple[object, ...]]) -> bool:
    """Whether it can be told from here whether the holder lives. A run database in a file is this host's alone, so that a holder of its name from before
    it was started anew is gone; of those that share a server two may have one name."""
    same_start = row.host.split("/")[:2] == process.here().split("/")[:2]
    return process.is_here(row.host) and (same_start or engine.dialect.name == "sqlite")


def _is_over(engine: Engine, row: Row[tuple[object, ...]]) -> bool:
    """Whether the holder, on this host, is gone, or is this process and holds it no more."""
    if row.token in _LEFT:
        return True
    if not _is_here(engine, row):
        return False  # or by a version that didn't say since which start of its host
    return row.host != process.here() or not process.is_alive(row.pid, row.born)


def _end_groups(row: Row[tuple[object, ...]]) -> None:
    """Ends what the former holder started on this host; a group whose leader is another process by now is left alone."""
    if row.host != process.here():
        return
    for group, born in row.groups:
        members = [one for one in psutil.process_iter() if _group_of(one.pid) == group]
        leader_is_other = psutil.pid_exists(group) and not process.is_alive(group, born)
        if members and not leader_is_other:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


def _group_of(pid: int) -> int | None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        return os.getpgid(pid)
    return None


def _holder(row: Row[tuple[object, ...]]) -> str:
    return f'"{row.purpose}" (process {row.pid} on {process.host_of(row.host)}, since {row.since:%Y-%m-%d %H:%M:%S} UTC)'
