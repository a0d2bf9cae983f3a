"""Loads that are broken off, beside one another, or not permitted: nothing is lost, nothing is there twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobs.processes import ROOT
from lakehouse.errors import InputError, LeaseHeld, StateError
from lakehouse.ingest import load, loading
from lakehouse.tables import Lake
from tests.canonical import rows, sale, written
from tests.scenarios.conftest import MakeLake

CHILD = """
import sys
from pathlib import Path
from lakehouse import settings
from lakehouse.ingest import load, loading
from lakehouse.tables import Lake
home, path, stop = sys.argv[1:]
wait = False

def told(what):
    if what == stop:
        print(what, flush=True)
        sys.stdin.readline()

with Lake(settings.load(home=Path(home), overrides={"door": {"batch_rows": 50}})) as lake:
    append, commit = lake.writer.append, lake.writer._commit
    def appending(name, *rest, **more):
        version = append(name, *rest, **more)
        told("committed")
        return version
    def committing(name, write, **more):
        told("written")
        return commit(name, write, **more)
    lake.writer.append, lake.writer._commit = appending, committing
    load(lake, Path(path), "canonical", lambda file, lines: told("reading"))
"""


@pytest.fixture
def start_load(lake: Lake) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Loads in processes of their own, stopped at a point where they wait for a line."""
    started: list[subprocess.Popen[str]] = []

    def start(path: Path, stop: str = "", **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", CHILD, str(lake.home), str(path), stop]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, cwd=ROOT, text=True, env={**os.environ, **environment}, **pipes))  # type: ignore[call-overload]
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def reached(process: subprocess.Popen[str], point: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline().strip() == point, process.communicate()[1]


@pytest.mark.parametrize("point", [*(pytest.param(point, marks=pytest.mark.soak_on_jvm) for point in ("reading", "written")), "committed"])
def test_a_load_that_is_killed_lands_nothing_or_the_whole_file_and_then_the_same(
    point: str, lake: Lake, make_lake: MakeLake, tmp_path: Path, start_load: Callable[..., subprocess.Popen[str]]
) -> None:
    path = written(tmp_path, "a.csv", *(sale(f"P{number}", 17_000 + number % 60) for number in range(120)))
    undisturbed = make_lake("undisturbed")
    load(undisturbed, path, "canonical")

    killed = start_load(path, point)
    reached(killed, point)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    landed_before = lake.read("bronze.sales").count()
    (again,) = load(lake, path, "canonical")

    assert landed_before == (120 if point == "committed" else 0)
    assert again.already == (point == "committed")
    assert lake.digest("bronze.sales").digest == undisturbed.digest("bronze.sales").digest
    assert lake.digest("bronze.sales").rows == 120
    load(lake, written(tmp_path, "next.csv", sale("Z")), "canonical")
    assert not list((lake.home / "staging").iterdir())


@pytest.mark.soak_on_jvm
def test_a_load_beside_another_is_refused_and_told_who_loads(
    lake: Lake, tmp_path: Path, start_load: Callable[..., subprocess.Popen[str]]
) -> None:
    path, other = written(tmp_path, "a.csv", sale("A")), written(tmp_path, "b.csv", sale("B"))
    first = start_load(path, "reading")
    reached(first, "reading")

    with pytest.raises(LeaseHeld, match=f'"load of source canonical" .process {first.pid} on '):
        load(lake, other, "canonical")

    _, errors = first.communicate("go on\n", timeout=60)
    assert first.returncode == 0, errors
    assert rows(lake, "product_code") == [("A",)]
    load(lake, other, "canonical")
    assert rows(lake, "product_code") == [("A",), ("B",)]


@pytest.mark.soak_on_jvm
def test_a_load_that_may_wait_lands_after_the_other_and_the_same_content_once(
    lake: Lake, tmp_path: Path, start_load: Callable[..., subprocess.Popen[str]]
) -> None:
    path = written(tmp_path, "a.csv", sale("A"))
    first = start_load(path, "reading")
    reached(first, "reading")
    second = start_load(path, ZEROMARGIN_OPS__WAIT_S="60")

    _, errors = first.communicate("go on\n", timeout=60)
    _, more = second.communicate(timeout=60)

    assert (first.returncode, second.returncode) == (0, 0), errors + more
    assert rows(lake, "product_code") == [("A",)]


@pytest.mark.soak_on_jvm
def test_a_home_that_can_not_be_written_to_is_named(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "a.csv", sale("A"))
    (tmp_path / "file").touch()
    monkeypatch.setattr(lake, "settings", lake.settings.model_copy(update={"home": tmp_path / "file" / "home"}))
    with pytest.raises(StateError, match="can't be written to: Not a directory.*ZEROMARGIN_HOME"):
        load(lake, path, "canonical")


@pytest.mark.soak_on_jvm
def test_folders_that_this_user_may_not_use_are_named(lake: Lake, tmp_path: Path) -> None:
    read_only, closed = tmp_path / "read-only", tmp_path / "closed"
    read_only.mkdir(mode=0o500)
    closed.mkdir(mode=0)
    with ordinary_user():
        with pytest.raises(StateError, match="read-only can't be written to: Permission denied"):
            loading._check_home(read_only)
        with pytest.raises(InputError, match="sales.csv can't be read: Permission denied"):
            load(lake, closed / "sales.csv", "canonical")
        with pytest.raises(InputError, match="closed can't be read: Permission denied"):
            load(lake, closed, "canonical")


@contextmanager
def ordinary_user() -> Iterator[None]:
    """For the length of a block nobody special, whom a folder's mode can stop."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)
