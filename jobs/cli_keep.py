"""Commands that keep the past: diff, restore, pin, unpin, pins, maintain, verify."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli_session import AsJson, TableName, answer, day, say, session, size, table, text

if TYPE_CHECKING:
    from lakehouse.registry.verifying import Verified
    from lakehouse.tables.diff import Difference
    from lakehouse.tables.maintenance import Maintained, TablePlan
    from lakehouse.tables.pins import Pin
    from lakehouse.tables.restoring import Restored

Pinned = Annotated[int, typer.Argument(metavar="VERSION", min=0, help="A version of the table. See: zeromargin history TABLE")]
Owner = Annotated[str, typer.Option("--owner", help="For whom it is kept: a person, a case, a report.")]


def diff(
    context: typer.Context,
    name: TableName,
    before: Annotated[int, typer.Option("--from", metavar="V", min=0, help="The earlier version.")],
    after: Annotated[int | None, typer.Option("--to", metavar="V", min=0, help="The later version; left out, the published one.")] = None,
    sample: Annotated[int, typer.Option("--sample", min=0, help="How many rows of each kind are shown at the most.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Which rows came, went, and say something else under the same key, between two versions of a table."""
    from lakehouse.tables.diff import difference

    with session(context).lake() as lake:
        found = difference(lake, name, before, lake.version(name) if after is None else after, sample)
    if as_json:
        answer(asdict(found) | {"sample": [asdict(row) for row in found.sample]})
    else:
        _show_difference(found)


def restore(
    context: typer.Context,
    snapshot: Annotated[int, typer.Argument(metavar="SNAPSHOT", min=1, help="The number of a snapshot. See: zeromargin snapshots")],
    as_json: AsJson = False,
) -> None:
    """Put the whole lake back to a snapshot, and publish that. Nothing is deleted: a restore can be gone back on."""
    from jobs.keeping import restore as go_back

    with session(context).lake() as lake:
        found = go_back(lake, snapshot)
    if as_json:
        answer(asdict(found) | {"taken_out": [asdict(file) for file in found.taken_out]})
    else:
        _show_restored(found)


def snapshots(context: typer.Context, as_json: AsJson = False) -> None:
    """Every publication that was not undone, the oldest first, and which can be gone back to whatever maintenance does."""
    from lakehouse.tables.maintenance import kept_snapshots

    with session(context).lake() as lake:
        found = lake.snapshots()
        kept = {one.id for one in kept_snapshots(lake.ops, lake.settings.snapshots.keep_newest)}
    if as_json:
        answer([asdict(one) | {"kept": one.id in kept} for one in found])
    elif not found:
        say(found.empty)
    else:
        rows = [(one.id, one.as_of, one.moment, one.run, one.id in kept) for one in found]
        table("", ("snapshot", "as of", "features at", "run", "kept"), rows, right=("snapshot",))


def pin(
    context: typer.Context,
    name: TableName,
    version: Pinned,
    owner: Owner = "by hand",
    reason: Annotated[str, typer.Option("--reason", help="Why it is kept.")] = "",
) -> None:
    """Keep a version from maintenance, whatever happens to the table."""
    with session(context).lake() as lake:
        lake.pin(name, version, owner, reason)
    print(f"{name} version {version} is kept for {owner}")


def unpin(context: typer.Context, name: TableName, version: Pinned, owner: Owner = "by hand") -> None:
    """Let maintenance have a version again that was pinned for this owner."""
    from lakehouse.errors import StateError
    from lakehouse.tables import catalog
    from lakehouse.tables import pins as kept

    with session(context).lake() as lake:
        if not kept.remove(lake.ops, catalog.table(name).name, version, owner):
            raise StateError(f'{name} version {version} is not pinned for "{owner}". See: zeromargin pins')
    print(f"{name} version {version} is not kept for {owner} any more")


def pins(context: typer.Context, as_json: AsJson = False) -> None:
    """Every version that is kept, for whom and why."""
    from lakehouse.tables import pins as kept

    with session(context).lake() as lake:
        found = kept.every(lake.ops)
    if as_json:
        answer([asdict(one) for one in found])
    elif not found:
        say("No version is pinned. Training pins what it reads; by hand: zeromargin pin TABLE VERSION")
    else:
        rows = [(one.table, one.version, one.owner, one.reason, one.pinned_at) for one in found]
        table("", ("table", "version", "for", "why", "since (UTC)"), rows, right=("version",))


