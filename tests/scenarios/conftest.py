"""Every scenario runs on both engines with one body."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from lakehouse.engine import Endpoint, start
from lakehouse.engine.commands import missing_for_spark
from lakehouse.tables import Lake
from tests.conftest import skip_or_fail


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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where a file is `slow_on_jvm`, what it tries on Spark is slow; on Sail it runs with all others."""
    for item in items:
        if item.get_closest_marker("slow_on_jvm") and "spark" in item.name.partition("[")[2].rstrip("]").split("-"):
            item.add_marker(pytest.mark.slow)
