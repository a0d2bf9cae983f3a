"""zeromargin: a retail ML lakehouse.

    import lakehouse
    lake = lakehouse.open()
    lake.read("gold.daily_sales")

Importing this package imports no engine; the first table that is read starts one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lakehouse.tables import Lake, StageLake

__all__ = ["open", "stage"]


def open(
    home: str | Path | None = None,
    profile: str | None = None,
    engine: str | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Lake:
    """The lake in `home` (ZEROMARGIN_HOME, or ~/.zeromargin), to read. Close it, or use it in a `with` block.

    It attaches to the endpoint that SPARK_REMOTE names, else starts one of its own on first use.
    """
    from lakehouse import settings
    from lakehouse.tables import Lake

    chosen = dict(overrides or {}) | ({"engine": engine} if engine else {})
    return Lake(settings.load(home, profile, chosen))


def stage(name: str, run: str = "", as_of: str = "") -> StageLake:
    """The lake as the stage `name` of a run sees it: of the run that the runner names, or by hand of the open or a new one."""
    from lakehouse import settings
    from lakehouse.tables import StageLake

    return StageLake(settings.load(), name, run, as_of)
