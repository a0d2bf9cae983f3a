"""The lease: one holder; taken over when it is gone, with what it had started ended."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from sqlalchemy import Engine, update

from lakehouse import process
from lakehouse.errors import LeaseHeld
from lakehouse.tables import lease, ops
from tests.servers import Postgres, postgres

HOLDER = """
import subprocess, sys, time
from lakehouse.tables import lease, ops
engine = ops.connect(sys.argv[1])
with lease.hold(engine, "holder", lease_s=60, wait_s=0) as held:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    held.add_group(child.pid)
    print(child.pid, flush=True)
    time.sleep(60)
"""

JUMPS_S = [-25 * 3600, -3600, 3600, 25 * 3600]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ops.db'}"
    made: str = request.getfixturevalue("server").make(tmp_path.name)
    return made


@pytest.fixture
def engine(url: str) -> Engine:
    return ops.connect(url)


def test_a_second_holder_is_refused_and_told_who_has_it(engine: Engine) -> None:
    with (
        lease.hold(engine, "the first run", lease_s=60, wait_s=0),
        pytest.raises(LeaseHeld, match=rf'"the first run" \(process {os.getpid()} on'),
        lease.hold(engine, "another", lease_s=60, wait_s=0),
    ):
        pytest.fail("two hold the lease")


def test_the_lease_is_free_after_its_block_even_when_that_failed(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), lease.hold(engine, "fails", lease_s=60, wait_s=0):
        _ = 1 / 0
    with lease.hold(engine, "next", lease_s=60, wait_s=0) as held:
        held.check()


def test_a_lease_that_could_not_be_given_back_hides_no_error_and_is_taken_back_by_its_process(tmp_path: Path) -> None:
    engine = ops.connect(f"sqlite:///{tmp_path / 'ops.db'}")
    with engine.begin() as connection:  # as on a full disk: what was written can't be taken away
        connection.exec_driver_sql("CREATE TRIGGER full BEFORE DELETE ON leases BEGIN SELECT RAISE(ABORT, 'no space'); END")
    with pytest.raises(RuntimeError, match="of the work itself"), lease.hold(engine, "first", 30, 0):
        raise RuntimeError("of the work itself")
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER full")
    assert lease.holder(engine) is None
    with lease.hold(engine, "second", 30, 0) as held:
        held.check()
        with pytest.raises(LeaseHeld, match="this very process"), lease.hold(engine, "third", 30, 0):
            pass


def test_a_lease_that_was_taken_over_is_its_old_holders_no_more(engine: Engine) -> None:
    with lease.hold(engine, "gone", lease_s=60, wait_s=0) as old:
        forget_the_holder(engine)
        with lease.hold(engine, "new", lease_s=60, wait_s=0) as new:
            new.check()
            with pytest.raises(LeaseHeld, match="was lost"):
                old.check()


def test_the_lease_of_a_killed_holder_is_taken_over_at_once_and_what_it_started_is_ended(engine: Engine, url: str) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, url], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert psutil.pid_exists(child)
    with lease.hold(engine, "heir", lease_s=60, wait_s=0) as held:
        held.check()
        gone, alive = psutil.wait_procs([process for process in psutil.process_iter() if process.pid == child], timeout=5)
        assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE], gone


def test_a_living_holder_in_another_process_is_not_taken_over(engine: Engine, url: str) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, url], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    try:
        with pytest.raises(LeaseHeld, match='"holder"'), lease.hold(engine, "impatient", lease_s=60, wait_s=0.3):
            pytest.fail("two hold the lease")
        assert psutil.pid_exists(child)
    finally:
        holder.kill()
        holder.wait()
        os.killpg(child, signal.SIGKILL)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the system tells a start that doesn't change")
def test_a_living_holder_stays_one_when_the_clock_is_set(engine: Engine, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, url], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    clock = tmp_path / "proc"
    clock.mkdir()
    for pid in (holder.pid, os.getpid()):
        (clock / str(pid)).symlink_to(f"/proc/{pid}")
    # What the system says of its start once its clock was set back by an hour.
    told = re.sub(r"btime (\d+)", lambda found: f"btime {int(found[1]) - 3600}", Path("/proc/stat").read_text())
    (clock / "stat").write_text(told)
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(clock))
    try:
        with pytest.raises(LeaseHeld, match='"holder"'), lease.hold(engine, "impatient", lease_s=60, wait_s=0.3):
            pytest.fail("two hold the lease")
    finally:
        monkeypatch.undo()
        holder.kill()
        holder.wait()
        os.killpg(child, signal.SIGKILL)


def test_a_lease_from_before_the_system_was_started_anew_is_over_where_no_other_host_can_have_it(engine: Engine) -> None:
    """Two hosts that share a server may have one name, as cloned ones do."""
    with lease.hold(engine, "before", lease_s=60, wait_s=0):
        with engine.begin() as connection:
            connection.execute(update(ops.leases).values(host=f"{socket.gethostname()}/earlier"))
        if engine.dialect.name == "sqlite":
            with lease.hold(engine, "after", lease_s=60, wait_s=0) as held:
                held.check()
        else:
            with pytest.raises(LeaseHeld, match='"before"'), lease.hold(engine, "after", lease_s=60, wait_s=0):
                pytest.fail("two hold the lease")


def test_a_lease_of_another_host_is_not_over_before_it_has_run_out(engine: Engine) -> None:
    with lease.hold(engine, "elsewhere", lease_s=60, wait_s=0):
        move_the_holder(engine)
        with pytest.raises(LeaseHeld, match="on elsewhere, since"), lease.hold(engine, "here", lease_s=60, wait_s=0):
            pytest.fail("two hold the lease")


def test_a_lease_of_another_container_of_the_same_name_is_not_over_though_no_process_here_has_its_number(engine: Engine) -> None:
    host, boot, *_ = process.here().split("/")
    with lease.hold(engine, "in another", lease_s=60, wait_s=0):
        with engine.begin() as connection:
            connection.execute(update(ops.leases).values(host=f"{host}/{boot}/1", pid=2**22 + 1))
        with pytest.raises(LeaseHeld, match='"in another"'), lease.hold(engine, "here", lease_s=60, wait_s=0):
            pytest.fail("two hold the lease")


def test_of_many_who_want_it_at_once_one_holds_it_at_a_time(engine: Engine, url: str) -> None:
    inside, most, guard = 0, 0, threading.Lock()

    def take(turn: int) -> None:
        nonlocal inside, most
        with lease.hold(ops.connect(url), f"taker {turn}", lease_s=60, wait_s=60) as held:
            with guard:
                inside += 1
                most = max(most, inside)
            held.check()
            with guard:
                inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, range(24)))
    assert most == 1


def test_nobody_takes_over_between_the_check_and_the_commit(engine: Engine, url: str) -> None:
    """A lease that may be taken over just after it was checked in a publishing transaction is taken over after that, not within it."""
    with lease.hold(engine, "publishing", lease_s=60, wait_s=0) as held:
        forget_the_holder(engine)
        order: list[str] = []

        def take_over() -> None:
            with lease.hold(ops.connect(url), "heir", lease_s=60, wait_s=30):
                order.append("taken over")

        heir = threading.Thread(target=take_over)
        with engine.begin() as connection:
            lease.check(connection, held.token)
            heir.start()
            time.sleep(0.5)
            order.append("committed")
        heir.join()
    assert order == ["committed", "taken over"]


# ---------------------------------------------------------------------- a clock that is set, or stood still while the host slept


def set_clock(monkeypatch: pytest.MonkeyPatch, by_s: float) -> None:
    """The wall clock as whoever wants the lease is told it."""
    told = SimpleNamespace(time=lambda: time.time() + by_s, monotonic=time.monotonic, sleep=time.sleep)
    monkeypatch.setattr(lease, "time", told)


def forget_the_holder(engine: Engine) -> None:
    """Whoever holds the lease is gone: its number is another process's."""
    with engine.begin() as connection:
        connection.execute(update(ops.leases).values(born=-1.0))


