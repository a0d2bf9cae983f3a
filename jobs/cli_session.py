"""What every command is given: where the lake is, and how answers and errors are shown."""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lakehouse.errors import ZeromarginError
    from lakehouse.settings import Settings
    from lakehouse.tables import Lake

INTERRUPTED, DEFECT = 130, 70
Cell = object
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on standard output.")]


def in_any_case(given: str | list[str]) -> str | list[str]:
    """Names of tables as the catalog has them, whatever their case, as in SQL."""
    return given.lower() if isinstance(given, str) else [name.lower() for name in given]


TableName = Annotated[str, typer.Argument(metavar="TABLE", help="Name of a table, such as gold.daily_sales.", callback=in_any_case)]


@dataclass(frozen=True)
class Session:
    """The options that stand before the command."""

    home: Path | None
    profile: str | None
    debug: bool

    def settings(self, engine: str | None = None) -> Settings:
        from lakehouse import settings

        return settings.load(self.home, self.profile, {"engine": engine} if engine else {})

    def lake(self) -> AbstractContextManager[Lake]:
        """The lake, to read. No engine is started before a table's rows are asked for."""
        from lakehouse.tables import Lake

        return Lake(self.settings())


def session(context: typer.Context) -> Session:
    found = context.find_root().obj
    assert isinstance(found, Session)
    return found


def say(text: str) -> None:
    """A line for people, on standard error, so that standard output holds answers alone."""
    print(text, file=sys.stderr)


def answer(value: object) -> None:
    """The answer as JSON on standard output."""
    print(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def plain(value: object) -> object:
    """The value in JSON's own types, nothing of it lost: times as ISO text to the microsecond (a midnight as its day), decimals as numbers, or as
    text where a double has not all of their digits, null for NaN and infinity, of which JSON has no number."""
    if isinstance(value, dict):
        return {str(key): plain(below) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [plain(below) for below in value]
    if isinstance(value, datetime):
        return day(value, timespec="auto")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _number(value: Decimal) -> int | float | str:
    # Who reads the JSON may make a double of it, and sees the digits that a double is told by.
    nearest = float(value)
    if Decimal(repr(nearest)) != value:
        return format(value, "f")
    return int(value) if value == value.to_integral_value() else nearest


def day(when: datetime | None, timespec: str = "seconds") -> str | None:
    """A midnight as its day, another time in full (people need no more than seconds), in shop wall time."""
    if when is None:
        return None
    # Engines carry shop wall time as UTC.
    told = when.replace(tzinfo=None)
    return told.date().isoformat() if told.time() == time() else told.isoformat(sep="T", timespec=timespec)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]], right: Sequence[str] = ()) -> None:
    """A table for people on standard output; the columns in `right` are aligned to the right."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in columns:
        shown.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(text(cell) for cell in row))
    # A pipe has no width: nothing is cut there.
    Console(width=None if sys.stdout.isatty() else 240, highlight=False, markup=False).print(shown)


def records(title: str, rows: Sequence[Mapping[str, Cell]]) -> None:
    """Rows for people, each as a block of names and values."""
    print(title or "Rows")
    widest = max((len(name) for row in rows for name in row), default=0)
    for number, row in enumerate(rows, 1):
        print(f"\n{number}")
        for name, cell in row.items():
            print(f"  {name:<{widest}}  {text(cell)}")


def text(cell: Cell) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, datetime):
        return str(day(cell))
    if isinstance(cell, list | tuple):
        return ", ".join(text(below) for below in cell)
    return str(cell)


def size(count: int) -> str:
    """Bytes as people read them."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:,.0f} {unit}"
        amount /= 1024
    return f"{amount:,.1f} GiB"


def reporting(work: Callable[[], None], debug: bool) -> int:
    """Does the work; says on standard error what went wrong and returns the exit code that it has. Of a defect the traceback is kept in a file;
    `debug`: every traceback is shown."""
    try:
        work()
    except KeyboardInterrupt:
        say("Interrupted. Nothing unfinished was published; running again goes on from there.")
        return INTERRUPTED
    except BrokenPipeError:
        sys.stdout = None  # whoever read it has gone; nothing is to be flushed at exit
        return 0
    except Exception as error:
        if debug:
            raise
        meant = _meant(error)
        if meant is None:
            say(f"Error: {_defect(error)}")
            return DEFECT
        say(f"Error: {meant}")
        return meant.exit_code
    return 0


def _defect(error: Exception) -> str:
    first = next(iter(str(error).strip().splitlines()), "it says no more")[:200]
    told = f"something that zeromargin does not expect: {type(error).__name__}: {first}. Nothing unfinished was published"
    try:
        # Not in the home, whose files hold no customer number: values that were at hand may stand in it. Only this user can read it.
        handle, place = tempfile.mkstemp(prefix="zeromargin-error-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.writelines(traceback.format_exception(error))
    except OSError:
        return f"{told}. With --debug it says where"
    return f"{told}. Where it came from: {place} (it may name values of your files; --debug shows it at once)"


def _meant(error: Exception) -> ZeromarginError | None:
    """The error in our words; None for a defect of ours."""
    from lakehouse.errors import InputError, StateError, ZeromarginError, of_system

    if isinstance(error, ZeromarginError):
        return error
    refused = of_system(error)
    if refused is not None:
        return refused
    if isinstance(error, OSError) and error.filename is not None:
        return StateError(f"{error.filename}: {error.strerror}")
    if type(error).__module__.partition(".")[0] in ("pyspark", "grpc"):
        from lakehouse.engine import explain

        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        return explain(error) or InputError(f"the engine could not do this: {first}. With --debug it says more")
    return None
