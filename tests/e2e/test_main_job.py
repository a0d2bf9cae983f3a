"""The whole job as its user runs it: real files, the command line, both engines, and answers over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import shell
from tests.conftest import REAL_DATA, SECRET, skip_or_fail
from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
Body = dict[str, object]


def environ_of(home: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home.parent),
        "ZEROMARGIN_HOME": str(home),
        "ZEROMARGIN_VAULT__KEYS": "derived",
        "ZEROMARGIN_VAULT__SECRET": SECRET,
    }


def zeromargin(home: Path, *words: str, **settings: str) -> str:
    """One command as a user types it, under these settings; what it prints on standard output."""
    environ = environ_of(home) | {f"ZEROMARGIN_{name}": value for name, value in settings.items()}
    done = subprocess.run([*shell.PROGRAM, *words], cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=1500)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def demo(home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """`make demo`, as far as Python is concerned."""
    words = [sys.executable, "-m", "jobs.demo", "--home", str(home)]
    environ = environ_of(home) | more
    return subprocess.run(
        words, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=1500
    )


@contextmanager
def served(home: Path) -> Iterator[str]:
    """The service on a free port, ready, for the length of the block."""
    port = free_port()
    environ = {**os.environ, "ZEROMARGIN_HOME": str(home), "ZEROMARGIN_VAULT__KEYS": "derived", "ZEROMARGIN_VAULT__SECRET": SECRET}
    log = home.parent / "serve.log"
    with log.open("w") as sink:
        process = subprocess.Popen([sys.executable, "-m", "serving", "--port", str(port)], cwd=ROOT, env=environ, stdout=sink, stderr=sink)
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 90
        while ask(url, "/readyz")[0] != 200:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
        yield url
    finally:
        process.terminate()
        assert process.wait(30) == 0


def ask(url: str, path: str, body: Body | None = None) -> tuple[int, Body]:
    """Status and body of one answer; 0 where nobody listens yet."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError:
        return 0, {}


@pytest.fixture(scope="module")
def real_file() -> Path:
    if not REAL_DATA.is_file():
        skip_or_fail(f"the real sales are not at {REAL_DATA}")
    return REAL_DATA


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_real_file_becomes_answers_over_http_by_the_demo_and_by_hand(real_file: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = demo(home, DATA=str(real_file), SOURCE="online-retail-ii")
    assert done.returncode == 0, done.stdout[-4000:]
    assert done.stdout.count('"fallback": null') == 3
    for part in ("/v1/forecast", "/v1/segment", "/v1/recommend", "notebooks", "quality", "models"):
        assert part in done.stdout

    state = json.loads(zeromargin(home, "status", "--json"))
    assert [stage["name"] for stage in state["last_run"]["stages"]][-1] == "predictions"
    assert {model["name"]: model["alias"] for model in state["models"]} == dict.fromkeys(
        ("demand", "segments", "recommendations"), "champion"
    )
    # 15,487 cancelled lines have an earlier sale of that code to that customer at that price; those of postage, fees and the like are no returns.
    (silver,) = home.glob("runs/*/silver.result.json")
    assert json.loads(silver.read_text(encoding="utf-8"))["linked"] == 15_350
    rows = {table["name"]: table["rows"] for table in state["tables"]}
    assert rows["bronze.sales"] == 1_067_371
    assert rows["silver.sales"] + 34_147 + rows["quarantine.sales"] == rows["bronze.sales"]
    with served(home) as url:
        code, forecast = ask(url, "/v1/forecast", {"product": "85123a", "weeks": 4})
        assert (code, forecast["fallback"], forecast["product"]) == (200, None, "85123A")
        assert [set(week) for week in forecast["forecast"]] == [{"week", "mean", "median", "low", "high"}] * 4  # type: ignore[attr-defined]
        code, segment = ask(url, "/v1/segment", {"customer": "17850"})
        assert (code, segment["fallback"]) == (200, None)
        code, recommended = ask(url, "/v1/recommend", {"customer": " 17850.0 ", "k": 5})
        assert (code, recommended["fallback"], len(recommended["items"])) == (200, None, 5)  # type: ignore[arg-type]
        assert ask(url, "/v1/forecast", {"product": "NO SUCH"})[0] == 404
        assert ask(url, "/v1/segment", {"customer": "99999999"})[1]["fallback"] == "unknown customer"
        assert ask(url, "/v1/segment", {"customer": "17850", "more": 1})[0] == 422
    again = json.loads(zeromargin(home, "run", "silver", "--json"))
    assert next(stage["result"]["answers"] for stage in again["stages"] if stage["name"] == "silver") == 3 + 4  # the demo's and these


def test_a_demo_of_files_without_a_source_is_wrong_use_and_says_how(tmp_path: Path) -> None:
    done = demo(tmp_path / "home", DATA=str(tmp_path))
    assert done.returncode == 2
    assert "DATA needs SOURCE" in done.stdout
