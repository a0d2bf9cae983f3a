"""Tables that were lost: removed by hand, with a log that can't be read or says another thing than it did, or without a file that is published.
All but bronze are made anew from bronze."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine, delete, func, insert, select

from lakehouse.errors import StateError
from lakehouse.tables import catalog, delta, delta_log, file_lists, handles, ops
from lakehouse.tables.catalog import BRONZE
from lakehouse.tables.file_lists import FileList
from lakehouse.tables.snapshots import Snapshot

if TYPE_CHECKING:
    from lakehouse.tables.lake import Lake

ANEW = "zeromargin run --from-bronze"


def loss(lake: Lake, name: str, published: Snapshot | None) -> str | None:
    """What is wrong with a table; none where it holds the version that is relied on: the published one, of bronze and of logs the newest that
    was written. A table that nobody has written to yet may be missing."""
    return _loss(lake, name, published, file_lists.noted(lake.ops, name))


def losses(lake: Lake, published: Snapshot | None) -> dict[str, str]:
    """`loss` of every table that has one."""
    noted = file_lists.newest(lake.ops)
    found = {name: _loss(lake, name, published, noted.get(name)) for name in catalog.load()}
    return {name: what for name, what in found.items() if what is not None}


def check(lake: Lake, published: Snapshot | None) -> None:
    """Raises `StateError` where a table was lost."""
    for name, what in losses(lake, published).items():
        raise refuse(name, what)


def check_there(lake: Lake, name: str) -> None:
    """Raises `StateError` where nothing is left of a table's log; where it is damaged, older versions may be read all the same."""
    if not delta.exists(lake.path(name)) and (what := loss(lake, name, lake.snapshot())) is not None:
        raise refuse(name, what)


def _loss(lake: Lake, name: str, published: Snapshot | None, noted: tuple[int, FileList] | None) -> str | None:
    path = lake.path(name)
    version = relied_on(name, published, noted)
    if not delta.exists(path):
        return f"{name} is not there any more" if version is not None or noted is not None else None
    try:
        newest = delta_log.opened(path)
        if version is None:
            return None
        if newest.version() < version:
            return f"{name} has only {newest.version() + 1} versions, and version {version} is relied on"
        files = delta.sizes(path, version)
        return _damage(lake, name, version, files, noted[1]) if noted and noted[0] == version else damage(lake, name, version, files)
    except StateError as error:
        return _lacking_entries(path, name) or f"the log of {name} can't be read ({handles.in_short(error)})"


def gap(lake: Lake, name: str) -> str | None:
    """What is wrong with a table whose newest version can be read, by a checkpoint, and others can't; none where its log has every entry. Each
    is read."""
    absent = _lacking_entries(lake.path(name), name)
    return None if absent is None else f"{absent}: versions between checkpoints can't be read without them, the others can"


def _lacking_entries(path: str, name: str) -> str | None:
    if absent := delta_log.missing_entries(path):
        return f"the log of {name} lacks the entries of versions {_shown(absent)}"
    if broken := delta_log.unreadable_entries(path):
        return f"in the log of {name} the entries of versions {_shown(broken)} can't be read"
    return None


def _shown(versions: list[int]) -> str:
    return f"{', '.join(map(str, versions[:5]))}{', …' if len(versions) > 5 else ''}"


def other_layout(lake: Lake, name: str) -> str | None:
    """What is wrong with a table that is there and can be read, and not be written to: it is partitioned otherwise than the catalog says. A log is
    laid out anew by what lands in it."""
    if catalog.table(name).kind == "log":
        return None
    try:
        found = handles.open_table(lake.path(name)).metadata().partition_columns
    except StateError:
        return None
    wanted = list(catalog.table(name).partition_by)
    if found == wanted:
        return None
    return f"{name} is partitioned by {found}, and this version of zeromargin writes it by {wanted}: another one made it. It can be read"


def relied_on(name: str, published: Snapshot | None, noted: tuple[int, FileList] | None) -> int | None:
    """The version that `loss` looks at; `noted` is the newest of which anything was noted."""
    version = None if published is None else published.versions.get(name)
    return max(noted[0], version or 0) if catalog.table(name).stage is None and noted is not None else version


def damage(lake: Lake, name: str, version: int, files: Mapping[str, int | None]) -> str | None:
    """What is wrong with a version that its log says to consist of `files`, of so many bytes each (none: as many as there are); nothing where it is as
    noted, and all of them are there and whole."""
    noted = file_lists.noted(lake.ops, name, version)
    return _damage(lake, name, version, files, noted[1] if noted is not None else None)


