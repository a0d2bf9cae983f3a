"""Libraries that others import where they find them, for nothing that happens here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

# What jsonschema checks web addresses with: a grammar that takes a second to compile, in each process that reads a notebook.
ADDRESSES = "rfc3987_syntax"
DEBUGGER = "debugpy"  # what kernels are debugged with
# LightGBM's other ways to be trained, half of what it takes to import. A service only asks models that are there.
ESTIMATORS = ("sklearn", "dask")
POLARS = "polars"  # MLflow's and Great Expectations' other kind of data frame; its threads would be missing in a forked process


def spare(*names: str) -> None:
    """From now on an import of these fails, as where they are not installed. Those that are imported already stay."""
    for name in names:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


@contextmanager
def spared(*names: str) -> Iterator[None]:
    """Spares them while it lasts: for an import in somebody's own process."""
    spare(*names)
    try:
        yield
    finally:
        allow(*names)


def allow(*names: str) -> None:
    """Takes `spare` back."""
    for name in names:
        if sys.modules.get(name, name) is None:
            del sys.modules[name]
