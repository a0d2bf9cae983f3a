"""The folder of a table's Delta log itself: its entries, and the checkpoints that are written beside them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from lakehouse.errors import StateError
from lakehouse.tables.delta import Commit, head, history
from lakehouse.tables.handles import LOG, SEE, in_short, open_table, open_to_change

if TYPE_CHECKING:
    from deltalake import DeltaTable

# Where the file _last_checkpoint names a checkpoint, Sail reads no version before it that is not a checkpoint itself. So neither engine is to
# write checkpoints as it goes; `checkpoint` writes them, without that file, which Delta's protocol leaves to whoever writes.
HINT = "_last_checkpoint"


def arrivals(path: str, column: str, after: int = -1, until: int | None = None) -> dict[str, Commit]:
    """The commit that brought each value of a partition column, of those that came after version `after`, up to `until`. Of one that was taken out and
    came again it is the last that did; one whose very files a restore put back came when they were written. Read from the log alone."""
    found: dict[str, Commit] = {}
    brought: dict[str, Commit] = {}  # by file: by which commit what it holds came
    live: dict[str, str] = {}  # file: value
    for commit in reversed(history(path)):
        if until is not None and commit.version > until:
            break
        actions = _actions(path, commit.version)
        before = {value: brought[file] for file, value in live.items()}
        for file in (unquote(action["remove"]["path"]) for action in actions if "remove" in action):
            live.pop(file, None)
        for add in (action["add"] for action in actions if "add" in action):
            value, file = add["partitionValues"][column], unquote(add["path"])
            brought[file] = brought.get(file) or before.get(value) or commit
            live[file] = value
            if commit.version > after and (value in found or value not in before):
                found[value] = brought[file]
    return found


def missing_entries(path: str) -> list[int]:
    """The versions whose entry the log lacks, also where a checkpoint stands for the newest. None is ever taken out of it."""
    there = _entries(path)
    return sorted(set(range(max((*there, _newest_checkpoint(path) or -1)) + 1)) - there)


def unreadable_entries(path: str) -> list[int]:
    """The versions whose entry is there and is none: cut, or overwritten. Every entry is read."""
    return [version for version in sorted(_entries(path)) if not _is_readable(path, version)]


def _entries(path: str) -> set[int]:
    return {int(file.stem) for file in (Path(path) / LOG).glob("*.json") if file.stem.isdigit()}


def _is_readable(path: str, version: int) -> bool:
    try:
        return bool(_actions(path, version))
    except StateError:
        return False


def _actions(path: str, version: int) -> list[dict[str, Any]]:
    """What an entry says. Raises `StateError` for one that is not there, or is none."""
    entry = Path(path) / LOG / f"{version:020}.json"
    try:
        with entry.open(encoding="utf-8") as lines:
            actions = list(map(json.loads, lines))
        if any(
            not isinstance(action, dict) or any("path" not in action[kind] for kind in ("add", "remove") if kind in action)
            for action in actions
        ):
            raise ValueError("no action of a table's log")
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise StateError(f"the entry {entry.name} of the log of the table at {path} can't be read: {in_short(error)}. {SEE}") from None
    return actions


def checkpoint(path: str, scratch: Path) -> None:
    """Writes the state of the newest version into the log, so that whoever opens the table need not read all of it.

    It is written in `scratch`, a folder on the same disk, from a copy of the log, and moved in whole: a reader never meets half of it, nor the
    file that names it. No entry is taken out of the log, however old it is. The engines' checksums of older versions are: none is needed to read one,
    and whoever opens the table goes by every file that is there.
    """
    log, newest = Path(path) / LOG, _newest_checkpoint(path)
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="checkpoint-", dir=scratch) as draft:
        copied = Path(draft) / LOG
        copied.mkdir()
        since = (file for file in log.glob("*.json") if file.stem.isdigit() and int(file.stem) >= newest)
        for file in (*since, *log.glob(f"{newest:020}.checkpoint*.parquet")):
            shutil.copy(file, copied)
        drafted = open_to_change(draft)
        drafted.create_checkpoint()
        for file in copied.glob("*.checkpoint*.parquet"):
            if not (log / file.name).exists():
                file.replace(log / file.name)
    for checksum in log.glob("*.crc"):
        if checksum.stem.isdigit() and int(checksum.stem) < drafted.version():  # not Hadoop's, which are of files
            checksum.unlink(missing_ok=True)


def forget_hint(path: str) -> None:
    """Takes away the file that says which checkpoint is the newest, if somebody wrote one: with it Sail reads no version before that."""
    (Path(path) / LOG / HINT).unlink(missing_ok=True)


def opened(path: str) -> DeltaTable:
    """The newest version. Checkpoints without which a table can be opened and with which it can't are renamed: the entries of its log are all
    there and say the same. Raises `StateError` where that is not what is wrong."""
    aside: list[Path] = []
    while True:
        try:
            return open_table(path)
        except StateError:
            newest = sorted((Path(path) / LOG).glob(f"{_newest_checkpoint(path):020}.checkpoint*.parquet"))
            if not newest:
                for file in aside:
                    file.rename(file.with_suffix(""))
                raise
            aside += [file.rename(file.with_name(f"{file.name}.damaged")) for file in newest]


def since_checkpoint(path: str) -> int:
    """Versions since the newest checkpoint; since the beginning where there is none."""
    return head(path) - _newest_checkpoint(path)


def _newest_checkpoint(path: str) -> int:
    """The version of the newest checkpoint; 0 where there is none."""
    names = [file.name for file in (Path(path) / LOG).glob("*.checkpoint*.parquet")]
    return max((int(name.partition(".")[0]) for name in names), default=0)


def files_by_version(path: str, versions: Collection[int]) -> tuple[dict[int, frozenset[str]], set[str]]:
    """The live files of each of these versions, and every file that a commit has ever added, by their paths within the table.

    The entries are read once, in order: to open each of a hundred versions takes a hundred times as long. Raises `StateError` for an entry that is not
    there, or can't be read.
    """
    live: set[str] = set()
    logged: set[str] = set()
    found = {}
    for version in range(head(path) + 1):
        actions = _actions(path, version)
        removed = {unquote(action["remove"]["path"]) for action in actions if "remove" in action}
        added = {unquote(action["add"]["path"]) for action in actions if "add" in action}
        live -= removed
        live |= added
        logged |= added
        if version in versions:
            found[version] = frozenset(live)
    return found, logged