def move_the_holder(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(update(ops.leases).values(host="elsewhere/1", pid=1))


@contextmanager
def renewed_elsewhere(engine: Engine, every_s: float) -> Iterator[None]:
    """The holder, on a host whose clock is right, renews its lease."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(every_s):
            with engine.begin() as connection:
                connection.execute(update(ops.leases).values(until=time.time() + 1))

    renewal = threading.Thread(target=renew)
    renewal.start()
    try:
        yield
    finally:
        over.set()
        renewal.join()


@pytest.mark.parametrize("by_s", JUMPS_S)
def test_whatever_the_clock_says_a_living_holder_keeps_its_lease_and_a_killed_one_loses_it(
    engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch, by_s: float
) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, url], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    try:
        set_clock(monkeypatch, by_s)
        with pytest.raises(LeaseHeld, match='"holder"'), lease.hold(engine, "impatient", lease_s=60, wait_s=0.3):
            pytest.fail("two hold the lease")
        assert psutil.Process(child).status() != psutil.STATUS_ZOMBIE
        assert "holder" in (lease.holder(engine) or "")
        holder.kill()
        holder.wait()
        with lease.hold(engine, "heir", lease_s=60, wait_s=0) as held:
            held.check()
    finally:
        holder.kill()
        holder.wait()
        if psutil.pid_exists(child):
            os.killpg(child, signal.SIGKILL)


@pytest.mark.parametrize("by_s", JUMPS_S)
def test_whatever_the_clock_says_a_holder_elsewhere_that_renews_its_lease_keeps_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, by_s: float
) -> None:
    with lease.hold(engine, "elsewhere", lease_s=60, wait_s=0) as old:
        move_the_holder(engine)
        set_clock(monkeypatch, by_s)
        with (
            renewed_elsewhere(engine, every_s=0.1),
            pytest.raises(LeaseHeld, match="on elsewhere, since"),
            lease.hold(engine, "here", lease_s=0.8, wait_s=1.2),
        ):
            pytest.fail("two hold the lease")
        old.check()


@pytest.mark.parametrize("by_s", JUMPS_S)
def test_whatever_the_clock_says_a_holder_elsewhere_that_is_gone_is_waited_for_as_long_as_a_lease_lasts(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, by_s: float
) -> None:
    with lease.hold(engine, "elsewhere", lease_s=60, wait_s=0) as old:
        move_the_holder(engine)
        set_clock(monkeypatch, by_s)
        began = time.monotonic()
        with lease.hold(engine, "here", lease_s=0.8, wait_s=0) as new:
            assert 0.8 <= time.monotonic() - began < 10
            new.check()
            with pytest.raises(LeaseHeld, match="was lost"):
                old.check()


def test_a_holder_that_slept_while_its_lease_was_taken_renews_it_no_more(engine: Engine) -> None:
    with lease.hold(engine, "asleep", lease_s=60, wait_s=0) as old:
        forget_the_holder(engine)
        with lease.hold(engine, "new", lease_s=60, wait_s=0) as new:
            over = threading.Event()
            awake = threading.Thread(target=lease._renew, args=(engine, old.token, 0.1, over))
            awake.start()
            over.wait(0.3)
            over.set()
            awake.join()
            new.check()
            with pytest.raises(LeaseHeld, match="was lost"):
                old.check()


@pytest.mark.parametrize("by_s", JUMPS_S)
def test_a_holder_whose_own_clock_is_set_keeps_its_lease(engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch, by_s: float) -> None:
    with lease.hold(engine, "at work", lease_s=0.2, wait_s=0) as held:
        set_clock(monkeypatch, by_s)
        time.sleep(0.3)  # it renews by that clock
        monkeypatch.undo()
        with pytest.raises(LeaseHeld, match="this very process"), lease.hold(ops.connect(url), "another", lease_s=0.2, wait_s=0.3):
            pytest.fail("two hold the lease")
        held.check()
