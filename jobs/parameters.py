"""What a notebook declares in its `parameters` cell, and the refusal of anything else before a kernel starts."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lakehouse.errors import InputError, UnknownName
from lakehouse.sparing import ADDRESSES, spared

Value = str | int | float | bool | None | list[object] | dict[str, object]

SECRET = re.compile(r"secret|passw|passphrase|token|credential|api_?key|private|signing", re.IGNORECASE)


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: `name = default  # about`."""

    name: str
    default: Value
    about: str

    @property
    def type_name(self) -> str:
        return "anything" if self.default is None else type(self.default).__name__

    def accepts(self, value: object) -> bool:
        """A value of the default's own type; an int where a float is declared; anything where the default is None."""
        if self.default is None:
            return True
        if isinstance(self.default, float) and type(value) is int:
            return True
        return type(value) is type(self.default)


def declared(notebook: Path) -> dict[str, Parameter]:
    """The notebook's parameters, by name, as Papermill sees them.

    Raises `InputError` where there is no such notebook, or a default that is not a literal.
    """
    with spared(ADDRESSES):
        from papermill import inspect_notebook
    if not notebook.is_file():
        raise InputError(f"notebook {notebook} was not found")
    found: dict[str, dict[str, str]] = inspect_notebook(str(notebook))
    return {
        name: Parameter(name, _literal(notebook, name, each["default"]), each["help"].lstrip("# ").strip()) for name, each in found.items()
    }


def checked(notebook: Path, given: Mapping[str, object]) -> dict[str, object]:
    """`given`, if the notebook declares every one of it with a default of the same type and none looks like a secret.

    Raises `UnknownName` for a parameter that the notebook does not have, `InputError` for a wrong type or a secret.
    """
    known = declared(notebook)
    for name, value in given.items():
        if SECRET.search(name):
            raise InputError(
                f'parameter "{name}" of notebook {notebook.stem} looks like a secret. Parameters are written into the executed notebook: '
                "give secrets through the environment"
            )
        if name not in known:
            raise UnknownName("parameter", name, known, where=f"notebook {notebook.stem}")
        if not known[name].accepts(value):
            raise InputError(
                f'parameter "{name}" of notebook {notebook.stem} is {type(value).__name__} {value!r}, '
                f"expected {known[name].type_name} (default {known[name].default!r})"
            )
    return dict(given)


def _literal(notebook: Path, name: str, text: str) -> Value:
    try:
        value: Value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise InputError(f'parameter "{name}" of notebook {notebook.stem} has the default {text}, expected a literal') from None
    return value
