"""A home in the making: brought back into a draft first, which becomes the home all at once, or, in a folder that is there, name by name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path

from lakehouse.errors import InputError
from lakehouse.tables import ops

ENDING = ".being-restored"  # what a killed restore leaves ends so; it may hold a vault
OF_A_DISK = "lost+found"  # lies in each that is mounted
_MADE_LAST = "ops.db"


def begin(home: Path, names: Collection[str]) -> Path:
    """Where the draft is to be, which only this user may read. `names` are what the home is to hold; where a restore was broken off while it moved them,
    they go back into its draft. What is left of a draft beside the home, from when there was none, is taken away.

    What a look at a home that was not there has made counts as nothing. Raises `InputError` for a home that holds anything else.
    """
    beside = home.with_name(f".{home.name}{ENDING}")
    if not home.exists():
        return _made(beside)
    draft = home / ENDING
    if is_half_moved(draft, home, names):
        _move_back(draft, home, names)
    _clear_unused(home)
    if not home.is_dir() or _held(home):
        raise InputError(f"the home {home} is not empty. A backup is brought back into a new one: --home DIR")
    shutil.rmtree(beside, ignore_errors=True)
    return _made(draft)


def become(draft: Path, home: Path) -> None:
    """Makes the draft the home, all of it or, where that fails, nothing. In a folder that is there databases come last, the run database after all
    others: without it nothing goes on there, and the restore may be begun anew."""
    if draft.parent != home:
        umask = os.umask(0)
        os.umask(umask)
        draft.chmod(0o777 & ~umask)
        draft.rename(home)
        return
    names = [place.name for place in sorted(draft.iterdir(), key=lambda place: (place.is_file(), place.name == _MADE_LAST))]
    try:
        for name in names:
            (draft / name).rename(home / name)
    except BaseException:
        _move_back(draft, home, names)
        raise


def _made(draft: Path) -> Path:
    """An empty one."""
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True, mode=0o700)
    return draft


def is_half_moved(draft: Path, home: Path, names: Collection[str]) -> bool:
    """Whether some of these names lie in the home and all others in its draft, as a move that was broken off leaves them. What anybody else has begun
    in that folder looks otherwise."""
    if not draft.is_dir() or draft.parent != home:
        return False
    there, left = _held(home), {place.name for place in draft.iterdir()}
    return bool(there and left) and there | left == set(names) and not there & left and _MADE_LAST not in there


def _move_back(draft: Path, home: Path, names: Collection[str]) -> None:
    for name in names:
        if (home / name).exists():
            (home / name).rename(draft / name)


def _clear_unused(home: Path) -> None:
    files = [home / name for name in _held(home)]
    if home / _MADE_LAST in files and all(file.name.startswith(_MADE_LAST) for file in files) and ops.is_unused(home / _MADE_LAST):
        for file in files:
            file.unlink(missing_ok=True)


def _held(home: Path) -> set[str]:
    return {place.name for place in home.iterdir()} - {OF_A_DISK, ENDING} if home.is_dir() else set()
