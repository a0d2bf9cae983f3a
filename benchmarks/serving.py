"""The HTTP service under load: how soon it is ready, what it holds, how many answers it gives and how long each takes.

    python benchmarks/serving.py [--home HOME] [--requests 4000] [--json PATH]

HOME is a home with three champions; left out, one is made from a sample in a temporary folder, which takes a few minutes. One server
process answers 8 connections that are kept open, each asking again as soon as it was answered; the client is a process of its own that
does little more than copy bytes. The bounds are for 2 cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from processes import Server, rows, serving, zeromargin
from report import Figure, arguments, parser, tell

from lakehouse.ingest.sample_truth import read_truth

CONNECTIONS = 8
ALONE = 500  # asked one after the other
WARM_UP = 200
MOST_ENTITIES = 2_000
PATHS = {"forecast": "/v1/forecast", "segment": "/v1/segment", "recommendation": "/v1/recommend"}
Questions = dict[str, list[dict[str, object]]]


@dataclass(frozen=True)
class Load:
    """What came of one round of requests. `seconds`: from the first question to the last answer; `latencies`: of each, sorted."""

    seconds: float
    latencies: Sequence[float]
    fallbacks: int

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def quantile_ms(self, share: float) -> float:
        return 1_000 * self.latencies[max(0, math.ceil(share * len(self.latencies)) - 1)]

    def as_json(self) -> dict[str, float]:
        quantiles = {f"p{share}_ms": round(self.quantile_ms(share / 100), 2) for share in (50, 99)}
        return {"per_second": round(self.rate, 1), **quantiles, "fallbacks": self.fallbacks}


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--home", type=Path, help="a home with three champions; left out, one is made from a sample")
    made.add_argument("--requests", type=int, default=4_000, help="forecasts; half as many of each other kind")
    made.add_argument("--client", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = arguments(made)
    if options.client is not None:
        print(json.dumps(client(options.client, json.load(sys.stdin))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        if options.home is None:
            home, numbers = sample_home(Path(folder))
        else:
            home, numbers = options.home.expanduser().resolve(), []
        asked = questions(home, numbers)
        with serving(home) as server:
            idle = server.resident_bytes()
            crowded = {
                kind: load(server, kind, asked[kind], CONNECTIONS, options.requests // (1 if kind == "forecast" else 2)) for kind in PATHS
            }
            alone = {kind: load(server, kind, asked[kind], 1, ALONE) for kind in PATHS}
            loaded = server.resident_bytes()
    print(f"\n{'':<16}{'per second':>11}{'p50 ms':>8}{'p99 ms':>8}{'  alone:':<8}{'p50 ms':>8}{'p99 ms':>8}{'fallbacks':>11}")
    for kind, found in crowded.items():
        one = alone[kind]
        print(
            f"{kind:<16}{found.rate:>11,.0f}{found.quantile_ms(0.5):>8.2f}{found.quantile_ms(0.99):>8.2f}{'':<8}"
            f"{one.quantile_ms(0.5):>8.2f}{one.quantile_ms(0.99):>8.2f}{found.fallbacks + one.fallbacks:>11}"
        )
    print(f"\nresident memory before the load {idle / 1e6:,.0f} MB; {CONNECTIONS} connections, one server process, client beside it")
    print(f"{len(asked['forecast']):,} products and {len(asked['segment']):,} customers by {'number' if numbers else 'key'}\n")
    figures = [
        Figure("ready after", server.ready_s, "s", 15),
        Figure("resident memory after the load", loaded / 1e6, "MB", 700),
        Figure("forecasts", crowded["forecast"].rate, "/s", 250, at_least=True),
        Figure("a recommendation alone, median", alone["recommendation"].quantile_ms(0.5), "ms", 10),
    ]
    measured = {
        "idle_mb": round(idle / 1e6),
        "crowded": {kind: found.as_json() for kind, found in crowded.items()},
        "alone": {kind: found.as_json() for kind, found in alone.items()},
    }
    return tell("serving", options, figures, measured)


def sample_home(folder: Path) -> tuple[Path, list[str]]:
    """A home made as a user makes one, and its customers' numbers."""
    home, raw = folder / "home", folder / "raw"
    print("making a sample home ...", flush=True)
    began = time.perf_counter()
    zeromargin(home, "sample", str(raw))
    zeromargin(home, "load", str(raw), "--source", "canonical", "--json")
    zeromargin(home, "run", "--json")
    print(f"made in {time.perf_counter() - began:.0f} s", flush=True)
    return home, sorted(read_truth(raw).customers)


def questions(home: Path, numbers: Sequence[str]) -> Questions:
    """One question of each kind per product or customer. Without `numbers`, customers are asked about by key."""
    products = rows(home, "SELECT DISTINCT store, product_code FROM predictions.forecasts ORDER BY store, product_code", MOST_ENTITIES)
    customers: list[dict[str, object]] = [{"customer": number} for number in numbers[:MOST_ENTITIES]]
    if not customers:
        keys = rows(home, "SELECT DISTINCT customer_key FROM predictions.segments ORDER BY customer_key", MOST_ENTITIES)
        customers = [{"customer_key": row["customer_key"]} for row in keys]
    if not products or not customers:
        raise SystemExit(f"{home} has published no predictions. Load files and run first: zeromargin load, zeromargin run")
    return {
        "forecast": [{"product": row["product_code"], "store": row["store"], "weeks": 4} for row in products],
        "segment": customers,
        "recommendation": [{**customer, "k": 20} for customer in customers],
    }


def load(server: Server, kind: str, bodies: Sequence[dict[str, object]], connections: int, requests: int) -> Load:
    """One round of questions of a kind, from a process of its own, after a warm-up."""
    order = {"path": PATHS[kind], "bodies": bodies, "connections": connections, "requests": requests}
    told = subprocess.run(
        [sys.executable, __file__, "--client", str(server.port)], input=json.dumps(order), check=True, stdout=subprocess.PIPE, text=True
    )
    return Load(**json.loads(told.stdout))


# ------------------------------------------------------------------ the client's process


def client(port: int, order: dict[str, object]) -> dict[str, object]:
    """Carries out what `load` ordered. Raw streams, since a client of comforts would be slower than the service."""
    import uvloop

    bodies, connections, requests = order["bodies"], order["connections"], order["requests"]
    assert isinstance(bodies, list) and isinstance(connections, int) and isinstance(requests, int)
    messages = [_message(port, str(order["path"]), body) for body in bodies]

    async def rounds() -> dict[str, object]:
        await _round(port, messages, connections, WARM_UP)
        return await _round(port, messages, connections, requests)

    return uvloop.run(rounds())


async def _round(port: int, messages: Sequence[bytes], connections: int, requests: int) -> dict[str, object]:
    latencies: list[float] = []
    fallbacks = 0
    left: Iterator[int] = iter(range(requests))

    async def ask() -> None:
        nonlocal fallbacks
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in left:
            began = time.perf_counter()
            writer.write(messages[number % len(messages)])
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(size)
            latencies.append(time.perf_counter() - began)
            if b" 200 " not in head[:16]:
                raise SystemExit(f"expected 200, found {head.splitlines()[0].decode()}: {body[:300].decode()}")
            fallbacks += b'"fallback":null' not in body
        writer.close()
        await writer.wait_closed()

    began = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(connections)))
    return {"seconds": time.perf_counter() - began, "latencies": sorted(latencies), "fallbacks": fallbacks}


def _message(port: int, path: str, body: object) -> bytes:
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


if __name__ == "__main__":
    sys.exit(main())
