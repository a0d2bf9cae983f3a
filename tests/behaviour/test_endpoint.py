"""Endpoints: started, attached to, stopped; a dead one is an error within seconds."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from lakehouse.engine import Endpoint, attach, connect, explain, start
from lakehouse.engine import endpoint as endpoint_module
from lakehouse.engine.commands import missing_for_spark
from lakehouse.errors import EndpointDown, StateError
from lakehouse.settings import Settings
from lakehouse.tables import Lake
from tests.conftest import skip_or_fail
from tests.servers import free_port
from tests.waiting import wait_for

ENGINES = ["sail", pytest.param("spark", marks=pytest.mark.slow)]
STARTER = """
import sys, time
from pathlib import Path
from lakehouse import settings
from lakehouse.engine import start
endpoint = start(settings.load(home=sys.argv[1], profile="test"), Path(sys.argv[1]))
print(endpoint.process.pid, flush=True)
time.sleep(60)
"""


def started(settings: Settings, folder: Path, engine: str) -> Endpoint:
    if engine == "spark" and (missing := missing_for_spark()):
        skip_or_fail(missing)
    return start(settings.model_copy(update={"engine": engine}), folder)


def test_an_endpoint_answers_and_is_gone_after_stopping(settings: Settings, tmp_path: Path) -> None:
    endpoint = start(settings, tmp_path)
    assert endpoint.process is not None
    session = connect(endpoint.url)
    assert session.sql("SELECT 41 + 1 AS n").collect()[0].n == 42
    session.stop()
    endpoint.stop()
    assert endpoint.process.poll() is not None
    endpoint.stop()


def test_nothing_at_a_url_is_said_within_seconds_with_what_to_do() -> None:
    port = free_port()
    begun = time.monotonic()
    with pytest.raises(EndpointDown, match="Start the endpoint, or leave SPARK_REMOTE out"):
        attach(f"sc://127.0.0.1:{port}", "SPARK_REMOTE")
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("url", ["sc://127.0.0.1:1/;token=S3CRET", "http://127.0.0.1:1/;token=S3CRET"])
def test_a_token_in_a_url_is_not_repeated(url: str) -> None:
    with pytest.raises(EndpointDown, match=r"//127\.0\.0\.1:1") as caught:
        attach(url, "SPARK_REMOTE")
    assert "S3CRET" not in str(caught.value)


@pytest.mark.parametrize("url", ["sc://127.0.0.1:1", "http://127.0.0.1:1"])
def test_a_dead_endpoint_is_blamed_on_the_setting_that_named_it(settings: Settings, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    remote = settings.model_copy(update={"endpoint": settings.endpoint.model_copy(update={"remote": url})})
    with Lake(remote) as lake, pytest.raises(EndpointDown, match="endpoint.remote") as caught:
        _ = lake.endpoint
    assert "ZEROMARGIN_ENDPOINT__REMOTE" in str(caught.value)
    assert "SPARK_REMOTE" not in str(caught.value)

    monkeypatch.setenv("SPARK_REMOTE", url)
    with Lake(remote) as lake, pytest.raises(EndpointDown, match="SPARK_REMOTE") as caught:
        _ = lake.endpoint
    assert "endpoint.remote" not in str(caught.value)


def test_what_is_no_spark_connect_url_is_refused() -> None:
    with pytest.raises(EndpointDown, match="Expected sc://host:port"):
        attach("http://127.0.0.1:80", "SPARK_REMOTE")


@pytest.mark.parametrize("engine", ENGINES)
def test_an_endpoint_killed_in_the_middle_is_named_within_seconds(settings: Settings, tmp_path: Path, engine: str) -> None:
    endpoint = started(settings, tmp_path, engine)
    assert endpoint.process is not None
    session = connect(endpoint.url)
    server = psutil.Process(endpoint.process.pid)
    idle = sum(server.cpu_times()[:2])
    long = session.sql("SELECT sum((a.id * b.id) % 7) FROM range(2000000) a CROSS JOIN range(2000000) b")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(long.collect)
        wait_for(lambda: sum(server.cpu_times()[:2]) > idle + 2)
        assert not asked.done()  # it is in the middle of the query
        endpoint.process.kill()
        endpoint.process.wait()
        begun = time.monotonic()
        error = asked.exception(timeout=60)
    assert error is not None
    assert isinstance(explain(error), EndpointDown), error
    session.stop()
    assert time.monotonic() - begun < 20

    assert bool(list(tmp_path.glob("server-*/artifacts-*"))) == (engine == "spark")
    endpoint.stop()
    assert not list(tmp_path.glob("server-*"))


@pytest.mark.parametrize("engine", ["sail", pytest.param("spark", marks=pytest.mark.soak)])
def test_a_port_that_somebody_else_took_first_is_left_to_them(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    choose = endpoint_module._free_port
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        ports = iter([taken])
        monkeypatch.setattr(endpoint_module, "_free_port", lambda: next(ports, None) or choose())
        endpoint = started(settings, tmp_path, engine)
        try:
            assert endpoint.url != f"sc://127.0.0.1:{taken}"
            session = connect(endpoint.url)
            assert session.sql("SELECT 41 + 1 AS n").collect()[0].n == 42
            session.stop()
        finally:
            endpoint.stop()


def test_the_memory_of_the_settings_is_what_sail_keeps_to(settings: Settings, tmp_path: Path) -> None:
    joined = "SELECT count(*) AS n FROM range(2000000) a JOIN range(2000000) b ON a.id = b.id"
    for memory_gb, enough in ((0.02, False), (1.0, True)):
        small = settings.model_copy(update={"endpoint": settings.endpoint.model_copy(update={"memory_gb": memory_gb})})
        endpoint = start(small, tmp_path)
        session = connect(endpoint.url)
        try:
            if enough:
                assert session.sql(joined).collect()[0].n == 2_000_000
            else:
                with pytest.raises(Exception, match=".") as caught:
                    session.sql(joined).collect()
                assert "endpoint.memory_gb" in str(explain(caught.value))
        finally:
            session.stop()
            endpoint.stop()


def test_an_endpoint_that_does_not_come_up_shows_the_end_of_its_log(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAIL_RUNTIME__MEMORY_POOL__TYPE", "none such")
    broken = settings.model_copy(update={"endpoint": settings.endpoint.model_copy(update={"start_timeout_s": 5.0})})
    from lakehouse.engine import commands

    def wrong(chosen: Settings, port: int, scratch: Path) -> commands.Command:
        return commands.Command([sys.executable, "-c", "raise SystemExit('no memory for the engine')"], {})

    monkeypatch.setattr(commands, "sail", wrong)
    with pytest.raises(EndpointDown, match="no memory for the engine"):
        start(broken, tmp_path)


def test_an_endpoint_dies_with_the_process_that_started_it_and_the_next_clears_what_it_left(settings: Settings, tmp_path: Path) -> None:
    starter = subprocess.Popen([sys.executable, "-c", STARTER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    child = psutil.Process(int(starter.stdout.readline()))
    starter.kill()
    starter.wait()
    child.wait(timeout=10)

    (left,) = tmp_path.glob("server-*")
    start(settings, tmp_path).stop()
    assert not left.exists()


@pytest.mark.slow
def test_spark_out_of_memory_in_a_query_says_which_setting_to_raise(settings: Settings, tmp_path: Path) -> None:
    """Its heap is a gigabyte at least."""
    endpoint = started(settings, tmp_path, "spark")
    session = connect(endpoint.url)
    try:
        for query in ("SELECT size(collect_list(repeat(CAST(id AS STRING), 1000))) AS n FROM range(5000000)", "SELECT 1"):
            with pytest.raises(Exception, match=".") as caught:
                session.sql(query).collect()
            assert "endpoint.memory_gb" in str(explain(caught.value)), caught.value
        assert endpoint.process is not None
        assert endpoint.process.wait(timeout=10) != 0
        assert "OutOfMemoryError" in (tmp_path / "endpoint.log").read_text(errors="replace")
    finally:
        session.stop()  # or pyspark asks it, dead as it is, what types are
        endpoint.stop()


def test_running_out_of_memory_says_which_setting_to_raise() -> None:
    found = explain(RuntimeError("Resources exhausted: Failed to allocate additional 1.2 GB"))
    assert isinstance(found, StateError)
    assert "endpoint.memory_gb" in str(found)


def test_its_log_does_not_grow_without_end(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "endpoint.log").write_bytes(b"x" * (endpoint_module.LOG_BYTES + 1))
    found = start(settings, tmp_path)
    try:
        assert (tmp_path / "endpoint.log").stat().st_size < endpoint_module.LOG_BYTES
        assert (tmp_path / "endpoint.log.1").stat().st_size > endpoint_module.LOG_BYTES
    finally:
        found.stop()
