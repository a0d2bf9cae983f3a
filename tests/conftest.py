"""Fixtures: one endpoint per engine and session, a fresh home per test."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from xdist.remote import Producer

    from tests.trained import Trained

os.environ["TZ"] = "UTC"
time.tzset()
for name in [name for name in os.environ if name.startswith("ZEROMARGIN_") and name != "ZEROMARGIN_TEST_ALL"]:
    del os.environ[name]
os.environ.pop("SPARK_REMOTE", None)

from lakehouse import settings as settings_module  # noqa: E402
from lakehouse.engine import Endpoint, commands, start  # noqa: E402
from lakehouse.settings import Settings  # noqa: E402
from lakehouse.tables import Lake  # noqa: E402
from tests.empty import create_tables  # noqa: E402
from tests.soak import TIMES  # noqa: E402

SECRET = "00112233445566778899aabbccddeeff" * 2
REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "online_retail_ii.parquet"
_ROOMS = ("e2e", "scenarios", "behaviour", "contract", "unit")  # in the order in which their tests are done
ALL = os.environ.get("ZEROMARGIN_TEST_ALL") == "1"


def skip_or_fail(reason: str) -> None:
    """A test that this machine can't run is skipped, and failed where everything must run."""
    if ALL:
        pytest.fail(f"ZEROMARGIN_TEST_ALL=1, but {reason}")
    pytest.skip(reason)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Scenarios are slow on Spark. What is `soak`, and on Spark what is `soak_on_jvm`, runs in the soak alone.

    What runs on Spark comes first: nothing else that one process does takes as long. Then one file that needs the trained home, which its process
    makes while the others do what needs none (they would only wait for it), and what is short comes last, so that all end together."""
    for item in items:
        if is_on_spark(item.nodeid):
            item.add_marker(pytest.mark.slow)
    left_out = [] if TIMES else [item for item in items if _is_for_soak(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    needs_trained = next((item.path for item in items if "trained" in getattr(item, "fixturenames", ())), None)
    items.sort(key=lambda item: (not is_on_spark(item.nodeid), item.path != needs_trained, _ROOMS.index(item.path.parent.name)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    """With `--dist loadfile` one process runs all that is on Spark, whose server then starts and warms up once, and each other file's tests are one
    process's as ever. (Of pytest 9.2 xdist 3.8 knows no groups of tests.)"""
    return _ByServerAndFile(config, log) if config.getvalue("dist") == "loadfile" else None


class _ByServerAndFile(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return "spark" if is_on_spark(nodeid) else super()._split_scope(nodeid)


def _is_for_soak(item: pytest.Item) -> bool:
    return item.get_closest_marker("soak") is not None or (is_on_spark(item.nodeid) and item.get_closest_marker("soak_on_jvm") is not None)


def is_on_spark(nodeid: str) -> bool:
    """By the parameter of a scenario."""
    return nodeid.startswith("tests/scenarios/") and "spark" in nodeid.partition("[")[2].rstrip("]").split("-")


@pytest.fixture(scope="session")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Endpoint]]:
    """Endpoints by engine, started when a test first asks for one."""
    running: dict[str, Endpoint] = {}
    yield running
    for endpoint in running.values():
        endpoint.stop()


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A published home with three champions. It is shared: a test that changes anything takes a copy."""
    from tests.once import once
    from tests.trained import make

    return once(tmp_path_factory, "trained", make)


@pytest.fixture
def engine_name() -> str:
    """The engine of tests that don't care. tests/scenarios runs each body on both."""
    return "sail"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def settings(home: Path, engine_name: str) -> Settings:
    chosen = {"engine": engine_name, "vault": {"keys": "derived", "secret": SECRET}}
    return settings_module.load(home=home, profile="test", overrides=chosen, environ={})


@pytest.fixture
def endpoint(engine_name: str, endpoints: dict[str, Endpoint], settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Endpoint:
    if engine_name == "spark" and (missing := commands.missing_for_spark()):
        skip_or_fail(missing)
    if engine_name not in endpoints or _ended(endpoints[engine_name]):
        endpoints[engine_name] = start(settings, tmp_path_factory.mktemp(f"endpoint-{engine_name}"))
    return endpoints[engine_name]


@pytest.fixture
def lake(settings: Settings, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """A lake in a fresh home, its tables created, on the session's endpoint of the engine."""
    monkeypatch.setenv("SPARK_REMOTE", endpoint.url)
    monkeypatch.setenv("ZEROMARGIN_HOME", str(settings.home))
    monkeypatch.setenv("ZEROMARGIN_PROFILE", "test")
    monkeypatch.setenv("ZEROMARGIN_ENGINE", settings.engine)
    monkeypatch.setenv("ZEROMARGIN_VAULT__KEYS", "derived")
    monkeypatch.setenv("ZEROMARGIN_VAULT__SECRET", SECRET)
    found = Lake(settings, endpoint=replace(endpoint, process=None))
    create_tables(found)
    yield found
    found.close()


def _ended(endpoint: Endpoint) -> bool:
    return endpoint.process is not None and endpoint.process.poll() is not None
