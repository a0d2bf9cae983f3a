"""From the raw file to the first served answer: seconds by step, and the memory of all processes together.

    python benchmarks/first_answer.py [--engine sail|spark] [--data FILE --source NAME]

Target on 2 cores with Sail and Online Retail II: at most 360 s and 5 GB. The home is made anew in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared" / "data" / "online_retail_ii.parquet"
EVERY_S = 0.5


class Memory:
    """The most that this process and all below it have held at once, in bytes: shared pages are counted once (PSS)."""

    def __init__(self) -> None:
        self.peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(EVERY_S):
            total = 0
            for process in me.children(recursive=True):
                try:
                    total += process.memory_full_info().pss
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
            self.peak = max(self.peak, total)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("sail", "spark"), default="sail")
    parser.add_argument("--data", type=Path, default=REAL)
    parser.add_argument("--source", default="online-retail-ii")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Memory() as memory:
        home, began = Path(folder) / "home", time.monotonic()
        environ = {**os.environ, "ZEROMARGIN_HOME": str(home), "ZEROMARGIN_ENGINE": options.engine}
        with step("load"):
            zeromargin(environ, "load", str(options.data), "--source", options.source)
        with step("run"):
            report = json.loads(zeromargin(environ, "run", "--json"))
        for stage in report["stages"]:
            print(f"    {stage['name']:<16} {stage['seconds']:6.1f} s")
        with step("serve, until the first answer"):
            answer = first_answer(environ)
        seconds = time.monotonic() - began
    print(f"answered by {answer['model']['name']} version {answer['model']['version']}, fallback {answer['fallback']}")
    print(f"in all {seconds:.0f} s; all processes together at most {memory.peak / 1e9:.2f} GB")
    print(f"engine {options.engine}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.machine()}")


@contextmanager
def step(name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"{name}: {time.monotonic() - began:.1f} s", flush=True)


def zeromargin(environ: dict[str, str], *words: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "jobs.cli", *words], cwd=ROOT, env=environ, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def first_answer(environ: dict[str, str]) -> dict[str, dict[str, str]]:
    rows = json.loads(
        zeromargin(environ, "sql", "SELECT product_code FROM gold.products ORDER BY lines DESC, product_code", "--limit", "1", "--json")
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "jobs.cli", "serve", "--port", str(port)], cwd=ROOT, env=environ, stderr=subprocess.DEVNULL
    )
    try:
        body = json.dumps({"product": rows[0]["product_code"]}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/forecast", body, {"content-type": "application/json"})
        for _ in range(600):
            try:
                with urllib.request.urlopen(request, timeout=10) as reply:
                    found: dict[str, dict[str, str]] = json.load(reply)
                    return found
            except OSError:
                time.sleep(0.1)
        raise SystemExit("no answer within a minute")
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    main()
