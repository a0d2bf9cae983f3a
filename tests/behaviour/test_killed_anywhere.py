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
from lakehouse.settings import Settings
from lakehouse.tables import Lake
from tests import shell
from tests.kernels import kernels
from tests.once import once
from tests.shop import STORES
from tests.soak import times
from tests.trained import settings_of

STAGES = ["silver", "gold"]
VICTIMS = ("runner", "endpoint", "kernel")
TRIES = 6
LONGEST_S = {"load": 4.0, "run": 14.0, "maintain": 5.0}
Digests = dict[str, str]


def command(home: Path, *words: str) -> subprocess.Popen[bytes]:
    """It runs each stage in a kernel, on an endpoint of its own."""
    environ = shell.environ(home, RUNNER__IN_PROCESS=False)
    return subprocess.Popen([*shell.PROGRAM, *words], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=processes.ROOT)


def done(home: Path, *words: str) -> None:
    process = command(home, *words)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said.decode()[-2000:]


def digests(settings: Settings) -> Digests:
    """Of bronze as it is, and of the derived tables that silver and gold make, at their heads."""
    with Lake(settings) as lake:
        names = ["bronze.sales", *(name for name, table in lake.catalog.items() if table.layer in ("silver", "gold", "quarantine"))]
        return {name: lake.digest(name, lake.head(name)).digest for name in names}


def victims(runner: subprocess.Popen[bytes], which: str, home: Path) -> list[psutil.Process]:
    """The processes to be killed: the command itself, the engine that it started, or the kernel of its stage; the engine where there is no kernel
    just now, and the command where there is no engine."""
    own = psutil.Process(runner.pid)
    if which == "runner":
        return [own]
    engines = [child for child in own.children(recursive=True) if "spark" in child.cmdline() and "server" in child.cmdline()]
    return (kernels(home) if which == "kernel" else []) or engines or [own]


def struck(home: Path, which: str, after: float, *words: str) -> tuple[int, int]:
    """Starts the command and kills one of its processes after so many seconds. How many were killed (none where it had ended), and its exit code."""
    runner = command(home, *words)
    deadline = time.monotonic() + after
    while time.monotonic() < deadline and runner.poll() is None:
        time.sleep(0.02)
    hit = 0
    if runner.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for victim in victims(runner, which, home):
                victim.send_signal(signal.SIGKILL)
                hit += 1
    runner.communicate(timeout=300)
    return hit, runner.returncode


def killed(home: Path, seed: int, what: str, *words: str) -> str:
    """Kills one of the command's processes at a random moment, and says what happened. Where the command was faster, it is started again and killed
    sooner: a test that killed nobody would show nothing."""
    chance = random.Random(seed)
    which, after = chance.choice(VICTIMS), chance.uniform(0.2, LONGEST_S[what])
    for _ in range(TRIES):
        hit, code = struck(home, which, after, *words)
        if hit:
            return f"seed {seed}: {what}, {which} killed after {after:.2f} s ({hit} processes), exit code {code}"
        after /= 2
    pytest.fail(f"seed {seed}: {what}, {which}: in {TRIES} tries nobody was killed")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Digests]:
    """Two files landed and run; and what a third file that lands after them leads to when nothing happens."""
    return once(tmp_path_factory, "killed-anywhere", _prepared)


def _prepared(folder: Path) -> tuple[Path, Digests]:
    from lakehouse.ingest.sample import write_sample

    write_sample(folder / "raw", seed=11, weeks=12, products=30, customers=60)
    (folder / "late").mkdir()
    for file in sorted((folder / "raw").glob("*.csv"))[-2:]:
        shutil.move(file, folder / "late")
    home = folder / "home"
    done(home, "load", str(folder / "raw"), "--source", "canonical")
    done(home, "run", *STAGES)
    shutil.copytree(home, folder / "undisturbed")
    done(folder / "undisturbed", "load", str(folder / "late"), "--source", "canonical")
    done(folder / "undisturbed", "run", *STAGES)
    return folder, digests(settings_of(folder / "undisturbed"))


@pytest.mark.parametrize("seed", range(times(5)))
def test_whatever_is_killed_running_again_gives_the_tables_of_an_undisturbed_run(
    prepared: tuple[Path, Digests], tmp_path: Path, seed: int
) -> None:
    folder, undisturbed = prepared
    home = tmp_path / "home"
    shutil.copytree(folder / "home", home)
    load, run = ("load", str(folder / "late"), "--source", "canonical"), ("run", *STAGES)
    told = []
    for place, (what, words) in enumerate((("load", load), ("run", run), ("maintain", ("maintain",)))):
        if (seed + place) % 3 != 1 or what == "run":
            told.append(killed(home, 10 * seed + place, what, *words))
        done(home, *words)
    assert digests(settings_of(home)) == undisturbed, "; ".join(told)
    assert not list(processes.marked(home / "runs")), "; ".join(told)
    with Lake(settings_of(home)) as lake:
        assert lake.read(STORES, version=lake.head(STORES)).count() == 1
