"""How a notebook ended, as the process that ran it tells the runner."""

from __future__ import annotations

import json
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

import lakehouse.errors as errors

FULL = 74  # what a stage's process ends with where there is no room for its failure
LONGEST = 10_000  # characters of a message


@dataclass(frozen=True)
class Failure:
    """What stopped a notebook: the exception's class and message, the number of the cell, as In [n] shows it, and its line."""

    error: str
    message: str
    cell: int | None = None
    line: str = ""

    def __post_init__(self) -> None:
        if len(self.message) > LONGEST:
            object.__setattr__(self, "message", f"{self.message[:LONGEST]} …")

    @property
    def try_again(self) -> bool:
        """Whether the error says of itself that it may pass on a second try."""
        return issubclass(error_class(self.error), errors.TryAgain)

    @property
    def is_ours(self) -> bool:
        """Whether it was raised on purpose."""
        return error_class(self.error) is not Exception

    @property
    def place(self) -> str:
        return f"cell [{self.cell}] ({self.line})" if self.cell else "no cell of its own"


def killed(what: str, code: int) -> str:
    """That a process was ended by a signal, from its exit code as Python gives it."""
    return f"{what} was ended by {signal.Signals(-code).name}: by the system for want of memory, by somebody, or by a defect of a library"


def error_class(name: str) -> type[Exception]:
    """The class of that name in `lakehouse.errors`; plain `Exception` for a name from elsewhere."""
    found = getattr(errors, name, None)
    return found if isinstance(found, type) and issubclass(found, errors.ZeromarginError) else Exception


def write_failure(path: Path, failure: Failure) -> None:
    path.write_text(json.dumps(asdict(failure)), encoding="utf-8")


def read_failure(path: Path) -> Failure | None:
    """The failure that was written there; None where nothing was, or only a part of it."""
    try:
        return Failure(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def read_result(path: Path) -> dict[str, object] | None:
    """The result that the notebook declared with `lake.finish`; None where it declared none."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) else None
