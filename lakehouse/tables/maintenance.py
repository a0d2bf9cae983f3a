"""Maintenance: small files into larger ones, and away with what nothing that is kept needs. No pinned or kept version is touched.

Kept are the last snapshot of each as_of and the newest ones (`snapshots.keep_newest`), every pin, every table's newest version, and what an
open run would go on from.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, insert, select

from lakehouse.errors import StateError
from lakehouse.tables import delta, delta_log, lease, ops, pins, rebuilding, runs, snapshots
from lakehouse.tables.catalog import BRONZE
from lakehouse.tables.lake import Lake
from lakehouse.tables.listing import Listing
from lakehouse.tables.pins import Pin
from lakehouse.tables.snapshots import Snapshot

COMPACT_FROM = 4  # small files in one partition are worth rewriting
# Of a table without partitions: what is rewritten into one file is what each merge into it rewrites from then on.
COMPACT_WHOLE_FROM = 24
CHECKPOINT_FROM = 2  # versions
Progress = Callable[[str], None]


@dataclass(frozen=True)
class TablePlan:
    """What maintenance would do to one table. `deletes` are data files that no kept version needs, `orphans` those of them that no commit has
    ever named (left by writers that were killed), `bytes` their size on disk. `damage`: what is wrong with a kept version; then nothing is done,
    since its log can't say what may go."""

    table: str
    versions: int
    kept: int
    compacts: bool
    checkpoint: bool
    deletes: int
    orphans: int
    bytes: int
    damage: str = ""


@dataclass(frozen=True)
class Maintained:
    """What maintenance did. `snapshot` is the number under which the new versions are published, none where no table has one."""

    tables: Listing[TablePlan]
    pins_expired: tuple[Pin, ...]
    snapshot: int | None


def kept_versions(lake: Lake, expired: Iterable[Pin] = ()) -> dict[str, set[int]]:
    """The versions that stay readable, by table."""
    found: dict[str, set[int]] = {name: _newest(lake, name) for name in lake.catalog}
    keep_newest = lake.settings.snapshots.keep_newest
    named = _named(kept_snapshots(lake.ops, keep_newest), snapshots.restored_from(lake.ops, keep_newest))
    for name, version in named - _let_go(lake.ops):
        found.setdefault(name, set()).add(version)
    gone = set(expired)
    for pin in pins.every(lake.ops):
        if pin not in gone:
            found.setdefault(pin.table, set()).add(pin.version)
    for name, version in _of_open_run(lake):
        found.setdefault(name, set()).add(version)
    return found


def _named(of: Iterable[Snapshot], restored_from: Iterable[int]) -> set[tuple[str, int]]:
    """Tables and versions that snapshots say; and what a restore took out of bronze, which may have been in no snapshot yet."""
    return {key for snapshot in of for key in snapshot.versions.items()} | {(BRONZE, version) for version in restored_from}


def _let_go(engine: Engine) -> set[tuple[str, int]]:
    with engine.connect() as connection:
        return {(row.name, row.version) for row in connection.execute(select(ops.let_go))}


def _let_go_of(engine: Engine, kept: Mapping[str, Collection[int]]) -> None:
    """Remembers what is not kept from here on: with more to be kept later (`snapshots.keep_newest`) it does not come back."""
    named = _named(snapshots.every(engine, undone_too=True), snapshots.restored_from(engine, None))
    new = sorted((name, version) for name, version in named - _let_go(engine) if version not in kept.get(name, ()))
    if new:
        with engine.begin() as connection:
            connection.execute(insert(ops.let_go), [{"name": name, "version": version} for name, version in new])


def _newest(lake: Lake, name: str) -> set[int]:
    """A table's newest version; none of one that is not there or can't be opened."""
    try:
        return {lake.head(name)}
    except StateError:
        return set()


def kept_snapshots(engine: Engine, newest: int) -> list[Snapshot]:
    """The newest ones, undone or not, and the last of each as_of that counts, or that would count again after going back to one of the newest."""
    there = {snapshot.id: snapshot for snapshot in snapshots.every(engine, undone_too=True)}
    recent = list(there)[-newest:] if newest else []
    kept = set(recent)
    for line in snapshots.lines(engine, {*recent, *list(there)[-1:]}):
        kept.update({there[number].as_of: number for number in line}.values())
    return [there[number] for number in sorted(kept)]


def plan(lake: Lake, expired: Iterable[Pin] = ()) -> Listing[TablePlan]:
    """What `maintain` would do, table by table; nothing is changed. What compaction replaces is kept as long as its snapshot is.

    Raises `StateError` for a table that was lost.
    """
    newest = snapshots.newest(lake.ops)
    rebuilding.check(lake, newest)
    kept = kept_versions(lake, expired)
    published = {} if newest is None else newest.versions
    # An open run goes on only while bronze is the version that it began from, and deleting is a commit too; a checkpoint is none.
    settled = set(lake.catalog) - ({BRONZE} if runs.broken_off(lake.ops) is not None else set())
    there = [name for name in lake.catalog if delta.exists(lake.path(name))]
    return Listing([_planned(lake, name, kept[name], published.get(name), name in settled) for name in there], "no table is there yet")


