"""What is done through the Delta log itself, alike on both engines: create, look, restore, compact, vacuum."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from lakehouse.errors import StateError
from lakehouse.tables.handles import LOG, SEE, in_short, open_table, open_to_change

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable, Field
    from deltalake.schema import ArrayType, PrimitiveType

    from lakehouse.tables.catalog import Column, Table


SMALL, LARGE = 32 << 20, 128 << 20  # bytes: a file below is small; what it is made part of is no larger
ROW_GROUP = 2**15  # rows
NEVER = "1000000000"  # versions: checkpoints are written by delta_log.checkpoint alone


@dataclass(frozen=True)
class Commit:
    """One version of a table. `written_at` is when we wrote it (wall clock, UTC), never what decides which data is used."""

    version: int
    written_at: datetime
    operation: str
    metadata: str | None


@dataclass(frozen=True)
class Size:
    """Live rows, bytes and files of one version."""

    rows: int
    bytes: int
    files: int


def exists(path: str) -> bool:
    """Whether there is a log with an entry, or a checkpoint in place of entries. To ask delta-rs takes a hundred times as long."""
    try:
        with os.scandir(Path(path) / LOG) as found:
            return any(one.name[:20].isdigit() and one.name.endswith((".json", ".parquet")) for one in found)
    except (FileNotFoundError, NotADirectoryError):
        return False


def create(path: str, table: Table, retention_days: int) -> None:
    """An empty table as the catalog says. All columns are nullable; constraints are CHECKs. Harmless when it exists."""
    from deltalake import DeltaTable, Schema

    fields = [_field(column) for column in table.columns]
    configuration = {
        "delta.deletedFileRetentionDuration": f"interval {retention_days} days",
        "delta.logRetentionDuration": f"interval {retention_days} days",
        "delta.enableDeletionVectors": "false",
        "delta.checkpointInterval": NEVER,
    }
    made = DeltaTable.create(
        path,
        Schema(fields),
        mode="ignore",
        partition_by=list(table.partition_by),
        description=table.about,
        configuration=configuration,
    )
    if made.version() == 0 and table.constraints:
        made.alter.add_constraint(table.constraints)


def created_version(table: Table) -> int:
    """The version that an empty table has once its constraints are on it."""
    return 1 if table.constraints else 0


def head(path: str) -> int:
    """The newest version."""
    return int(open_table(path).version())


def size(path: str, version: int | None = None) -> Size:
    """Counted from the log, without reading a data file."""
    found = open_table(path, version)
    actions = found.get_add_actions(flatten=True)
    names = actions.column_names
    rows: list[int | None] = list(actions.column("num_records").to_pylist()) if "num_records" in names else []
    sizes = actions.column("size_bytes").to_pylist()
    known = [number for number in rows if number is not None]
    counted = sum(known) if len(known) == len(sizes) else found.count()
    return Size(counted, sum(sizes), len(sizes))


def partition_values(path: str, column: str, version: int | None = None) -> set[str]:
    """The values of a partition column that have live files."""
    return {str(partition[column]) for partition in open_table(path, version).partitions() if partition[column] is not None}


def partition_rows(path: str, column: str, version: int | None = None) -> dict[str, int]:
    """Rows by the values of a partition column, counted from the log."""
    actions = open_table(path, version).get_add_actions(flatten=True)
    found: Counter[str] = Counter()
    for value, rows in zip(actions.column(f"partition.{column}").to_pylist(), actions.column("num_records").to_pylist(), strict=True):
        found[str(value)] += rows
    return dict(found)


def statistics(path: str, counted: Iterable[str], bounded: Iterable[str], version: int | None = None) -> list[dict[str, object]]:
    """Of each live file what the log says of it: `num_records`, `partition.<column>`, `null_count.<column>` of `counted`, `min.<column>` and
    `max.<column>` of `bounded`; None for what whoever wrote it did not count."""
    actions = open_table(path, version).get_add_actions(flatten=True)
    partitions = [name for name in actions.column_names if name.startswith("partition.")]
    names = [
        "num_records",
        *partitions,
        *(f"null_count.{name}" for name in counted),
        *(f"{end}.{name}" for name in bounded for end in ("min", "max")),
    ]
    nothing = [None] * actions.num_rows
    columns = {name: actions.column(name).to_pylist() if name in actions.column_names else nothing for name in names}
    return [{name: values[at] for name, values in columns.items()} for at in range(actions.num_rows)]


def history(path: str, limit: int | None = None) -> list[Commit]:
    """Commits, the newest first. Raises `StateError` where the log lacks one of their entries, or one can't be read."""
    newest, entries = _told(path, limit)
    wanted = newest + 1 if limit is None else min(limit, newest + 1)
    # An entry does not say its version, so it is told by its place, which is another one where one is missing.
    absent = [number for number in range(newest, newest - wanted, -1) if not (Path(path) / LOG / f"{number:020}.json").is_file()]
    if absent or len(entries) != wanted:
        such = f", such as that of version {absent[-1]}" if absent else ""
        raise StateError(f"the log of the table at {path} lacks entries{such}. {SEE}")
    return [
        Commit(newest - place, _written_at(entry), entry.get("operation", "unknown"), entry.get("userMetadata"))
        for place, entry in enumerate(entries)
    ]


