"""Every scenario runs on both engines with one body."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["sail", "spark"])
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where a file is `slow_on_jvm`, what it tries on Spark is slow; on Sail it runs with all others."""
    for item in items:
        if item.get_closest_marker("slow_on_jvm") and "spark" in item.name.partition("[")[2].rstrip("]").split("-"):
            item.add_marker(pytest.mark.slow)
