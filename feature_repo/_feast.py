"""Feast, imported before anything of it is used, without the checks of arguments that it compiles into hundreds of its own functions.

Feast decorates them with `typeguard.typechecked`, which parses and compiles each anew in every process: two thirds of the time that importing
it takes (`python -X importtime -c "import feast"` beside `… -c "import feature_repo"`). What it declares and answers is the same without.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock


def _as_it_is(decorated: Callable[..., Any] | None = None, **_: object) -> Callable[..., Any]:
    return _as_it_is if decorated is None else decorated


with mock.patch("typeguard.typechecked", _as_it_is):
    import feast  # noqa: F401
