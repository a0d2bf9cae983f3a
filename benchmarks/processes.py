"""Processes that benchmarks start and watch: the command line, and the service until it is told to end."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 120


@dataclass(frozen=True)
class Server:
    """The running service: where it listens, and how long it took from its start until it said that it is ready."""

    process: subprocess.Popen[bytes]
    port: int
    ready_s: float

    def resident_bytes(self) -> int:
        """Of the process and all that it started."""
        me = psutil.Process(self.process.pid)
        return sum(one.memory_info().rss for one in (me, *me.children(recursive=True)))


def zeromargin(home: Path, *words: str) -> str:
    """One command on a home; what it prints on standard output."""
    environ = {**os.environ, "ZEROMARGIN_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "jobs.cli", *words], cwd=ROOT, env=environ, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def rows(home: Path, query: str, limit: int) -> list[dict[str, str]]:
    """Rows of the home's published tables."""
    found: list[dict[str, str]] = json.loads(zeromargin(home, "sql", query, "--limit", str(limit), "--json"))
    return found


@contextmanager
def serving(home: Path) -> Iterator[Server]:
    """The service on a home, as one process, ready, for the length of the block."""
    port, began = free_port(), time.perf_counter()
    environ: Mapping[str, str] = {**os.environ, "ZEROMARGIN_HOME": str(home)}
    process = subprocess.Popen(
        [sys.executable, "-m", "serving", "--port", str(port)],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _is_ready(port):
            if process.poll() is not None:
                raise SystemExit(f"the service ended with {process.returncode}. See why: zeromargin --home {home} serve")
            if time.perf_counter() - began > PATIENCE_S:
                raise SystemExit(f"the service was not ready within {PATIENCE_S} s. See why: zeromargin --home {home} serve")
            time.sleep(0.02)
        yield Server(process, port, time.perf_counter() - began)
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False