def last_written(path: str) -> datetime:
    """The latest time at which any version was written, of those whose entries are there (wall clock, UTC)."""
    return max(map(_written_at, _told(path)[1]))


def _told(path: str, limit: int | None = None) -> tuple[int, list[dict[str, Any]]]:
    """The newest version, and what the entries up to it say of themselves, the newest first. Raises `StateError` where one can't be read."""
    from deltalake.exceptions import DeltaError

    found = open_table(path)
    newest = int(found.version())
    try:
        return newest, found.history(limit)
    except DeltaError as error:
        raise StateError(f"the log of the table at {path} can't be read: {in_short(error)}. {SEE}") from None


def _written_at(entry: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(entry.get("timestamp", 0) / 1000, UTC)


def version_at(path: str, when: datetime) -> int:
    """The newest version that was written by `when`. Raises `StateError` where none was.

    One that was written after the clock had been set back counts as written just after the one before it, as Delta counts: what a time up to that
    one's answered stays.
    """
    commits = history(path)
    found = counted = None
    for commit in reversed(commits):
        counted = commit.written_at if counted is None else max(commit.written_at, counted + timedelta(milliseconds=1))
        if counted > when:
            break
        found = commit.version
    if found is None:
        raise StateError(
            f"the table at {path} was first written at {commits[-1].written_at:%Y-%m-%d %H:%M:%S} UTC, after {when:%Y-%m-%d %H:%M:%S}"
        )
    return found


def files(path: str, version: int | None = None) -> list[str]:
    """The live files of a version, by their paths within the table. Raises `StateError` where it can't be opened."""
    return files_of(open_table(path, version))


def files_of(table: DeltaTable) -> list[str]:
    """The same of a version that was opened."""
    return [unquote(one) for one in table.get_add_actions(flatten=True).column("path").to_pylist()]


def sizes(path: str, version: int | None = None) -> dict[str, int]:
    """The live files of a version, and how many bytes its log says each has. Raises `StateError` where it can't be opened."""
    found = open_table(path, version).get_add_actions(flatten=True)
    return dict(zip(map(unquote, found.column("path").to_pylist()), found.column("size_bytes").to_pylist(), strict=True))


def missing_files(path: str, version: int | None = None) -> list[str]:
    """Data files of a version that its log names and that are not there, by their paths within the table."""
    return [name for name, there in found_sizes(path, files(path, version)).items() if there is None]


def found_sizes(path: str, names: Iterable[str]) -> dict[str, int | None]:
    """How many bytes each of a table's files has; None where it is not there."""
    return {name: place.stat().st_size if (place := Path(path) / name).is_file() else None for name in names}


def empty(path: str, table: Table) -> int:
    """Takes every row out, as a new version where there is any, and returns the newest; with the columns that the table has got since."""
    if size(path).files:
        open_to_change(path).delete()
    return evolve(path, table)


def restore(path: str, version: int, table: Table) -> int:
    """Makes the table what it was at `version`, as a new version, which is returned; with the columns that it has got since, empty. Raises `StateError`
    where its log does not tell what that was."""
    from deltalake.exceptions import DeltaError

    if head(path) != version:
        try:
            open_to_change(path).restore(version)
        except DeltaError as error:
            raise StateError(f"the table at {path} can't be put back to version {version}: {in_short(error)}. {SEE}") from None
    return evolve(path, table)


def evolve(path: str, table: Table) -> int:
    """Adds the columns that the catalog has got since the table was made; older rows have nothing there. Returns the newest version.

    Raises `StateError` for a column that the catalog does not have, or has with another type: a newer version of this library made it.
    """
    found = open_table(path)
    there = {field.name: field.type for field in found.schema().fields}
    wanted = {column.name: _delta_type(column.type) for column in table.columns}
    strange = sorted(name for name, kind in there.items() if wanted.get(name) != kind)
    if strange:
        raise StateError(
            f"{table.name} has a column {strange[0]} ({there[strange[0]]}) that this version of zeromargin does not know so. A newer one wrote to"
            " this lake: install that"
        )
    new = [_field(column) for column in table.columns if column.name not in there]
    if not new:
        return int(found.version())
    open_to_change(path).alter.add_columns(new)
    return head(path)


def lay_out(path: str, table: Table, filled: Callable[[pa.Table], pa.Table]) -> int | None:
    """Writes a table anew that is partitioned otherwise than the catalog says, each part of its rows as `filled` makes it, as a new version, which is
    returned; None where it is as the catalog says. Older versions stay what they were."""
    import pyarrow as pa
    from deltalake import write_deltalake

    found, wanted = open_to_change(path), list(table.partition_by)
    if found.metadata().partition_columns == wanted:
        return None
    rows = found.to_pyarrow_dataset()
    parts = (part for batch in rows.to_batches() for part in filled(pa.Table.from_batches([batch])).to_batches())
    write_deltalake(
        found, pa.RecordBatchReader.from_batches(rows.schema, parts), mode="overwrite", schema_mode="overwrite", partition_by=wanted
    )
    return head(path)


def compact(path: str) -> int:
    """Small files into larger ones, as a new version if there was something to do. Rows stay what they are.

    They keep roughly the order in which they were written, so a group of them has few days, and is skipped where others are asked for.
    """
    from deltalake import WriterProperties

    # The compression is delta-rs's own.
    open_to_change(path).optimize.compact(
        target_size=LARGE, writer_properties=WriterProperties(max_row_group_size=ROW_GROUP, compression="ZSTD", compression_level=4)
    )
    return head(path)


def small_files(path: str) -> int:
    """The most small live files that one partition has."""
    found = open_table(path)
    actions = found.get_add_actions(flatten=True)
    partitions = [actions.column(name).to_pylist() for name in actions.column_names if name.startswith("partition.")]
    sizes = actions.column("size_bytes").to_pylist()
    places = zip(*partitions, strict=True) if partitions else ((),) * len(sizes)
    return max(Counter(place for place, size in zip(places, sizes, strict=True) if size < SMALL).values(), default=0)


def vacuum(path: str, keep: Iterable[int], dry_run: bool = False) -> list[str]:
    """Deletes the files that neither the head nor a version in `keep` needs, orphans included; their names are returned."""
    return list(
        open_to_change(path).vacuum(
            retention_hours=0,
            enforce_retention_duration=False,
            dry_run=dry_run,
            full=True,
            keep_versions=sorted(set(keep)),
        )
    )


def _field(column: Column) -> Field:
    from deltalake import Field

    return Field(column.name, _delta_type(column.type), nullable=True, metadata={"comment": column.comment})


def _delta_type(simple: str) -> PrimitiveType | ArrayType:
    from deltalake.schema import ArrayType, PrimitiveType

    if simple.startswith("array<"):
        return ArrayType(_delta_type(simple[len("array<") : -1]), contains_null=True)
    return PrimitiveType("long" if simple == "bigint" else simple)
