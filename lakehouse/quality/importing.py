"""Imports Great Expectations without the two libraries that make up half of what that costs.

It imports altair (charts of distributions, with a grammar of web addresses) and scipy.stats (statistical tests) for expectations that
nothing here asks for: 8.7 s of processor with them, 4.4 s without. Whoever asks for one of those expectations deletes this module.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from types import ModuleType

UNUSED = ("altair", "scipy", "scipy.stats")


def great_expectations() -> ModuleType:
    """The library, with its telemetry off."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    if "great_expectations" not in sys.modules:
        with _shaded(UNUSED):
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
