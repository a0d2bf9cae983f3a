"""Real servers for tests: PostgreSQL and Redis, on free ports of 127.0.0.1, started and stopped by process id."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from tests.conftest import skip_or_fail

PATIENCE_S = 30
PASSWORD = "of-the-tests"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Postgres:
    """A server of its own: databases by name, and a way to have it gone."""

    folder: Path
    programs: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        return f"postgresql+pg8000://postgres:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def make(self, database: str) -> str:
        """A new, empty database. Returns its URL."""
        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{database}"'))
        return self.url(database)

    def start(self) -> None:
        options = ["-D", str(self.folder / "data"), "-p", str(self.port), "-h", "127.0.0.1", "-k", str(self.folder), "-F"]
        self.process = subprocess.Popen(
            [self.programs / "postgres", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **_not_as_root()
        )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                with create_engine(self.url("postgres"), poolclass=NullPool).connect():
                    return
            except SQLAlchemyError:
                assert self.process.poll() is None and time.monotonic() < deadline, "PostgreSQL did not start"
                time.sleep(0.1)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)  # its fast shutdown: whoever is connected is sent away
            self.process.wait(PATIENCE_S)
            self.process = None


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A new server. A machine without one skips, or fails where nothing may be skipped."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found and not shutil.which("postgres"):
        skip_or_fail("there is no PostgreSQL on this machine (Debian: postgresql)")
    programs = found[-1].parent if found else Path(str(shutil.which("postgres"))).parent
    folder = Path(tempfile.mkdtemp(prefix="zm-pg-"))  # not in pytest's folder, which is closed to other users
    try:
        if os.getuid() == 0:
            shutil.chown(folder, _user().pw_uid, _user().pw_gid)
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        _run(programs / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}", "-N")
        server = Postgres(folder, programs, free_port())
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@dataclass
class Redis:
    """A server that keeps nothing when it is stopped."""

    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def words(self) -> str:
        return f"127.0.0.1:{self.port},db=0"

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None and time.monotonic() < deadline, "Redis did not start"
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
            self.process = None


@contextmanager
def redis() -> Iterator[Redis]:
    """A new, empty server. A machine without one skips, or fails where nothing may be skipped."""
    if not shutil.which("redis-server"):
        skip_or_fail("there is no Redis on this machine (Debian: redis-server)")
    server = Redis(free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _run(*words: object) -> None:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60, **_not_as_root())
    assert done.returncode == 0, done.stderr


def _user() -> pwd.struct_passwd:
    return pwd.getpwnam("postgres")


def _not_as_root() -> dict[str, object]:
    """PostgreSQL refuses to run as root."""
    groups: Sequence[int] = ()
    return {"user": _user().pw_uid, "group": _user().pw_gid, "extra_groups": groups, "cwd": "/"} if os.getuid() == 0 else {}
