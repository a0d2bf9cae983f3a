"""The service on a copy of the trained home, in this process or in one of its own, and what its tests look at."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path

import httpx
from starlette.testclient import TestClient

from lakehouse import journal
from lakehouse.models.bundle import Facts, read_bundle, write_bundle
from lakehouse.privacy.secrets import signing_key, verify_key
from lakehouse.privacy.vault import open_vault
from lakehouse.registry.loading import Registered, Registry
from lakehouse.settings import Settings
from lakehouse.tables import handles
from serving.app import create_app
from tests.conftest import SECRET
from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[1]
IDENTITY = "canonical"  # the space of the sample's customer numbers
UNKNOWN = "99887766554433"  # long enough to be found by accident nowhere
NEVER = 3600.0
SOON = 0.05
PATIENCE_S = 60
PROBLEM = "application/problem+json"
# Made once: each would read the system's certificates. No connection is kept, since services come and go on the same ports.
CLIENT = httpx.Client(timeout=30, verify=False, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


def until(claim: Callable[[], bool], what: str) -> None:
    """Looks again and again until the claim holds."""
    deadline, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not claim():
        assert time.monotonic() < deadline, f"within {PATIENCE_S} s it did not happen: {what}"
        pause.wait(0.02)


def look_again(client: TestClient) -> None:
    """Waits until the service has begun and ended a look at its home."""
    for _ in range(2):  # the first to end may have begun before what the test did
        before = _age(client)
        until(lambda seen=before: _age(client) != seen, "it looks at its home")  # type: ignore[misc]


@contextmanager
def serving(settings: Settings, refresh_s: float = NEVER) -> Iterator[TestClient]:
    """A client of the app on these settings, in this process. Left out, it looks at its home when it starts and never again.

    A look-up may take longer than it may in service: two tests may share a core, and each should fail for its own reason only.
    """
    chosen = settings.serving.model_copy(update={"refresh_s": refresh_s, "lookup_timeout_s": 5.0})
    app = create_app(settings.model_copy(update={"serving": chosen}))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@dataclass(frozen=True)
class Running:
    """A service that is a process of its own, ready."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def post(self, path: str, body: Mapping[str, object]) -> httpx.Response:
        return CLIENT.post(self.url + path, json=dict(body))

    def ended(self) -> int:
        """Told to end as a supervisor tells it; its exit code."""
        self.process.terminate()
        return self.process.wait(30)


@contextmanager
def process(home: Path, log: Path, **chosen: float) -> Iterator[Running]:
    """`python -m serving` on the home. `chosen` are settings of the section serving."""
    port = free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ZEROMARGIN_")}
    environ |= {"ZEROMARGIN_HOME": str(home), "ZEROMARGIN_PROFILE": "test"}
    environ |= {"ZEROMARGIN_VAULT__KEYS": "derived", "ZEROMARGIN_VAULT__SECRET": SECRET, "ZEROMARGIN_SERVING__LOOKUP_TIMEOUT_S": "5"}
    environ |= {f"ZEROMARGIN_SERVING__{name.upper()}": str(value) for name, value in chosen.items()}
    with log.open("wb") as sink:
        started = subprocess.Popen([sys.executable, "-m", "serving", "--port", str(port)], cwd=ROOT, env=environ, stdout=sink, stderr=sink)
    running = Running(started, f"http://127.0.0.1:{port}", log)
    try:
        until(lambda: _is_ready(running), f"it is ready:\n{log.read_text(errors='replace')}")
        yield running
    finally:
        started.kill()
        started.wait(30)


def published(settings: Settings, name: str) -> list[dict[str, object]]:
    """The rows of predictions.`name`. The trained home has run once, so the table's head is what is published."""
    place = settings.home / "tables" / "predictions" / name
    return list(handles.open_table(str(place)).to_pyarrow_table().to_pylist())


def key_of(settings: Settings, number: str) -> str:
    """The key of a customer of the sample."""
    with open_vault(settings) as vault:
        found = vault.look_up(IDENTITY, number)
    assert found is not None
    return found


def numbers_of(settings: Settings, numbers: Iterable[str], rows: Iterable[Mapping[str, object]]) -> list[str]:
    """Those of the customers of the sample, in order, who have one of the rows."""
    keys = {row["customer_key"] for row in rows}
    with open_vault(settings) as vault:
        return sorted(number for number in numbers if vault.look_up(IDENTITY, number) in keys)


def champion(settings: Settings, name: str) -> Registered:
    found = Registry(settings).by_alias(name, "champion")
    assert found is not None
    return found


def another_version(settings: Settings, name: str, models: Path | None = None) -> str:
    """Registers the champion's model once more under another digest; returns its version. Nobody is promoted.

    MLflow wrote down where models lay when the first one was trained, which for a copied home is elsewhere. It is told where they lie
    now, or that they lay in `models`.
    """
    from lakehouse.registry.publishing import Registration, register

    with closing(sqlite3.connect(settings.home / "mlflow.db")) as connection:
        place = (models or settings.home / "mlartifacts").as_uri()
        connection.execute("UPDATE experiments SET artifact_location = ? WHERE name != 'Default'", [place])
        connection.commit()
    now = champion(settings, name)
    bundle = read_bundle(now.folder, verify_key(settings))
    told = {field.name: bundle.manifest[field.name] for field in fields(Facts)} | {"seed": 4711}
    questions = [golden["question"] for golden in bundle.manifest["golden"]]
    folder = settings.home / "another" / name
    write_bundle(folder, bundle.model, Facts(**told), questions, signing_key(settings))
    return register(settings, Registration(name, folder, now.moment or datetime(2024, 5, 6), {}, {}, {}, ()))


def promote(settings: Settings, name: str, version: str) -> None:
    from lakehouse.registry import aliases, tracking

    aliases.promote(tracking.connect(settings), name, version)


def tamper(folder: Path) -> None:
    """Alters one bit of the largest file of a signed model."""
    path = max(folder.iterdir(), key=lambda one: one.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def logged(home: Path) -> list[dict[str, object]]:
    """The records of all closed segments, each segment whole."""
    segments = [journal.read(path) for path in journal.closed(home / "answers")]
    assert all(segment.intact for segment in segments)
    return [record for segment in segments for record in segment.records]


def _age(client: TestClient) -> str:
    """The age of the features, which is told anew at the end of each look."""
    return next(line for line in client.get("/metrics").text.splitlines() if line.startswith("retail_feature_age_seconds{"))


def _is_ready(running: Running) -> bool:
    assert running.process.poll() is None, running.log.read_text(errors="replace")
    with suppress(httpx.TransportError):
        return CLIENT.get(f"{running.url}/readyz").status_code == 200
    return False
