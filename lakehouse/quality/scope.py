"""What a run wrote: the months and the files that its gates judge. Read from Delta's log, so it costs the same in year five."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from lakehouse.errors import NothingPublished
from lakehouse.tables import catalog, delta, handles
from lakehouse.tables.catalog import BRONZE

if TYPE_CHECKING:
    from lakehouse.tables import Lake

PARTITIONED = ("silver.sales", "gold.daily_sales")


@dataclass(frozen=True)
class Scope:
    """What is judged: `months` (YYYY-MM) and newly landed `files` (digests), None where everything is.

    Rows of `run` are the new ones, `as_of` is the day against which freshness is measured, `bronze` the version of bronze.sales that
    was read.
    """

    run: str
    as_of: datetime
    bronze: int
    months: frozenset[str] | None = None
    files: frozenset[str] | None = None

    def of_table(self, name: str) -> str:
        """SQL that is true for the rows of the table that are judged; tables without days are judged as a whole."""
        if self.months is None or not has_days(name):
            return "true"
        return f"month IN ({', '.join(repr(month) for month in sorted(self.months))})" if self.months else "false"

    def of_files(self, column: str) -> str:
        """SQL that is true for lines of the newly landed files."""
        if self.files is None:
            return "true"
        return f"{column} IN ({', '.join(repr(digest) for digest in sorted(self.files))})" if self.files else "false"


def has_days(name: str) -> bool:
    """Whether the rows of a table belong to a day, so that those of a month can be judged."""
    return "month" in catalog.table(name).column_names


def of_lake(lake: Lake, everything: bool = False) -> Scope:
    """The scope of the lake's run, or everything: where asked, where nothing was published before, or where no run is bound.

    Raises `NothingPublished` for a lake without a run and without a snapshot.
    """
    run, base = lake.run, lake.run.base if lake.run is not None else None
    if run is None:
        published = lake.snapshot()
        if published is None:
            raise NothingPublished("nothing published yet: there is nothing to judge. Load files, then run: zeromargin run")
        return Scope(published.run, published.as_of, published.versions[BRONZE])
    # A back-test writes no table, so what landed since the snapshot is in none.
    bronze = base.versions[BRONZE] if run.back_test and base is not None else run.bronze
    if everything or base is None:
        return Scope(run.id, run.as_of, bronze)
    months: set[str] = set()
    for name in PARTITIONED:
        months |= _written(lake.path(name), base.versions[name], lake.version(name), "month")
    path = lake.path(BRONZE)
    files = delta.partition_values(path, "file_digest", bronze) - delta.partition_values(path, "file_digest", base.versions[BRONZE])
    return Scope(run.id, run.as_of, bronze, frozenset(months), frozenset(files))


def _written(path: str, before: int, after: int, column: str) -> set[str]:
    """The partitions whose files differ between two versions."""
    if before == after:
        return set()
    differing = _files(path, before) ^ _files(path, after)
    marked = (part.removeprefix(f"{column}=") for file in differing for part in file.split("/") if part.startswith(f"{column}="))
    return set(marked)


def _files(path: str, version: int) -> set[str]:
    return set(handles.open_table(path, version).file_uris())
