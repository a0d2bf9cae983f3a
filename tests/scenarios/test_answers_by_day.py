"""What serving answered, by day: many landings become few files, and a table of an earlier layout goes on in this one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lakehouse import journal
from lakehouse.ingest import answers
from lakehouse.registry.verifying import verify
from lakehouse.tables import Lake, catalog, delta, maintenance
from lakehouse.tables.staging import arrow_schema

TABLE = "bronze.answers"
BEGAN = datetime(2011, 11, 7, 23, 30)


def answered(lake: Lake, *requests: str, at: datetime) -> Path:
    """A closed segment in which these were answered at that time."""
    writer = journal.Writer(lake.home / "answers")
    writer.write([journal.encode({"request_id": one, "answered_at": at.isoformat(), "model": "demand"}) for one in requests])
    return writer.close(at)


def land(lake: Lake) -> int:
    with lake.lease("answers"):
        return answers.land_answers(lake)


def held(lake: Lake, version: int | None = None) -> dict[str, str]:
    return {row["request_id"]: str(row["answered_at"]) for row in lake.read(TABLE, version=version).toArrow().to_pylist()}


@pytest.mark.soak_on_jvm
def test_many_landings_of_two_days_become_a_file_a_day_and_every_version_stays(lake: Lake) -> None:
    seen = {}
    for number in range(6):
        answered(lake, f"r{number}", at=BEGAN + timedelta(minutes=10 * number))
        assert land(lake) == 1
        seen[lake.head(TABLE)] = held(lake)
    again = answered(lake, "r4", "r6", at=BEGAN + timedelta(minutes=40))  # as if r4 had landed and its file had stayed
    assert again.exists() and land(lake) == 2
    assert sorted(held(lake)) == [f"r{number}" for number in range(7)]
    assert delta.partition_rows(lake.path(TABLE), "answered_on") == {"2011-11-07": 3, "2011-11-08": 4}

    before = held(lake)
    with lake.lease("test"):
        delta.compact(lake.path(TABLE))
    assert held(lake) == before and delta.size(lake.path(TABLE)).files == 2
    assert {version: held(lake, version) for version in seen} == seen
    assert all(one.whole for one in verify(lake))


def test_a_table_that_is_kept_by_segment_goes_on_by_day_and_its_versions_stay(lake: Lake) -> None:
    path, table = lake.path(TABLE), catalog.table(TABLE)
    former = replace(table, partition_by=("segment",), columns=tuple(one for one in table.columns if one.name != "answered_on"))
    shutil.rmtree(path)
    delta.create(path, former, 3650)
    row = dict.fromkeys(former.column_names) | {"answered_at": BEGAN.replace(tzinfo=UTC)}
    for name in ("r1", "r2"):
        rows = pa.Table.from_pylist([row | {"request_id": name, "segment": f"s-{name}"}], arrow_schema(former.columns))
        write_deltalake(path, rows, mode="append")
        lake.note(TABLE, lake.head(TABLE))
    last, was = lake.head(TABLE), held(lake)
    lake.pin(TABLE, last, "audit", "as it was")

    lake.create_tables()
    assert held(lake) == was and maintenance.plan(lake)
    answered(lake, "r3", at=BEGAN + timedelta(days=1))
    assert land(lake) == 1
    assert sorted(held(lake)) == ["r1", "r2", "r3"] and held(lake, last) == was
    assert delta.partition_rows(path, "answered_on") == {"2011-11-07": 2, "2011-11-08": 1}
    assert lake.head(TABLE) == last + 3, "the new column, the layout, the landing"
    answered(lake, "r4", at=BEGAN + timedelta(days=1))
    assert land(lake) == 1 and lake.head(TABLE) == last + 4
    assert all(one.whole for one in verify(lake))
