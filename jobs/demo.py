"""`make demo`: the whole main job on a fresh home, as a user would type it, ending with three answers from the server.

Takes DATA (a file or folder) and SOURCE (an entry of sources.yml) from the environment; without them a seeded sample is made.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

import lakehouse
from lakehouse.tables import Lake

SAMPLE = ("--weeks", "90", "--products", "300", "--customers", "800")
READY_S = 60
console = Console(highlight=False)


@dataclass(frozen=True)
class Asked:
    """What the demo asks the server about: the best-selling product and the customer who bought most."""

    product: str
    store: str
    customer_key: str | None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    home = parser.parse_args().home.resolve()
    began = time.monotonic()
    data, source = os.environ.get("DATA") or "", os.environ.get("SOURCE") or ""
    if data and not source:
        console.print(
            "DATA needs SOURCE, the entry of conf/base/sources.yml that describes it: make demo DATA=path SOURCE=online-retail-ii"
        )
        return 2
    if not data:
        data, source = str(home / "raw"), "canonical"
        _zeromargin(home, "sample", data, *SAMPLE)
    _zeromargin(home, "load", data, "--source", source)
    _zeromargin(home, "run")
    with lakehouse.open(home=home) as lake:
        asked = _asked(lake)
    with _server(home) as url:
        silent = _answers(url, asked)
    _where(home, time.monotonic() - began)
    return 1 if silent else 0


def _zeromargin(home: Path, *words: str) -> None:
    """Runs one command as a user would, and ends the demo where it fails."""
    console.print(f"\n[bold]$ zeromargin --home {_short(home)} {' '.join(words)}[/bold]", soft_wrap=True)
    code = subprocess.run([sys.executable, "-m", "jobs.cli", "--home", str(home), *words], check=False).returncode
    if code:
        raise SystemExit(code)


def _asked(lake: Lake) -> Asked:
    best = lake.sql(
        "SELECT store, product_code, sum(units) AS sold FROM gold.daily_sales "
        "WHERE day > (SELECT max(day) FROM gold.daily_sales) - INTERVAL 60 DAYS "
        "GROUP BY store, product_code ORDER BY sold DESC, product_code LIMIT 1"
    ).toArrow()
    customer = lake.sql("SELECT customer_key FROM gold.customers ORDER BY days DESC, customer_key LIMIT 1").toArrow()
    key = customer.column("customer_key")[0].as_py() if customer.num_rows else None
    return Asked(best.column("product_code")[0].as_py(), best.column("store")[0].as_py(), key)


@contextmanager
def _server(home: Path) -> Iterator[str]:
    """A server on a free port of 127.0.0.1, ready to answer, for the length of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    console.print(f"\n[bold]$ zeromargin --home {_short(home)} serve --port {port} &[/bold]")
    log = home / "serve.log"
    with log.open("w") as sink:
        words = [sys.executable, "-m", "jobs.cli", "--home", str(home), "serve", "--port", str(port)]
        process = subprocess.Popen(words, stdout=sink, stderr=subprocess.STDOUT)
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline, said = time.monotonic() + READY_S, "nothing yet"
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:
                if answer.status == 200:
                    return
        except urllib.error.HTTPError as error:
            said = error.read().decode()
        except OSError as error:
            said = str(error)
        time.sleep(0.2)
    raise SystemExit(f"the server was not ready within {READY_S} s: {said}. Its log: {log}")


def _answers(url: str, asked: Asked) -> list[str]:
    """Asks for a forecast, a segment and recommendations. Returns what was answered by a baseline instead of a champion."""
    questions: list[tuple[str, dict[str, object]]] = [("forecast", {"product": asked.product, "store": asked.store, "weeks": 4})]
    if asked.customer_key is not None:
        questions += [("segment", {"customer_key": asked.customer_key}), ("recommend", {"customer_key": asked.customer_key, "k": 5})]
    fallbacks = []
    for name, body in questions:
        text = json.dumps(body)
        header = "content-type: application/json"
        console.print(f"\n[bold]$ curl {url}/v1/{name} -H '{header}' -d '{text}'[/bold]", soft_wrap=True)
        request = urllib.request.Request(f"{url}/v1/{name}", text.encode(), dict([header.split(": ")]))
        with urllib.request.urlopen(request, timeout=10) as reply:
            answer = json.load(reply)
        console.print_json(data=answer)
        if answer["fallback"] is not None:
            fallbacks.append(f"{name}: {answer['fallback']}")
    for line in fallbacks:
        console.print(f"[red]No champion answered {line}[/red]")
    return fallbacks


def _where(home: Path, seconds: float) -> None:
    short = _short(home)
    console.print(f"\nDone in {seconds:.0f} s. Everything is in [bold]{short}[/bold]:")
    console.print(f"  tables      zeromargin --home {short} tables, show gold.products, history silver.sales")
    console.print(f"  notebooks   {short}/runs/*/ (as they were executed)")
    console.print(f"  quality     {short}/docs/*/report.html")
    console.print(f"  models      zeromargin --home {short} models")
    console.print(f"  questions   zeromargin --home {short} serve, then http://127.0.0.1:8000/docs")
    console.print(f"  Python      import lakehouse; lake = lakehouse.open('{short}')")


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


if __name__ == "__main__":
    raise SystemExit(main())