def maintain(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Merge small files and delete what no kept version needs. Pinned versions and kept snapshots stay as they are."""
    from jobs.keeping import maintain as do
    from jobs.keeping import planned

    with session(context).lake() as lake:
        show = _show_plan if not as_json else lambda _plan, _expired: None
        if dry_run:
            plan, expired = planned(lake)
            show(plan, expired)
            done = None
        else:
            done = do(lake, say, show)
            plan, expired = done.tables, list(done.pins_expired)
    if as_json:
        snapshot = None if done is None else done.snapshot
        tables, run_out = [asdict(one) for one in plan], [asdict(one) for one in expired]
        answer({"done": done is not None, "tables": tables, "pins_expired": run_out, "snapshot": snapshot})
    elif done is not None:
        _show_maintained(done)


def verify(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Read every kept version, not only pinned and newest ones.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read all that somebody relies on and hold it to what it was: versions, files, models, the vault. Exit code 1 where something is broken."""
    from lakehouse.registry.verifying import verify as look

    with session(context).lake() as lake:
        found = look(lake, everything)
    broken = [one for one in found if not one.whole]
    if as_json:
        answer({"whole": not broken, "checked": [asdict(one) for one in found]})
    else:
        _show_verified(found, broken)
    if broken:
        raise typer.Exit(1)


def _show_difference(found: Difference) -> None:
    print(found)
    for row in found.sample:
        key = ", ".join(f"{name} {text(value)}" for name, value in row.key.items())
        if row.kind == "changed":
            told = "; ".join(f"{name} {text(row.before[name])} → {text(row.after[name])}" for name in row.before)
        else:
            told = ", ".join(f"{name} {text(value)}" for name, value in (row.after or row.before).items())
        print(f"  {row.kind:<7}  {key}: {told}")


def _show_restored(found: Restored) -> None:
    undone = f"; undone: {', '.join(map(str, found.undone))}" if found.undone else ""
    again = f"; counted again: {', '.join(map(str, found.again))}" if found.again else ""
    print(
        f"The lake is what snapshot {found.snapshot} published, as of {day(found.as_of)}, now as snapshot {found.published}{undone}{again}."
    )
    if found.lacking:
        print(
            f"Of {', '.join(found.lacking)} that snapshot has nothing: nobody can read it until the next run, which makes all tables anew from bronze."
        )
    if found.emptied:
        print(
            f"Of {', '.join(found.emptied)} that snapshot has nothing: empty now. What they held before can be gone back to, as is said below."
        )
    if found.taken_out:
        rows = [(one.file, one.source, one.lines) for one in found.taken_out]
        table(
            "Taken out of bronze; these files may land again (corrected lines: zeromargin quarantine release)",
            ("file (SHA-256)", "source", "lines"),
            rows,
            right=("lines",),
        )
        print(
            "What came by the inbox was removed there once it had landed. Where nobody has these files any more, go back on it before maintenance lets them"
            " go (snapshots.keep_newest)."
        )
    print(f"To go back on it: zeromargin restore {found.undone[-1]}" if found.undone else "No snapshot came after it.")


def _show_plan(plan: list[TablePlan], expired: list[Pin]) -> None:
    busy = [one for one in plan if one.compacts or one.deletes or one.checkpoint or one.damage]
    if not busy and not expired:
        print("There is nothing to do: no small files, no file that nothing needs")
        return
    columns = ("table", "versions", "kept", "small files", "checkpoint", "to delete", "of them orphans", "frees")
    rows = [
        (
            one.table,
            one.versions,
            one.kept,
            "are merged" if one.compacts else "",
            "is written" if one.checkpoint else "",
            one.deletes,
            one.orphans,
            size(one.bytes),
        )
        for one in busy
    ]
    table("What maintenance does", columns, rows, right=columns[1:3] + columns[5:])
    for one in busy:
        if one.damage:
            print(f"{one.table} is left as it is: {one.damage}. What is broken: zeromargin verify")
    if expired:
        print(f"{len(expired)} pins have run out: they were for models that never answered")


def _show_verified(found: list[Verified], broken: list[Verified]) -> None:
    if broken:
        table("Broken", ("", "name", "version", "found"), [(one.kind, one.name, one.version, one.found) for one in broken])
    count = Counter(one.kind for one in found)
    print(
        f"Looked at {count['table']:,} versions of tables (read, and held to their digests), the logs and the files of every kept version of"
        f" {count['files']:,} tables, {count['model']:,} models (signature, hashes, golden questions), the files"
        " of the feature store, and the vault"
        f" ({'; '.join(one.found for one in found if one.kind == 'vault' and one.whole) or 'broken'}): "
        + (f"{len(broken):,} broken" if broken else "all whole")
    )


def _show_maintained(done: Maintained) -> None:
    if not any(one.deletes or one.compacts or one.checkpoint for one in done.tables):
        return
    deleted, freed = sum(one.deletes for one in done.tables), sum(one.bytes for one in done.tables)
    print(f"{deleted:,} files deleted, {size(freed)} freed; {sum(one.compacts for one in done.tables)} tables compacted")
    if done.snapshot is not None:
        print(f"Published as snapshot {done.snapshot}; the rows are the same")
