"""A file's columns against those that its source maps. What is wrong with a whole file is said here, in words for whoever sent it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.errors import InputError
from lakehouse.ingest.lines import Ints
from lakehouse.ingest.sources import Source

_SHOWN = 40


def match_columns(file: str, found: Sequence[str], source: Source) -> dict[str, str]:
    """Ours to theirs, for the columns that this file has.

    Raises `InputError` for a column that is missing, unexpected or there twice, naming the nearest one.
    """
    expected = [*source.columns, *source.ignore]
    if not set(found) & set(expected):
        raise InputError(
            f'{file} does not begin with the columns of source "{source.name}": none of {_listed(source.columns)} is among its'
            f" {len(found)} columns. It is another source's, or sources.yml must say what its columns are"
        )
    _refuse_repeated(file, found)
    unexpected = [name for name in found if name not in expected]
    matched: dict[str, str] = {}
    for theirs, ours in source.columns.items():
        if theirs in found:
            if ours in matched:
                raise InputError(f'{file} has both columns "{matched[ours]}" and "{theirs}", which are {ours}. Expected one of them')
            matched[ours] = theirs
    missing = [ours for ours in dict.fromkeys(source.columns.values()) if ours not in matched and ours not in source.optional]
    if missing:
        raise InputError("; ".join(_missing(file, ours, source, unexpected) for ours in missing) + f". Columns found: {_listed(found)}")
    if unexpected:
        raise InputError("; ".join(_unexpected(file, name, source, matched) for name in unexpected))
    return matched


def refuse_other_names(file: str, numbers: Ints, columns: Mapping[str, pa.Array], matched: Mapping[str, str], source: Source) -> None:
    """Raises `InputError` where a line names the columns once more and otherwise, as in exports that were put together by hand: what comes after it
    would be read under the wrong names. One that names them as the first does is a line that says nothing, and is refused as such."""
    times = columns["sold_at"]
    if not pa.types.is_string(times.type):
        return
    names = [*source.columns, *source.ignore]
    for place in np.flatnonzero(pc.is_in(pc.utf8_trim_whitespace(times), pa.array(names, pa.string())).to_numpy(zero_copy_only=False)):
        written = {ours: str(column[place].as_py() or "").strip() for ours, column in columns.items()}
        if all(not text or text in names for text in written.values()) and any(text != matched[ours] for ours, text in written.items()):
            raise InputError(
                f"{file} names its columns once more in line {numbers[place]} of its data, and otherwise than above: {_listed(written.values())} where"
                f" {_listed(matched[ours] for ours in written)} stood. Expected one order of columns in a file: part it there. Nothing of it was loaded"
            )


def no_lines(file: str) -> InputError:
    return InputError(f"{file} has columns and no lines. Expected at least one line of sales; nothing of it was loaded")


def shown(name: str) -> str:
    """A column's name as a message may show it: a file without a header begins with data, and a customer number may be in it."""
    masked = re.sub(r"[0-9]{4,}", "…", name)
    return masked if len(masked) <= _SHOWN else f"{masked[:_SHOWN]}…"


def _refuse_repeated(file: str, found: Sequence[str]) -> None:
    repeated = sorted({name for name in found if found.count(name) > 1})
    if repeated:
        raise InputError(f"{file} has several columns of the same name: {_listed(repeated)}. Expected each once")


def _missing(file: str, ours: str, source: Source, unexpected: Sequence[str]) -> str:
    theirs = [name for name, field in source.columns.items() if field == ours]
    near = _nearest(theirs, unexpected)
    hint = f' Did you mean it by "{shown(near)}"?' if near else ""
    return f"{file} has no column {' or '.join(f'{chr(34)}{name}{chr(34)}' for name in theirs)} ({ours}).{hint}".removesuffix(".")


def _unexpected(file: str, name: str, source: Source, matched: dict[str, str]) -> str:
    near = _nearest([name], [theirs for theirs, ours in source.columns.items() if ours not in matched])
    hint = f'Did you mean "{near}"? If not, map it' if near else "Map it"
    return f'{file} has a column "{shown(name)}" that source "{source.name}" does not know. {hint} under columns in sources.yml, or name it under ignore'


def _nearest(names: Iterable[str], among: Sequence[str]) -> str | None:
    folded = {name.casefold(): name for name in among}
    for name in names:
        near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
        if near:
            return folded[near[0]]
    return None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{shown(name)}"' for name in names)
