"""A table that was opened before is given again as long as its log is what it was, and never longer."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lakehouse.errors import StateError
from lakehouse.tables import catalog, delta, delta_log, handles

STORES = catalog.table("gold.stores")


@pytest.fixture
def path(tmp_path: Path) -> str:
    place = str(tmp_path / "stores")
    delta.create(place, STORES, 30)
    return place


def entry(path: str, version: int) -> Path:
    return Path(path) / handles.LOG / f"{version:020}.json"


def commit(path: str) -> int:
    """One more version, of the same rows."""
    handles.open_to_change(path).alter.set_table_properties({"delta.deletedFileRetentionDuration": f"interval {delta.head(path)} days"})
    return delta.head(path)


def test_it_is_opened_once_as_long_as_nothing_happens_to_its_log(path: str) -> None:
    assert handles.open_table(path) is handles.open_table(path)
    assert handles.open_table(path, 0) is handles.open_table(path, 0)
    assert handles.open_table(path, 0).version() == 0


def test_each_commit_is_seen_and_older_versions_stay_what_they_are(path: str) -> None:
    first = delta.head(path)
    older = handles.open_table(path, first)
    assert [commit(path) for _ in range(3)] == [first + 1, first + 2, first + 3]
    assert handles.open_table(path).version() == first + 3
    assert (older.version(), handles.open_table(path, first).version()) == (first, first)


def test_an_entry_that_was_damaged_in_its_place_is_not_covered_up(path: str) -> None:
    newest = commit(path)
    assert delta.head(path) == newest
    entry(path, newest).write_text("{", encoding="utf-8")
    with pytest.raises(StateError, match="can't be opened"):
        handles.open_table(path)
    with pytest.raises(StateError, match="can't be opened"):
        handles.open_table(path, newest)


def test_damage_that_keeps_bytes_and_time_is_not_covered_up_either(path: str) -> None:
    newest = commit(path)
    assert delta.head(path) == newest
    about, text = entry(path, newest).stat(), entry(path, newest).read_text(encoding="utf-8")
    entry(path, newest).write_text("x" * len(text), encoding="utf-8")
    os.utime(entry(path, newest), ns=(about.st_atime_ns, about.st_mtime_ns))
    with pytest.raises(StateError, match="can't be opened"):
        handles.open_table(path)


def test_a_version_that_is_held_open_stays_open_while_the_log_goes_on(path: str) -> None:
    first, second = delta.head(path), commit(path)
    held = handles.open_table(path, second)
    delta.restore(path, first, STORES)
    delta.compact(path)
    delta.vacuum(path, ())
    assert held.version() == second < delta.head(path)
    assert handles.open_table(path, second) is held


def test_the_newest_version_that_was_opened_moves_on_with_the_log(path: str, tmp_path: Path) -> None:
    opened = handles.open_table(path)
    newest = [commit(path) for _ in range(3)][-1]
    assert handles.open_table(path) is opened and opened.version() == newest
    assert opened.metadata().configuration == handles.open_to_change(path).metadata().configuration
    assert delta.files(path) == delta.files_of(handles.open_to_change(path))
    delta_log.checkpoint(path, tmp_path)
    assert handles.open_table(path) is not opened  # so that a checkpoint that is damaged is found


def test_a_newer_entry_that_is_damaged_is_not_passed_over(path: str) -> None:
    newest = delta.head(path) + 1
    entry(path, newest).write_text("{", encoding="utf-8")
    with pytest.raises(StateError, match="can't be opened"):
        handles.open_table(path)


def test_an_entry_that_is_put_back_opens_the_table_anew(path: str) -> None:
    newest = commit(path)
    text = entry(path, newest).read_text(encoding="utf-8")
    entry(path, newest).unlink()
    opened = handles.open_table(path)
    assert opened.version() == newest - 1
    entry(path, newest).write_text(text, encoding="utf-8")
    assert delta.head(path) == newest


def test_a_table_that_was_removed_is_not_there(path: str) -> None:
    assert delta.head(path) == delta.created_version(STORES)
    shutil.rmtree(path)
    with pytest.raises(StateError, match="there is no table"):
        handles.open_table(path)


def test_a_table_that_was_made_anew_is_another(path: str) -> None:
    newest = commit(path)
    assert delta.head(path) == newest
    shutil.rmtree(path)
    delta.create(path, STORES, 30)
    assert delta.head(path) == delta.created_version(STORES)


def test_threads_that_open_while_another_writes_see_versions_go_up(path: str) -> None:
    first = delta.head(path)

    def heads(_: int) -> list[int]:
        return [delta.head(path) for _ in range(40)]

    with ThreadPoolExecutor(5) as pool:
        reading = [pool.submit(heads, number) for number in range(4)]
        newest = [commit(path) for _ in range(10)][-1]
        seen = [one.result() for one in reading]
    assert all(one == sorted(one) and first <= one[0] and one[-1] <= newest for one in seen)
    assert delta.head(path) == newest == first + 10


def test_a_table_whose_log_another_thread_writes_to_is_never_called_damaged(tmp_path: Path) -> None:
    path = str(tmp_path / "made")
    write_deltalake(path, pa.table({"units": [0]}))
    said = {0: delta.files(path, 0)}

    def looked_at(_: int) -> list[bool]:
        return [delta.files(path, version) == files for _ in range(60) for version, files in list(said.items())[-1:]]

    with ThreadPoolExecutor(5) as pool:
        reading = [pool.submit(looked_at, number) for number in range(4)]
        for number in range(1, 20):
            write_deltalake(path, pa.table({"units": [number]}), mode="append")
            said[number] = delta.files(path, number)
        assert all(all(one.result()) for one in reading)


def test_no_more_tables_are_kept_than_are_used(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handles, "KEPT_OPEN", 2)
    for _ in range(3):
        commit(path)
    kept = [handles.open_table(path, version) for version in range(3)]
    assert handles.open_table(path, 2) is kept[2]
    assert handles.open_table(path, 0) is not kept[0]


def test_the_files_of_every_version_are_told_by_the_entries_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "made")
    for mode in ("append", "append", "overwrite", "append"):
        rows = pa.table({"place": ["a b", "x%2Fy/ü", "x%2Fy/ü"], "units": [1, 2, 3]})
        write_deltalake(path, rows, mode=mode, partition_by=["place"])
    opened = {version: set(delta.files(path, version)) for version in range(delta.head(path) + 1)}

    told, logged = delta_log.files_by_version(path, opened)

    assert told == opened and len({frozenset(files) for files in told.values()}) == 4
    assert logged == set().union(*opened.values())
    delta_log.checkpoint(path, tmp_path)
    entry(path, 0).unlink()
    with pytest.raises(StateError, match=f"{0:020}.json"):
        delta_log.files_by_version(path, [1])
