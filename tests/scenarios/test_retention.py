"""Years later: what a pin or a kept snapshot names is there, however old its log entries and files are."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from deltalake import DeltaTable

from lakehouse.tables import Lake, delta, handles, maintenance
from tests.shop import STORES, stores

YEARS = 9
LONG_AGO = time.time() - YEARS * 365 * 86_400  # wall clock, seconds


def aged(path: str) -> None:
    """Every file of a table as if it had been written nine years ago, and every time that its log tells, too."""
    for commit in (Path(path) / handles.LOG).glob("*.json"):
        actions = [json.loads(line) for line in commit.read_text().splitlines()]
        for action in actions:
            if "commitInfo" in action:
                action["commitInfo"]["timestamp"] = int(LONG_AGO * 1000)
            if "add" in action:
                action["add"]["modificationTime"] = int(LONG_AGO * 1000)
            if "remove" in action:
                action["remove"]["deletionTimestamp"] = int(LONG_AGO * 1000)
        commit.write_text("".join(json.dumps(action) + "\n" for action in actions))
    for file in Path(path).rglob("*"):
        os.utime(file, (LONG_AGO, LONG_AGO))
    for crc in (Path(path) / handles.LOG).glob(".*.crc"):
        crc.unlink()  # Hadoop's sums of what the files were


@pytest.fixture
def kept(lake: Lake) -> dict[int, str]:
    """The full digests of three versions that somebody pinned, by version; all of them nine years old."""
    found = {}
    with lake.lease("test"):
        for number in (1, 2, 3):
            version = lake.writer.merge(STORES, stores(lake, a=number, b=2))
            lake.pin(STORES, version, "auditor", "a test")
            found[version] = lake.digest(STORES, version, full=True).digest
    aged(lake.path(STORES))
    return found


def digests(lake: Lake, kept: dict[int, str]) -> dict[int, str]:
    return {version: lake.digest(STORES, version, full=True).digest for version in kept}


def test_old_versions_that_are_pinned_stay_while_the_table_is_written_compacted_vacuumed_and_given_checkpoints(
    lake: Lake, kept: dict[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "CHECKPOINT_FROM", 0)
    path = lake.path(STORES)
    commits = sorted(file.name for file in (Path(path) / handles.LOG).glob("*.json"))
    assert digests(lake, kept) == kept
    for number in (4, 6):
        with lake.lease("test"):
            unpinned, _ = (lake.writer.merge(STORES, stores(lake, a=units)) for units in (number, number + 1))
            delta.compact(path)
        aged(path)
        maintenance.maintain(lake)
        assert digests(lake, kept) == kept
        # What nobody keeps does go, so that the files which stayed were kept by the pins.
        assert delta.missing_files(path, unpinned)
    there = {file.name for file in (Path(path) / handles.LOG).glob("*.json")}
    assert there.issuperset(commits)


@pytest.mark.soak_on_jvm
def test_old_versions_stay_where_another_tool_cleans_up_the_log(lake: Lake, kept: dict[int, str]) -> None:
    """By the table's properties: without them Delta's default takes away what is older than 30 days."""
    path = lake.path(STORES)
    table = DeltaTable(path)
    table.create_checkpoint()
    table.cleanup_metadata()
    table.vacuum(dry_run=False)
    with lake.lease("test"):
        lake.create_tables()
        lake.writer.merge(STORES, stores(lake, a=9))
        assert digests(lake, kept) == kept
        table = DeltaTable(path)
        # The same with the properties taken away.
        table.alter.set_table_properties(
            {"delta.logRetentionDuration": "interval 30 days", "delta.deletedFileRetentionDuration": "interval 7 days"}
        )
        table = DeltaTable(path)
        table.create_checkpoint()
        table.cleanup_metadata()
    assert not (Path(path) / handles.LOG / f"{0:020}.json").exists()
