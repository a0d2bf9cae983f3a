"""Always: whatever is killed, and whenever, running again ends with the tables of an undisturbed run, and nothing is lost."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from jobs import processes
from lakehouse.engine.commands import missing_for_spark
from lakehouse.tables import Lake, maintenance
from tests import published, shell
from tests.kernels import kernels
from tests.once import once
from tests.published import RUN, Published
from tests.soak import times

# In turn, by seed: the first five are tried with all other tests. Maintenance starts no engine.
CASES = (
    ("run", "kernel"),
    ("load", "runner"),
    ("maintain", "runner"),
    ("run", "runner"),
    ("run", "endpoint"),
    ("load", "endpoint"),
)
TRIES = 6
LONGEST_S = {"sail": {"load": 4.0, "run": 14.0, "maintain": 5.0}, "spark": {"load": 20.0, "run": 60.0, "maintain": 5.0}}


def victims(runner: subprocess.Popen[str], which: str, home: Path) -> list[psutil.Process]:
    """The processes to be killed: the command itself, the engine that it started, or the kernel of its stage; none where there is none just now."""
    own = psutil.Process(runner.pid)
    if which == "runner":
        return [own]
    if which == "kernel":
        return kernels(home)
    return [child for child in own.children(recursive=True) if _is_engine(child.cmdline())]


def _is_engine(words: list[str]) -> bool:
    return {"spark", "server"} <= set(words) or any(word.endswith("SparkConnectServer") for word in words)


def struck(home: Path, engine: str, which: str, after: float, *words: str) -> tuple[int, int]:
    """Starts the command and kills one of its processes after so many seconds, or once there is one. How many were killed (none where it had
    ended), and its exit code."""
    runner = published.begun(home, *words, RUNNER__IN_PROCESS=False, ENGINE=engine)
    begin, hit = time.monotonic() + after, 0
    while not hit and runner.poll() is None:
        time.sleep(0.02)
        if time.monotonic() >= begin:
            with contextlib.suppress(psutil.NoSuchProcess):
                for victim in victims(runner, which, home):
                    victim.send_signal(signal.SIGKILL)
                    hit += 1
    runner.communicate(timeout=shell.PATIENCE_S)
    return hit, runner.returncode


def killed(home: Path, engine: str, chance: random.Random, which: str, *words: str) -> str:
    """Kills one of the command's processes at a random moment, and says what happened. Where the command was faster, it is started again on the home
    as it was, and killed sooner: a test that killed nobody would show nothing, and what has landed or is maintained gives no work a second time."""
    after, before = chance.uniform(0.2, LONGEST_S[engine][words[0]]), home.with_name("before")
    shutil.copytree(home, before)
    try:
        for _ in range(TRIES):
            hit, code = struck(home, engine, which, after, *words)
            if hit:
                return f"{words[0]} on {engine}, {which} killed after {after:.2f} s ({hit} processes), exit code {code}"
            after /= 2
            shutil.rmtree(home)
            shutil.copytree(before, home)
    finally:
        shutil.rmtree(before)
    pytest.fail(f"{words[0]}, {which}: in {TRIES} tries nobody was killed")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return once(tmp_path_factory, "published", published.make)


@pytest.mark.parametrize("seed", range(times(5)))
def test_whatever_is_killed_running_again_gives_the_tables_of_an_undisturbed_run(prepared: Published, tmp_path: Path, seed: int) -> None:
    home, chance, told = tmp_path / "home", random.Random(seed), [f"seed {seed}"]
    shutil.copytree(prepared.home, home)
    commands = {"load": ("load", *map(str, prepared.late), "--source", "canonical"), "run": RUN, "maintain": ("maintain",)}
    what, which = CASES[seed % len(CASES)]
    # In the soak, every other run that was broken off is ended on Spark, every other one of these was begun there too; so is every sixteenth that is
    # ended on Sail.
    has_spark = seed >= 5 and not missing_for_spark()
    begins = "spark" if has_spark and (seed % 4 == 1 or seed % 16 == 6) else "sail"
    ends = "spark" if has_spark and seed % 2 == 1 else "sail"
    for name, words in commands.items():
        if name == what:
            told.append(killed(home, begins, chance, which, *words))
        elif seed >= len(CASES) and chance.random() < 0.5:
            told.append(killed(home, begins, chance, chance.choice([one for command, one in CASES if command == name]), *words))
        published.done(home, *words, ENGINE=ends if name == "run" else "sail")
    assert published.contents(home) == prepared.undisturbed, "; ".join(told)
    assert not list(processes.marked(home / "runs")), "; ".join(told)
    with Lake(published.settings(home)) as lake:
        assert not [one for one in maintenance.plan(lake) if one.orphans], "; ".join(told)
    published.done(home, "verify")
