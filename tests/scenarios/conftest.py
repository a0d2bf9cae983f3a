"""Every scenario runs on both engines with one body."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["sail", "spark"])
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)
