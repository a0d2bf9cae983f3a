"""The one writer of Delta tables. It guards against what the engines would do silently: drop a column, replace too much, write twice."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Union

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from lakehouse.errors import CommitLost, InputError, StateError
from lakehouse.tables import catalog, delta
from lakehouse.tables.catalog import Table
from lakehouse.tables.staging import Staged, Staging, ddl

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_LOST = ("Failed to commit transaction", "ConcurrentModification", "ConcurrentAppend", "ConcurrentDelete", "ConcurrentWrite")
GONE = "_gone"
Rows = Union["DataFrame", Staged]
TRIES = 4
LONGEST_LIST = 20


@dataclass(frozen=True)
class Within:
    """Rows whose `column` has one of the values, days or texts, at least one."""

    column: str
    values: Collection[str | date]

    def sql(self, of: str = "") -> str:
        """As a condition that engines skip files by: they do not look at longer lists."""
        ordered = [f"DATE'{value}'" if isinstance(value, date) else f"'{_quoted(value)}'" for value in sorted(self.values, key=str)]
        if len(ordered) > LONGEST_LIST:
            return f"{of}{self.column} BETWEEN {ordered[0]} AND {ordered[-1]}"
        return f"{of}{self.column} IN ({', '.join(ordered)})"


class Writer:
    """Four verbs: append, merge, replace, delete. Each is one commit, idempotent, made only while the lease is held.

    `stamp` goes into rows' `_run` column and into the commit's metadata, `note` is told of each version that was made, and `written` lists them.
    """

    def __init__(
        self,
        spark: Callable[[], SparkSession],
        path: Callable[[str], str],
        staging: Path,
        check_lease: Callable[[], None],
        stamp: str,
        note: Callable[[str, int], None],
    ) -> None:
        self._spark, self._path, self._staging = spark, path, staging
        self._check_lease, self._stamp, self._note = check_lease, stamp, note
        self.written: dict[str, list[int]] = {}

    def append(self, name: str, frame: Rows, batch: Mapping[str, str]) -> int:
        """Adds a batch of rows, in place of what the table holds of that batch; so doing it twice is doing it once.

        `batch` names partition columns and the value that every row has there. Returns the table's version.
        """
        table = catalog.table(name)
        wrong = set(batch) - set(table.partition_by)
        if wrong or not batch:
            raise InputError(f"{name} is appended to by its partition columns {table.partition_by}, found {tuple(batch)}")
        where = " AND ".join(f"{column} = '{_quoted(value)}'" for column, value in batch.items())
        return self._replace(table, frame, where, batch)

    def replace(self, name: str, frame: Rows, where: str) -> int:
        """Puts `frame` in place of the rows that `where` (SQL over the table's columns) covers. Returns the table's version.

        Raises `InputError` when a new row does not satisfy `where`: Sail would write it all the same.
        """
        return self._replace(catalog.table(name), frame, where, {})

    def _replace(self, table: Table, frame: Rows, where: str, constants: Mapping[str, str]) -> int:
        """`constants`: columns that have one value in all these rows. An engine sorts by the partition's columns what it writes, and a file that is
        larger than its memory it can't; what is constant it need not sort."""
        from pyspark.sql import functions as F

        name = table.name
        with self._staged(table, frame) as (rows, _):
            outside = rows.where(f"NOT coalesce({where}, false)").count()
            if outside:
                raise InputError(f"{outside} rows for {name} lie outside what they are to replace ({where}). Nothing was written")

            for column, value in constants.items():
                rows = rows.withColumn(column, F.lit(value).cast(table.type_of(column)))

            def write() -> None:
                writer = rows.write.format("delta").mode("overwrite").option("userMetadata", self._metadata())
                writer.option("replaceWhere", where).save(self._path(name))

            return self._commit(name, write)

    def merge(self, name: str, frame: Rows, gone: DataFrame | None = None, within: Within | None = None) -> int:
        """Rows of `frame` replace those with the same key, or are added; rows with a key in `gone` are deleted; one commit, or none where
        there is nothing to do.

        Rows whose values are what they were are not written again. `within`: where all rows with these keys are, in the table too; nothing else
        is read of it. Raises `InputError` for a key that occurs twice, and for a row that is not `within`. Returns the table's version.
        """
        from pyspark.sql import functions as F

        table = catalog.table(name)
        with self._staged(table, frame) as (rows, count):
            if not count and gone is None:
                return delta.head(self._path(name))
            twice = _twice(rows, table.key)
            if twice:
                raise InputError(f"{twice} keys {table.key} occur more than once in what is to be merged into {name}. Nothing was written")
            if within is not None and within.column not in (*table.key, *table.partition_by):
                raise InputError(
                    f"{within.column} says nothing of the keys of {name} ({', '.join(table.key)}): it is neither of them nor a partition"
                )
            outside = 0 if within is None else rows.where(f"NOT coalesce({within.sql()}, false)").count()
            if outside:
                raise InputError(f"{outside} rows for {name} are not where they are said to be ({within}). Nothing was written")
            if gone is None and delta.size(self._path(name)).files == 0:

                def write() -> None:
                    writer = rows.write.format("delta").mode("append").option("userMetadata", self._metadata())
                    writer.save(self._path(name))

                return self._commit(name, write)
            source = rows.withColumn(GONE, F.lit(False))
            if gone is not None:
                keys = gone.select(*table.key).distinct()
                leaving = keys.join(rows.select(*table.key), list(table.key), "left_anti")
                empty = [F.lit(None).cast(column.type).alias(column.name) for column in table.columns if column.name not in table.key]
                source = source.unionByName(leaving.select(*table.key, *empty, F.lit(True).alias(GONE)))
            return self._commit(name, lambda: self._run_merge(table, source, within))

    def delete(self, name: str, keys: DataFrame) -> int:
        """Deletes the rows with these keys, by MERGE, so that no key is written into the log. Returns the table's version."""
        table = catalog.table(name)
        return self.merge(name, self._empty(table), gone=keys)

    def _run_merge(self, table: Table, source: DataFrame, within: Within | None) -> None:
        view = f"merge_{uuid.uuid4().hex}"
        source.createOrReplaceTempView(view)
        spark = self._spark()
        columns = table.column_names
        on = " AND ".join([*(f"t.{name} = s.{name}" for name in table.key), *([] if within is None else [within.sql("t.")])])
        compared = [name for name in columns if name != "_run" and name not in table.key] or list(table.key)
        same = " AND ".join(f"t.{name} <=> s.{name}" for name in compared)
        assign = ", ".join(f"{name} = s.{name}" for name in columns)
        try:
            spark.sql(
                f"MERGE INTO delta.`{self._path(table.name)}` t USING {view} s ON {on}"
                f" WHEN MATCHED AND s.{GONE} THEN DELETE"
                f" WHEN MATCHED AND NOT ({same}) THEN UPDATE SET {assign}"
                f" WHEN NOT MATCHED AND NOT s.{GONE} THEN INSERT ({', '.join(columns)}) VALUES ({', '.join(f's.{c}' for c in columns)})"
            ).collect()
        finally:
            spark.catalog.dropTempView(view)

    @contextmanager
    def _staged(self, table: Table, frame: Rows) -> Iterator[tuple[DataFrame, int]]:
        """The rows, conformed to the table, and their count. What is not staged yet is computed once, into files that are gone afterwards."""
        if isinstance(frame, Staged):
            yield self._conformed(table, frame.frame), frame.rows
            return
        staging = Staging(self._staging, self._spark)
        try:
            found = staging.stage(self._conformed(table, frame), ddl(table.columns))
            yield found.frame, found.rows
        finally:
            staging.clear()

    def _conformed(self, table: Table, frame: DataFrame) -> DataFrame:
        """The table's columns in its order. Raises `InputError` for columns that it lacks, that are missing or of another type."""
        from pyspark.sql import functions as F

        if "_run" in table.column_names:
            frame = frame.withColumn("_run", F.lit(self._stamp))
        found = {field.name: field.dataType.simpleString() for field in frame.schema.fields}
        extra = [name for name in found if name not in table.column_names]
        missing = [name for name in table.column_names if name not in found]
        if extra or missing:
            raise InputError(f"rows for {table.name} do not fit: columns it does not have {extra}, columns missing {missing}")
        other = [
            f"{column.name} is {found[column.name]}, expected {column.type}"
            for column in table.columns
            if not _fits(found[column.name], column.type)
        ]
        if other:
            raise InputError(f"rows for {table.name} do not fit: {'; '.join(other)}")
        return frame.select(*(F.col(column.name).cast(column.type).alias(column.name) for column in table.columns))

    def _empty(self, table: Table) -> DataFrame:
        return self._spark().createDataFrame([], ddl(table.columns))

    def _metadata(self) -> str:
        return json.dumps({"run": self._stamp})

    def _commit(self, name: str, write: Callable[[], None]) -> int:
        """Makes one commit under the lease. A lost one is tried again, after a look whether it landed in spite of the error.

        Raises `CommitLost` where it was lost each time, `StateError` where somebody else committed beside it.
        """
        path = self._path(name)
        for attempt in Retrying(
            retry=retry_if_exception_type(CommitLost), stop=stop_after_attempt(TRIES), wait=wait_random_exponential(0.05, 1), reraise=True
        ):
            with attempt:
                self._check_lease()
                before = delta.head(path)
                try:
                    write()
                except Exception as error:
                    if not _is_lost(error):
                        raise
                    if not (delta.head(path) == before + 1 and self._is_ours(path)):
                        raise CommitLost(f"writing to {name} was overtaken by another commit {TRIES} times. Run again") from error
                after = delta.head(path)
                if after > before + 1:
                    raise StateError(f"{name} went from version {before} to {after} in one write: somebody else writes without the lease")
        if after > before:
            self._note(name, after)
            self.written.setdefault(name, []).append(after)
        return after

    def _is_ours(self, path: str) -> bool:
        newest = delta.history(path, 1)
        return bool(newest) and newest[0].metadata == self._metadata()


def _twice(rows: DataFrame, key: Sequence[str]) -> int:
    """How many keys occur more than once. Their hashes are grouped first, in a third of the time and memory; two keys may share one."""
    from pyspark.sql import functions as F

    shared = rows.groupBy(F.xxhash64(*(F.col(name) for name in key)).alias("hash")).count().where("count > 1")
    return rows.groupBy(*key).count().where("count > 1").count() if shared.count() else 0


def _is_lost(error: BaseException) -> bool:
    return any(mark in str(error) for mark in _LOST)


def _fits(found: str, expected: str) -> bool:
    if found == expected or found == "void":
        return True
    widths = ("tinyint", "smallint", "int", "bigint")
    if found in widths and expected in widths:
        return widths.index(found) <= widths.index(expected)
    # Sums widen decimals; the catalog's width is what is kept, and a value that does not fit there fails the cast.
    return found.startswith("decimal(") and expected.startswith("decimal(") and _scale(found) <= _scale(expected)


def _scale(decimal: str) -> int:
    return int(decimal[:-1].split(",")[1])


def _quoted(value: str) -> str:
    return value.replace("'", "''")
