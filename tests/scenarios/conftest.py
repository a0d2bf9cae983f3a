"""Every scenario runs on both engines with one body."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lakehouse import settings as settings_module
from lakehouse.engine import Endpoint, start
from lakehouse.engine.commands import missing_for_spark
from lakehouse.settings import Settings
from lakehouse.tables import Lake
from tests.conftest import SECRET, skip_or_fail
from tests.empty import create_tables

MakeLake = Callable[[str], Lake]


@pytest.fixture(params=["sail", "spark"])
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def other(lake: Lake, endpoints: dict[str, Endpoint], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """The same home on the other engine."""
    name = "spark" if lake.settings.engine == "sail" else "sail"
    if missing := missing_for_spark():
        skip_or_fail(missing)
    settings = lake.settings.model_copy(update={"engine": name})
    if name not in endpoints:
        endpoints[name] = start(settings, tmp_path_factory.mktemp(f"endpoint-{name}"))
    with Lake(settings, endpoint=replace(endpoints[name], process=None)) as found:
        yield found


@pytest.fixture
def make_lake(lake: Lake, tmp_path: Path) -> Iterator[MakeLake]:
    """Further lakes in homes of their own, on the same endpoint and under the same secret."""
    made: list[Lake] = []

    def make(name: str) -> Lake:
        chosen: dict[str, object] = {"engine": lake.settings.engine, "vault": {"keys": "derived", "secret": SECRET}}
        settings: Settings = settings_module.load(home=tmp_path / name, profile="test", overrides=chosen, environ={})
        made.append(Lake(settings, endpoint=lake.endpoint))
        create_tables(made[-1])
        return made[-1]

    yield make
    for one in made:
        one.close()
