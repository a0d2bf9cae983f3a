"""Going back: the whole lake as a snapshot published it, as new versions. Nothing is deleted, so going back can itself be gone back on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from lakehouse.errors import StateError
from lakehouse.tables import delta, rebuilding, snapshots
from lakehouse.tables.catalog import BRONZE
from lakehouse.tables.lake import Lake
from lakehouse.tables.listing import Listing
from lakehouse.tables.snapshots import Restore, Snapshot


@dataclass(frozen=True)
class TakenOut:
    """One landed file whose lines are in bronze no more. It may land again."""

    file: str
    source: str
    lines: int


@dataclass(frozen=True)
class Restored:
    """What going back did. `snapshot` is what was gone back to, `published` the number under which it is published now, `versions` the tables
    that were others, with the versions that they have now, `undone` the snapshots that count no more, `again` those that had been undone and count
    again, as they did when it was the newest. `lacking`: tables made from bronze that are in no version of that snapshot (lost and made anew since, or
    come since with a newer library): they are in no snapshot now, and the next run makes all anew. `emptied`: tables of predictions that it knows nothing
    of, and that are empty now."""

    snapshot: int
    published: int
    as_of: datetime
    moment: datetime
    versions: Mapping[str, int]
    undone: tuple[int, ...]
    again: tuple[int, ...]
    lacking: tuple[str, ...]
    emptied: tuple[str, ...]
    taken_out: Listing[TakenOut]


def restore(lake: Lake, number: int, finish: Callable[[], object] = lambda: None) -> Restored:
    """Puts every table but the logs back to what snapshot `number` published, bronze too, and publishes that. `finish` is what else belongs to it,
    and is done last.

    Broken off, also in `finish`, it is finished by calling it again; until then nothing else is written. Raises `NothingPublished` where there
    is no such snapshot, `StateError`, before anything is changed, where a file that one of its versions needs is not there any more, or a table can't
    be opened. What is lost of what is to be taken out is not needed.
    """
    with lake.lease(f"restore of snapshot {number}", restoring=True) as held:
        target = snapshots.by_id(lake.ops, number)
        lacking = rebuilding.lacking(target)
        emptied = tuple(name for name, table in lake.catalog.items() if table.kind == "output" and name not in target.versions)
        wanted = {name: version for name, version in target.versions.items() if name in lake.catalog and lake.catalog[name].kind != "log"}
        _check_files(lake, wanted)
        newest = lake.head(BRONZE)
        _taken_out(lake, newest, wanted[BRONZE])  # what can fail does so before anything is noted
        begun = snapshots.begin_restore(lake.ops, number, newest, held.token)
        taken_out = _taken_out(lake, begun.bronze, wanted[BRONZE])
        made = next((one for one in lake.snapshots() if one.run == begun.run), None) or _published(
            lake, target, wanted, emptied, begun, held.token
        )
        finish()
        snapshots.end_restore(lake.ops, held.token)
    changed = {name: version for name, version in made.versions.items() if name in wanted and version != wanted[name]}
    before = max(one.id for one in snapshots.every(lake.ops, undone_too=True) if one.id < made.id)
    counted, counts = (set(line) for line in snapshots.lines(lake.ops, (before, made.id)))
    undone, again = tuple(sorted(counted - counts)), tuple(sorted(counts - counted - {made.id}))
    return Restored(number, made.id, target.as_of, target.moment, changed, undone, again, lacking, emptied, taken_out)


def _published(lake: Lake, target: Snapshot, wanted: Mapping[str, int], emptied: Collection[str], begun: Restore, token: str) -> Snapshot:
    """The tables put back, as one more snapshot."""
    versions = {}
    for name in emptied:
        lake.check_lease()
        versions[name] = delta.empty(lake.path(name), lake.catalog[name])
    # Bronze last: what is published of the other tables can be made anew from it.
    for name in sorted(wanted, key=lambda one: one == BRONZE):
        lake.check_lease()
        versions[name] = delta.restore(lake.path(name), wanted[name], lake.catalog[name])
    versions |= {name: lake.head(name) for name, table in lake.catalog.items() if table.kind == "log"}
    lake.note_published(versions)
    made = Snapshot(0, begun.run, target.as_of, target.moment, target.every, versions)
    return snapshots.publish(lake.ops, made, token, restored=target.id)


def _check_files(lake: Lake, wanted: Mapping[str, int]) -> None:
    for name, version in wanted.items():
        rebuilding.check_there(lake, name)
        lake.head(name)  # what can't be opened can't be put back
        wrong = rebuilding.damage(lake, name, version, delta.sizes(lake.path(name), version))
        if wrong is not None:
            raise StateError(
                f"{name} version {version} can't be gone back to: {wrong}. Nothing was changed. Of snapshots beyond the newest (snapshots.keep_newest)"
                " maintenance keeps only what is pinned; which there are: zeromargin snapshots"
            )


def _taken_out(lake: Lake, before: int, after: int) -> Listing[TakenOut]:
    """Counted from the log: the rows may be what is damaged."""
    path = lake.path(BRONZE)
    lines, kept = delta.partition_rows(path, "file_digest", before), delta.partition_values(path, "file_digest", after)
    found = delta.statistics(path, (), ("source",), before)
    sources = dict(sorted((str(one["partition.file_digest"]), str(one["max.source"])) for one in found))
    taken_out = [TakenOut(file, sources[file], lines[file]) for file in sorted(lines.keys() - kept)]
    return Listing(taken_out, "no file was taken out of bronze")
