"""Runs that are broken off by what happens to machines. Whatever it was: running again gives the tables of an undisturbed run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import psutil
import pytest

from jobs import environment, processes
from jobs.progress import Event
from jobs.runner import run as run_stages
from lakehouse import settings as settings_module
from lakehouse.errors import GateFailed, LeaseHeld, ProcessKilled
from lakehouse.ingest.unloading import unload
from lakehouse.settings import Settings
from lakehouse.tables import Lake
from tests import shell
from tests.conftest import SECRET
from tests.kernels import kernels
from tests.shop import Line, Shop
from tests.waiting import wait_for

UNTIL = ["features"]
Digests = dict[str, str]


def lines() -> list[Line]:
    """Five products, seven customers, a receipt of three lines on each of 50 days, and one line that comes back."""
    sold = [
        Line(
            product=f"P{number % 5}",
            sold_at=f"2011-{1 + day // 28:02d}-{1 + day % 28:02d}T10:0{number}:00",
            quantity=str(1 + (day + number) % 4),
            invoice=str(day),
            customer=f"c{day % 7}",
        )
        for day in range(50)
        for number in range(3)
    ]
    return [*sold, Line("P1", "2011-02-20T09:00:00", quantity="-2", invoice="C1", customer="c1")]


def in_kernel(settings: Settings) -> Settings:
    return settings.model_copy(update={"runner": settings.runner.model_copy(update={"in_process": False})})


def digests(lake: Lake) -> Digests:
    """Of every derived table as it is published."""
    return {name: lake.digest(name).digest for name, table in lake.catalog.items() if table.kind == "derived"}


@pytest.fixture
def shop(lake: Lake) -> Shop:
    found = Shop(lake)
    found.land(*lines())
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Digests:
    """What the run that nothing happens to makes of the lines."""
    home = tmp_path_factory.mktemp("undisturbed") / "home"
    settings = settings_module.load(home, "test", {"vault": {"keys": "derived", "secret": SECRET}}, environ={})
    with Lake(settings) as lake:
        lake.create_tables()
        Shop(lake).land(*lines())
        run_stages(settings, UNTIL)
        return digests(lake)


def kill_kernels(home: Path) -> None:
    wait_for(lambda: bool(kernels(home)))
    for kernel in kernels(home):
        kernel.kill()


@pytest.mark.slow
def test_a_kernel_that_is_killed_costs_a_second_try(shop: Shop, settings: Settings, undisturbed: Digests) -> None:
    run_stages(settings, ["silver"])
    events: list[Event] = []
    killer = threading.Thread(target=kill_kernels, args=(settings.home,))
    killer.start()

    run_stages(in_kernel(settings), ["gold"], progress=events.append)

    killer.join()
    assert [event.step for event in events if event.stage == "gold"] == ["started", "again", "started", "done"]
    run_stages(settings, UNTIL)
    assert digests(shop.lake) == undisturbed


@pytest.mark.slow
def test_kernels_that_are_killed_each_time_fail_their_stage_and_running_again_heals_it(
    shop: Shop, settings: Settings, undisturbed: Digests
) -> None:
    run_stages(settings, ["silver"])

    def kill_each(event: Event) -> None:
        if event.step == "started":
            threading.Thread(target=kill_kernels, args=(settings.home,)).start()

    with pytest.raises(ProcessKilled, match="stage gold failed.*the kernel was ended by SIGKILL"):
        run_stages(in_kernel(settings), ["gold"], progress=kill_each)
    assert shop.lake.snapshot() is None

    run_stages(settings, UNTIL)

    assert digests(shop.lake) == undisturbed


@pytest.mark.slow
def test_a_runner_that_is_killed_leaves_no_process_and_running_again_heals_it(
    shop: Shop, settings: Settings, undisturbed: Digests, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_stages(settings, ["silver"])
    own = environment.of_stage(in_kernel(settings), "", Path("unused"))
    environ = {**os.environ, **own, "SPARK_REMOTE": os.environ["SPARK_REMOTE"], "PYTHONPATH": str(processes.ROOT)}
    del environ["ZEROMARGIN_RESULT"]
    runner = subprocess.Popen([*shell.PROGRAM, "run", *UNTIL], env=environ, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: bool(kernels(settings.home)))
    finally:
        runner.send_signal(signal.SIGKILL)
        runner.wait()

    wait_for(lambda: not list(processes.marked(settings.home / "runs")))
    assert shop.lake.snapshot() is None

    run_stages(settings, UNTIL)

    assert digests(shop.lake) == undisturbed


@pytest.mark.slow
def test_an_endpoint_that_is_killed_in_the_middle_costs_a_second_try(
    shop: Shop, settings: Settings, undisturbed: Digests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPARK_REMOTE")
    before = {child.pid for child in psutil.Process().children()}
    events: list[Event] = []

    def kill_once(event: Event) -> None:
        events.append(event)
        if (event.step, event.stage) == ("started", "gold") and not any(earlier.step == "again" for earlier in events):
            for child in psutil.Process().children():
                if child.pid not in before:
                    child.kill()

    run_stages(settings, UNTIL, progress=kill_once)

    assert [event.stage for event in events if event.step == "again"] == ["gold"]
    assert digests(shop.lake) == undisturbed


@pytest.mark.slow
def test_of_two_runs_at_once_the_second_is_refused_and_the_first_is_as_if_alone(
    shop: Shop, settings: Settings, undisturbed: Digests
) -> None:
    refused: list[LeaseHeld] = []

    def run_another(event: Event) -> None:
        if (event.step, event.stage) == ("started", "gold"):
            with pytest.raises(LeaseHeld) as error:
                run_stages(settings, UNTIL)
            refused.append(error.value)

    run_stages(settings, UNTIL, progress=run_another)

    assert len(refused) == 1
    assert digests(shop.lake) == undisturbed


@pytest.mark.slow
def test_a_gate_that_fails_leaves_what_was_published_as_it_was(shop: Shop, settings: Settings, undisturbed: Digests) -> None:
    run_stages(settings, UNTIL)
    published = shop.lake.snapshot()
    shop.land(*(Line(f"P{number}", "2011-02-25T10:00:00", reasons=("bad_price",), identity=str(number)) for number in range(400)))

    with pytest.raises(GateFailed, match="stage quality failed") as refused:
        run_stages(settings)  # what landed begins a new run; stages by name would go on with the open one

    assert shop.lake.snapshot() == published
    assert digests(shop.lake) == undisturbed

    named = re.search(r"lines of file ([0-9a-f]{12})", str(refused.value))
    assert named is not None and "zeromargin unload" in str(refused.value)
    unload(shop.lake, named[1])
    run_stages(settings, UNTIL)

    assert digests(shop.lake) == undisturbed