def maintain(
    lake: Lake,
    expired: Iterable[Pin] = (),
    progress: Progress = lambda _: None,
    announce: Callable[[Listing[TablePlan]], None] = lambda _: None,
) -> Maintained:
    """Compacts, deletes what no kept version needs, and publishes what came of it under the newest snapshot's as_of and moment.

    `announce` is told the plan before anything is changed. `expired` are pins that have run out; they are taken away. Broken off, it is begun
    again: until the end what was published before is published, and kept.
    """
    gone = tuple(expired)
    with lake.lease(lease.MAINTENANCE) as held:
        lake.create_tables()
        before, newest = plan(lake, gone), lake.snapshot()
        announce(before)
        lake.sweep()
        for pin in gone:
            pins.remove(lake.ops, pin.table, pin.version, pin.owner)
        at_published = [name for name in lake.catalog if newest is not None and newest.versions.get(name) == lake.head(name)]
        kept = kept_versions(lake)
        _let_go_of(lake.ops, kept)
        for one in before:
            _maintain(lake, one, kept[one.table], progress)
        now = {name: lake.head(name) for name in at_published}
        number = None if newest is None or now.items() <= newest.versions.items() else _publish(lake, newest, now, held.token)
    return Maintained(before, gone, number)


def _maintain(lake: Lake, one: TablePlan, kept: set[int], progress: Progress) -> None:
    path = lake.path(one.table)
    if one.damage:
        return
    if one.compacts:
        progress(f"{one.table}: small files become larger ones")
        lake.check_lease()
        delta.compact(path)
    if one.deletes:
        progress(f"{one.table}: {one.deletes:,} files that nothing needs are deleted")
        lake.check_lease()
        delta.vacuum(path, kept)
    if one.checkpoint or one.compacts:
        lake.check_lease()
        delta_log.checkpoint(path, lake.home / "staging")


def _planned(lake: Lake, name: str, kept: set[int], published: int | None, may_commit: bool) -> TablePlan:
    path, head = lake.path(name), lake.head(name)
    try:
        files, logged = delta_log.files_by_version(path, kept)
        damage = next(filter(None, (_damage(lake, name, version, files.get(version)) for version in sorted(kept))), "")
    except StateError as error:
        damage = str(error)
    if damage:
        return TablePlan(name, head + 1, len(kept), False, False, 0, 0, 0, damage)
    needed = frozenset[str]().union(*files.values())
    # The log goes on naming what was deleted before.
    unneeded = delta.vacuum(path, (), dry_run=True) if may_commit else ()
    deletes = [file for file in unneeded if file not in needed and (Path(path) / file).is_file()]
    orphans = [file for file in deletes if file not in logged]
    size = sum((Path(path) / file).stat().st_size for file in deletes)
    # Beyond the published version there is what nobody may see yet, and what a run has not read.
    enough = COMPACT_FROM if lake.catalog[name].partition_by else COMPACT_WHOLE_FROM
    compacts = may_commit and head == published and delta.small_files(path) >= enough
    checkpoint = delta_log.since_checkpoint(path) >= CHECKPOINT_FROM or bool(deletes)  # deleting is a commit too
    return TablePlan(name, head + 1, len(kept), compacts, checkpoint, len(deletes), len(orphans), size)


def _damage(lake: Lake, name: str, version: int, files: Collection[str] | None) -> str | None:
    return f"version {version} is not there" if files is None else rebuilding.damage(lake, name, version, dict.fromkeys(files))


def _publish(lake: Lake, newest: Snapshot, now: dict[str, int], token: str) -> int:
    """The new versions in the place of those that were published: their rows are the same."""
    lake.note_published(now)
    made = Snapshot(0, f"maintain-{uuid.uuid4().hex[:8]}", newest.as_of, newest.moment, newest.every, newest.versions | now)
    return snapshots.publish(lake.ops, made, token).id


def _of_open_run(lake: Lake) -> list[tuple[str, int]]:
    """The versions that a run which was broken off goes on from."""
    run = runs.broken_off(lake.ops)
    if run is None:
        return []
    wrote = [versions for stage in runs.stage_runs(lake.ops, run.id) for versions in stage.versions.items()]
    return [
        *run.restored.items(),
        *run.bronze_versions.items(),
        *(run.base.versions.items() if run.base else ()),
        *((name, version) for name, versions in wrote for version in versions),
    ]
