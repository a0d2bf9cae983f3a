"""Starting, attaching to and stopping a Spark Connect endpoint."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from lakehouse import scratch
from lakehouse.engine import commands
from lakehouse.errors import EndpointDown
from lakehouse.settings import Settings

TRIES = 3
SPARK_REMOTE, SETTING = "SPARK_REMOTE", "endpoint.remote (ZEROMARGIN_ENDPOINT__REMOTE)"
LOG_BYTES = 4_000_000  # of endpoint.log; then one older file is kept beside it
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Endpoint:
    """A Spark Connect endpoint. `process` is ours to stop, and `own` the folder for what it puts aside; None where the endpoint was given to us."""

    url: str
    process: subprocess.Popen[bytes] | None = None
    own: Path | None = None

    def stop(self) -> None:
        """Ends the endpoint's process group, if it is ours. Harmless when it has ended already."""
        if self.process is None:
            return
        self._end(self.process)
        if self.own is not None:
            shutil.rmtree(self.own, ignore_errors=True)

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        for sign, wait_s in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(wait_s)
                return


def remote(settings: Settings) -> Endpoint | None:
    """The endpoint that we are given, by SPARK_REMOTE before the settings; None where one is to be started. Raises `EndpointDown` as `attach`."""
    url = os.environ.get(SPARK_REMOTE)
    if url:
        return attach(url, SPARK_REMOTE)
    return attach(settings.endpoint.remote, SETTING) if settings.endpoint.remote else None


def attach(url: str, named_by: str, timeout_s: float = 5.0) -> Endpoint:
    """The endpoint at `url` (sc://host:port), which the setting `named_by` gave. Raises `EndpointDown` within `timeout_s` when nothing listens
    there."""
    parts = urlsplit(url)
    shown = url.partition("/;")[0]  # what comes after it may be a token
    if parts.scheme != "sc" or not parts.hostname:
        raise EndpointDown(f'the endpoint "{shown}" of {named_by} is not a Spark Connect URL. Expected sc://host:port')
    try:
        socket.create_connection((parts.hostname, parts.port or 15002), timeout_s).close()
    except OSError as error:
        raise EndpointDown(
            f"nothing answers at {shown} ({error.strerror or error}). Start the endpoint, or leave {named_by} out to have one started"
        ) from None
    return Endpoint(url)


def start(settings: Settings, folder: Path) -> Endpoint:
    """Starts the engine's endpoint on a free port of 127.0.0.1 and waits until it listens.

    It dies with the process that started it. Its output goes to `folder`/endpoint.log (of a home that is read-only: to a folder that goes with
    this process), and what it puts aside to a folder of its own in there, which the next start clears where it was killed. A port that was taken
    between choosing and binding is chosen anew. Raises `EndpointDown` with the log's last lines when it does not come up in `endpoint.start_timeout_s`.
    """
    folder = _writable(folder)
    log = folder / "endpoint.log"
    if log.exists() and log.stat().st_size > LOG_BYTES:  # an engine that others use goes on writing into the older one
        log.replace(log.with_name("endpoint.log.1"))
    said = f"did not listen within {settings.endpoint.start_timeout_s:g} s"
    for _ in range(TRIES):
        port = _free_port()
        make = commands.sail if settings.engine == "sail" else commands.spark
        own = scratch.folder(folder, "server-")
        command = make(settings, port, own)
        process = _spawn(command, log)
        scratch.share(own, process.pid)  # where it does not die with this one
        endpoint = Endpoint(f"sc://127.0.0.1:{port}", process, own)
        if _listens(port, process, settings.endpoint.start_timeout_s):
            return endpoint
        if process.poll() is not None:
            said = f"ended with code {process.returncode} instead of listening"
        endpoint.stop()
        if process.returncode in (-signal.SIGTERM, -signal.SIGKILL):
            break
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
    raise EndpointDown(f"the engine {settings.engine} {said}. Its log ({log}) ends with:\n{tail}")


def _writable(folder: Path) -> Path:
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if os.access(folder, os.W_OK | os.X_OK):
        return folder
    elsewhere = scratch.folder(Path(tempfile.gettempdir()), "zeromargin-endpoint-")
    atexit.register(shutil.rmtree, elsewhere, ignore_errors=True)
    return elsewhere


def _spawn(command: commands.Command, log: Path) -> subprocess.Popen[bytes]:
    parent = os.getpid()
    libc = ctypes.CDLL(None, use_errno=True)

    def die_with_parent() -> None:
        # Linux only; elsewhere the lease's takeover ends what a killed holder left behind.
        if hasattr(libc, "prctl"):
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

    with log.open("ab") as sink:
        return subprocess.Popen(
            command.words,
            # A server that is told where another one is takes itself for a client.
            env={name: value for name, value in os.environ.items() if name != SPARK_REMOTE} | command.environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int, process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        # Whoever answers there may be somebody else, who took the port first: ours ends because of it, but only when it comes to bind it.
        if port in _ports_of(process.pid):
            return True
        time.sleep(0.05)
    return False


def _ports_of(pid: int) -> set[int]:
    """Where the process and those that it started listen."""
    found: set[int] = set()
    with contextlib.suppress(psutil.Error):
        me = psutil.Process(pid)
        for one in (me, *me.children(recursive=True)):
            found |= {link.laddr.port for link in one.net_connections("tcp") if link.status == psutil.CONN_LISTEN}
    return found