def _damage(lake: Lake, name: str, version: int, files: Mapping[str, int | None], noted: FileList | None) -> str | None:
    if noted is not None and noted != file_lists.of(files):
        return f"the log of {name} was damaged: version {version} consisted of {noted.files} files, and now it names {len(files)} or others"
    there = delta.found_sizes(lake.path(name), files)
    if missing := [file for file in files if there[file] is None]:
        return f"{len(missing)} of the {len(files)} files of {name} version {version} are not there, such as {missing[0]}"
    if cut := [file for file in files if files[file] not in (None, there[file])]:
        one = f"{cut[0]}, which has {there[cut[0]]:,} bytes of {files[cut[0]]:,}"
        return f"{len(cut)} of the {len(files)} files of {name} version {version} are not what was written, such as {one}"
    return None


def refuse(name: str, what: str) -> StateError:
    """What to do about a lost table."""
    if catalog.table(name).stage is None:
        return StateError(f"{what}. Nothing else holds what landed: bring the home back from a backup (zeromargin restore-backup)")
    if catalog.table(name).kind == "output":
        return StateError(f"{what}. What it held can't be made anew, so it begins empty, once and for all tables, with: {ANEW}")
    return StateError(f"{what}. Make all tables anew from bronze with: {ANEW}. What the older versions of {name} held is gone")


def refuse_gap(name: str, what: str) -> StateError:
    """What to do about a table of which versions can't be read for want of entries, while the newest can."""
    if catalog.table(name).stage is None:
        return refuse(name, what)
    return StateError(
        f"{what}. Bring the home back from a backup (zeromargin restore-backup), or give up what its other versions held and what was pinned of them:"
        f" {ANEW} --drop-history {name}"
    )


def make_room(lake: Lake, dropped: Collection[str] = ()) -> list[str]:
    """Puts what is left of lost tables, of those of another layout and of those whose history is `dropped` aside, as `NAME.damaged-1` and on, so that
    they can be made anew. Returns a sentence about each.

    Snapshots, pins and digests that name a lost version are forgotten: another table will have versions of these numbers. Broken off, it is
    done again. Raises `UnknownName` for a table to be dropped that there is not, `StateError` where it, or what was lost, is bronze or a log.
    """
    lake.check_lease()
    published = lake.snapshot()
    lost = losses(lake, published)
    lost = {name: what for name in catalog.load() if (what := lost.get(name) or other_layout(lake, name)) is not None}
    lost = {catalog.table(name).name: f"the history of {name} is dropped" for name in dropped} | lost
    for name in sorted(lost, key=lambda one: one != BRONZE):
        if catalog.table(name).stage is None:
            raise refuse(name, lost[name])
    told = []
    for name, what in lost.items():
        place, number = Path(lake.path(name)), 1
        while (aside := place.with_name(f"{place.name}.damaged-{number}")).exists():
            number += 1
        begins = "begins empty, since what it held can't be made anew" if catalog.table(name).kind == "output" else "is made anew"
        told.append(f"{what}: it {begins}, and {_forgotten(lake.ops, name)} of its versions so far are forgotten")
        if place.exists():
            place.rename(aside)
            told[-1] += f". What is left of it is in {aside}"
    _forget(lake.ops, lost)
    return told


def is_due(lake: Lake) -> bool:
    """Whether the newest snapshot lacks a table that is made from bronze: it was lost, or has come with a newer version of this library. Adding to
    it what is new would leave out all that came before."""
    published = lake.snapshot()
    return published is not None and bool(lacking(published))


def lacking(snapshot: Snapshot) -> tuple[str, ...]:
    """The tables made from bronze of which a snapshot knows nothing."""
    return tuple(name for name, table in catalog.load().items() if table.kind == "derived" and name not in snapshot.versions)


def _forgotten(engine: Engine, name: str) -> str:
    with engine.connect() as connection:
        held, of_snapshots = (
            connection.execute(select(func.count()).select_from(table).where(table.c.name == name)).scalar_one()
            for table in (ops.pins, ops.snapshot_tables)
        )
    return f"{held} pins and what {of_snapshots} snapshots say"


def _forget(engine: Engine, names: Collection[str]) -> None:
    with engine.begin() as connection:
        for table in (ops.snapshot_tables, ops.pins, ops.digests, ops.file_lists, ops.let_go, ops.made_anew):
            connection.execute(delete(table).where(table.c.name.in_(names)))
        last = connection.execute(select(func.max(ops.runs.c.number))).scalar() or 0
        for name in names:
            connection.execute(insert(ops.made_anew).values(name=name, run=last))
