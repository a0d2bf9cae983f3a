"""Serving as an environment of its own: what serving.lock names and nothing more, and it answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import SECRET, skip_or_fail
from tests.served import published
from tests.servers import free_port
from tests.trained import Trained

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("lakehouse", "jobs", "serving", "feature_repo", "conf")
ABSENT = ("pyspark", "great_expectations", "papermill", "pysail", "deltalake")
PATIENCE_S = 120


def uv(*words: str | Path) -> None:
    """One command of the uv that the environment under test came with, which finds packages as it does for everybody here."""
    command = Path(sys.executable).with_name("uv")
    if not command.exists():
        skip_or_fail(f"{command} is not there (make install)")
    done = subprocess.run([command, *words], capture_output=True, text=True, check=False, timeout=540)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with serving.lock and the project in it."""
    place = tmp_path_factory.mktemp("installed")
    # A copy, since building writes beside the source.
    source = place / "source"
    source.mkdir()
    shutil.copy(ROOT / "pyproject.toml", source)
    for part in PARTS:
        shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
    found = place / "environment" / "bin" / "python"
    uv("venv", "--quiet", "--python", sys.executable, place / "environment")
    uv("pip", "sync", "--quiet", "--python", found, "--require-hashes", ROOT / "serving.lock")
    uv("pip", "install", "--quiet", "--python", found, "--no-deps", "--build-constraint", ROOT / "requirements.lock", "--editable", source)
    return found


@contextmanager
def served(python: Path, home: Path, port: int) -> Iterator[str]:
    """The service on a home, nothing of this checkout in its reach."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(home.parent), "ZEROMARGIN_HOME": str(home), "ZEROMARGIN_PROFILE": "test"}
    environ |= {"ZEROMARGIN_VAULT__KEYS": "derived", "ZEROMARGIN_VAULT__SECRET": SECRET}
    log = home.with_name("serve.log")
    with log.open("wb") as sink:
        process = subprocess.Popen([python, "-m", "serving", "--port", str(port)], cwd=home.parent, env=environ, stdout=sink, stderr=sink)
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE_S
        while not answers(f"{url}/readyz"):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
        yield url
    finally:
        process.terminate()
        assert process.wait(30) == 0


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def ask(url: str, body: dict[str, object]) -> dict[str, object]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        found: dict[str, object] = json.load(reply)
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("package", ABSENT)
def test_what_makes_tables_is_not_installed_beside_serving(python: Path, package: str) -> None:
    told = subprocess.run(
        [python, "-c", f"import importlib.util; print(importlib.util.find_spec({package!r}))"],
        cwd=python.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "None"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_serving_alone_answers_from_a_home_that_the_whole_made(python: Path, trained: Trained, tmp_path: Path) -> None:
    settings = trained.copy(tmp_path / "home")
    products = sorted({str(row["product_code"]) for row in published(settings, "forecasts")})
    key = str(published(settings, "segments")[0]["customer_key"])
    port = free_port()
    with served(python, settings.home, port) as url:
        forecast = ask(f"{url}/v1/forecast", {"product": products[0]})
        others = [ask(f"{url}{path}", {"customer_key": key}) for path in ("/v1/segment", "/v1/recommend")]
    assert forecast["fallback"] is None
    assert [other["fallback"] for other in others] == [None, None]
