"""Two commands at once on one home, each a process of its own: each ends well or is refused by the holder's name, and nothing is lost or there twice.
All pairs are tried in the soak, one with all other tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import published, shell
from tests.once import once
from tests.published import RUN, Published
from tests.soak import TIMES

pytestmark = pytest.mark.slow

WAIT_S = 300
HOLDERS = {"run": "run features", "maintain": "maintenance", "load": "load of source canonical"}
Words = tuple[str, ...]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return once(tmp_path_factory, "published", published.make)


def loads(prepared: Published) -> list[Words]:
    return [("load", str(file), "--source", "canonical") for file in prepared.late]


def at_once(home: Path, pair: list[Words], wait_s: float) -> list[bool]:
    """Starts both, and says which ended well. Whoever did not was refused and told who was writing: the other one."""
    both = [published.begun(home, *words, OPS__WAIT_S=wait_s) for words in pair]
    said = [process.communicate(timeout=shell.PATIENCE_S)[1] for process in both]
    for process, text, words in zip(both, said, reversed(pair), strict=True):
        if process.returncode:
            assert process.returncode == 1, text
            assert f'"{HOLDERS[words[0]]}" (process ' in text and "is writing to this lake" in text, text
    return [process.returncode == 0 for process in both]


@pytest.mark.parametrize("waits", [False, True] if TIMES else [True], ids=["refused", "waits"] if TIMES else ["waits"])
@pytest.mark.parametrize("which", ["run and maintain", "two runs", "two loads"] if TIMES else ["run and maintain"])
def test_of_two_at_once_each_ends_well_or_is_refused_and_nothing_is_lost_or_twice(
    prepared: Published, tmp_path: Path, which: str, waits: bool
) -> None:
    home, files = tmp_path / "home", loads(prepared)
    shutil.copytree(prepared.home, home)
    pair: list[Words] = {"run and maintain": [RUN, ("maintain",)], "two runs": [RUN, RUN], "two loads": files}[which]
    if which != "two loads":
        for words in files:
            published.done(home, *words)

    well = at_once(home, pair, WAIT_S if waits else 0)

    assert all(well) if waits else any(well), well
    for words, ended in zip(pair, well, strict=True):
        if not ended:
            published.done(home, *words)
    if which == "two loads":
        published.done(home, *RUN)
    assert published.contents(home) == prepared.undisturbed
    published.done(home, "verify")
