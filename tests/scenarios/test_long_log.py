"""A table of a hundred commits and more: every version stays readable, before and after a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse.tables import Lake, catalog, delta, delta_log, handles
from tests.shop import STORES, stores


def units(lake: Lake, version: int) -> list[int]:
    return [int(row["units"]) for row in lake.read(STORES, version=version).toArrow().to_pylist()]


def checksums(path: str) -> list[int]:
    """The versions of which an engine has written a checksum."""
    return [int(one.stem) for one in (Path(path) / handles.LOG).glob("*.crc") if one.stem.isdigit()]


@pytest.fixture
def held(lake: Lake) -> dict[int, int]:
    """Units of store a by version: back and forth between two values, then on by the engine, over the round numbers at which engines write
    checkpoints by themselves."""
    path, found = lake.path(STORES), {}
    with lake.lease("test"):
        one, two = (lake.writer.merge(STORES, stores(lake, a=number)) for number in (1, 2))
        found |= {one: 1, two: 2}
        while (head := delta.head(path)) < 98:
            found[delta.restore(path, one if found[head] == 2 else two, catalog.table(STORES))] = 3 - found[head]
        for number in range(3, 7):
            found[lake.writer.merge(STORES, stores(lake, a=number))] = number
    return found


@pytest.mark.soak_on_jvm
def test_every_version_is_readable_before_and_after_a_checkpoint_and_beyond_it(lake: Lake, held: dict[int, int], tmp_path: Path) -> None:
    path = lake.path(STORES)
    some = [version for version in held if version in (min(held), 10, 19, 20, 21, 50, 99, 100, 101, max(held))]
    expected = {version: [held[version]] for version in some}
    assert {version: units(lake, version) for version in some} == expected
    assert len(checksums(path)) > 1
    for _ in range(2):
        delta_log.checkpoint(path, tmp_path)
        assert (delta_log.since_checkpoint(path), list(tmp_path.glob("checkpoint-*"))) == (0, [])
        assert min(checksums(path), default=delta.head(path)) == delta.head(path)
    assert {version: units(lake, version) for version in some} == expected
    with lake.lease("test"):
        after = lake.writer.merge(STORES, stores(lake, a=9))
    assert {version: units(lake, version) for version in (*some, after)} == expected | {after: [9]}


@pytest.mark.soak_on_jvm
def test_a_hint_that_somebody_else_left_in_the_log_is_taken_away_before_anything_is_written(lake: Lake, held: dict[int, int]) -> None:
    path = lake.path(STORES)
    handles.open_table(path).create_checkpoint()
    hint = Path(path) / handles.LOG / delta_log.HINT
    assert hint.is_file()
    lake.create_tables()
    assert not hint.exists()
    assert units(lake, 50) == [held[50]]
