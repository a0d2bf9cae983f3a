"""Imports Great Expectations without the libraries that make up most of what that costs.

It imports altair (charts of distributions) and scipy.stats (statistical tests) for expectations that nothing here asks for, and by way of jsonschema a
grammar of web addresses: 8.7 s of processor with all three, 5.4 s without the first two, 3.0 s without any. Whoever asks for one of those expectations
deletes this module.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from types import ModuleType

from lakehouse.sparing import ADDRESSES, spared

UNUSED = ("altair", "scipy", "scipy.stats")


def great_expectations() -> ModuleType:
    """The library, with its telemetry off."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    if "great_expectations" not in sys.modules:
        with _shaded(UNUSED), spared(ADDRESSES):
            import great_expectations as imported
    else:
        import great_expectations as imported
    return imported


@contextmanager
def _shaded(names: tuple[str, ...]) -> Iterator[None]:
    """While it lasts, empty modules stand for those of `names` that are not imported yet; afterwards the real ones can be."""
    shades = {name: module_from_spec(ModuleSpec(name, None)) for name in names if name not in sys.modules}
    for name, shade in shades.items():
        parent, _, leaf = name.rpartition(".")
        if parent in shades:
            setattr(shades[parent], leaf, shade)
    sys.modules.update(shades)
    try:
        yield
    finally:
        for name, shade in shades.items():
            if sys.modules.get(name) is shade:
                del sys.modules[name]
