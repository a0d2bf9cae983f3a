"""One notebook in a process and a kernel of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import nbformat
import psutil
import pytest

from jobs import kept, processes, stage_log
from jobs.attempt import Place, attempt
from jobs.nursery import Nursery
from jobs.outcome import Failure
from lakehouse import settings
from lakehouse.errors import InputError, UnknownName
from lakehouse.settings import Settings
from tests.pages import FINISH, page
from tests.waiting import wait_for

REMOTE = "sc://127.0.0.1:1"
GIVEN = {"run": "r1", "as_of": "2011-12-10"}


def in_kernel(home: Path, deadline_s: float = 120) -> Settings:
    return settings.load(home, "test", {"runner": {"in_process": False, "deadline_s": deadline_s}}, environ={})


def tried(notebook: Path, place: Place, settings: Settings, given: Mapping[str, object] = GIVEN) -> dict[str, object] | Failure:
    """The notebook as the runner tries it: in a kernel, where the settings say so."""
    if settings.runner.in_process:
        return attempt(notebook, given, place, settings, REMOTE)
    with Nursery(place.folder) as nursery:
        return attempt(notebook, given, place, settings, REMOTE, nursery)


@pytest.fixture
def place(home: Path) -> Place:
    return Place(home / "runs" / "r1", "stage")


def test_the_declared_result_is_read_and_the_executed_copy_is_kept(home: Path, place: Place) -> None:
    notebook = page(home / "stage.ipynb", FINISH)
    groups: list[int] = []

    with Nursery(place.folder, started=groups.append) as nursery:
        found = attempt(notebook, GIVEN, place, in_kernel(home), REMOTE, nursery)

    assert found == {"run": "r1", "as_of": "2011-12-10", "remote": REMOTE}
    assert any("injected-parameters" in cell.metadata.get("tags", []) for cell in nbformat.read(place.notebook, as_version=4).cells)
    assert len(groups) == 2
    assert not any(map(psutil.pid_exists, groups))
    assert not nursery.private.exists()


def test_a_kernel_talks_over_sockets_that_only_its_owner_can_reach_however_long_the_path_of_the_temporary_folder(
    home: Path, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "t".ljust(94 - len(str(tmp_path)), "t")
    temporary.mkdir()
    assert len(str(temporary)) >= 95
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    look = (
        "import json, os, pathlib, stat\n"
        "from ipykernel.kernelapp import IPKernelApp\n"
        "app = IPKernelApp.instance()\n"
        "folders = [pathlib.Path(app.abs_connection_file).parent, pathlib.Path(app.ip).parent]\n"
        "modes = [stat.S_IMODE(folder.stat().st_mode) & 0o077 for folder in folders]\n"
        "found = {'transport': app.transport, 'others_may': modes}\n"
        "pathlib.Path(os.environ['ZEROMARGIN_RESULT']).write_text(json.dumps(found))"
    )

    found = tried(page(home / "stage.ipynb", look), place, in_kernel(home))

    assert found == {"transport": "ipc", "others_may": [0, 0]}


def test_a_notebook_that_hangs_is_ended_with_its_kernel_and_what_it_started(home: Path, place: Place) -> None:
    pids = home / "pids"
    hang = (
        "import os, pathlib, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        "bare = subprocess.Popen(['/bin/sleep', '600'], start_new_session=True, env={})\n"
        f"pathlib.Path({str(pids)!r}).write_text(f'{{os.getpid()}} {{child.pid}} {{bare.pid}}')\n"
        "child.wait()"
    )
    began = time.monotonic()

    found = tried(page(home / "stage.ipynb", hang), place, in_kernel(home, deadline_s=8))

    assert isinstance(found, Failure)
    assert "deadline of 8 s" in found.message and not found.try_again
    assert time.monotonic() - began < 14
    assert [pid for pid in map(int, pids.read_text().split()) if psutil.pid_exists(pid)] == []


def test_what_a_notebook_started_ends_with_it(home: Path, place: Place) -> None:
    leave = (
        "import subprocess, sys, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        f"pathlib.Path({str(home / 'pid')!r}).write_text(str(child.pid))"
    )

    found = tried(page(home / "stage.ipynb", leave, FINISH), place, in_kernel(home))

    assert found == {"run": "r1", "as_of": "2011-12-10", "remote": REMOTE}
    assert not psutil.pid_exists(int((home / "pid").read_text()))


@pytest.mark.parametrize("in_process", [True, False])
def test_a_hundred_megabytes_of_output_are_cut_and_the_stage_is_done(home: Path, place: Place, in_process: bool) -> None:
    shout = "import sys\nfor number in range(1000):\n    print('x' * 99_999)\nprint('the last line')\nprint('quiet', file=sys.stderr)\n'y' * 3_000_000"
    chosen = settings.load(home, "test", {"runner": {"in_process": in_process}}, environ={})

    found = tried(page(home / "stage.ipynb", shout, FINISH), place, chosen)

    assert found == {"run": "r1", "as_of": "2011-12-10", "remote": REMOTE}
    assert place.notebook.stat().st_size < 2.2 * kept.KEPT
    (cell,) = [cell for cell in nbformat.read(place.notebook, as_version=4).cells if "99_999" in cell.source]
    assert cell.outputs[0].text.startswith("xxx") and len(cell.outputs[0].text) == kept.KEPT - kept.END
    assert re.search(r"… 10\d,\d{3},\d{3} characters of what this cell gave are not kept …\n", cell.outputs[-1].text)
    assert not place.log.exists() or place.log.stat().st_size < 10_000


def test_what_programs_print_and_many_displays_are_cut_too(home: Path, place: Place) -> None:
    shout = (
        "import os\nfrom IPython.display import display\n"
        "os.system('echo FIRST; head -c 5000000 /dev/zero | tr \"\\\\0\" x | fold -w 1000; echo LAST')\n"
        "for number in range(9):\n    display(str(number) * 900_000)"
    )
    found = tried(page(home / "stage.ipynb", shout, FINISH), place, in_kernel(home))

    assert isinstance(found, dict)
    assert place.notebook.stat().st_size < 1.1 * kept.KEPT
    log = place.log.read_text(encoding="utf-8")
    assert len(log) < stage_log.BEGINNING + 2 * stage_log.END + 100
    assert "FIRST" in log and "LAST" in log and " bytes of this log are not kept …\n" in log


@pytest.mark.parametrize("in_process", [True, False])
def test_an_error_of_five_megabytes_is_cut(home: Path, place: Place, in_process: bool) -> None:
    chosen = settings.load(home, "test", {"runner": {"in_process": in_process}}, environ={})

    found = tried(page(home / "stage.ipynb", "raise ValueError('z' * 5_000_000)"), place, chosen)

    assert isinstance(found, Failure)
    assert found.error == "ValueError" and len(found.message) < 11_000
    assert place.notebook.stat().st_size < 4 * kept.KEPT


def test_a_kernel_that_is_killed_is_a_failure_that_names_the_cell(home: Path, place: Place) -> None:
    die = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"

    found = tried(page(home / "stage.ipynb", die), place, in_kernel(home))

    assert isinstance(found, Failure)
    assert (found.error, found.line, found.try_again) == ("ProcessKilled", "import os, signal", True)
    assert "the kernel was ended by SIGKILL" in found.message


def test_a_kernel_that_ends_itself_is_not_tried_again(home: Path, place: Place) -> None:
    found = tried(page(home / "stage.ipynb", "import os\nos._exit(3)"), place, in_kernel(home))

    assert isinstance(found, Failure)
    assert (found.error, found.try_again) == ("DeadKernelError", False)


def test_a_process_that_is_killed_with_the_notebook_is_tried_again(home: Path, place: Place) -> None:
    die = "import os, psutil, time\npsutil.Process().parent().kill()\ntime.sleep(600)"

    found = tried(page(home / "stage.ipynb", die), place, in_kernel(home))

    assert isinstance(found, Failure)
    assert (found.error, found.try_again) == ("ProcessKilled", True)
    assert "its process was ended by SIGKILL" in found.message
    assert not [path for path in place.folder.iterdir() if path.is_socket()]


@pytest.mark.parametrize("in_process", [True, False])
def test_a_failure_says_the_error_the_cell_and_whether_to_try_again(home: Path, place: Place, in_process: bool) -> None:
    notebook = page(home / "stage.ipynb", "from lakehouse.errors import CommitLost\nraise CommitLost('somebody was faster')")
    chosen = settings.load(home, "test", {"runner": {"in_process": in_process}}, environ={})

    found = tried(notebook, place, chosen)

    assert isinstance(found, Failure)
    assert (found.error, found.message, found.try_again) == ("CommitLost", "somebody was faster", True)
    assert found.line == "raise CommitLost('somebody was faster')"


def test_a_notebook_without_a_declared_result_has_failed(home: Path, place: Place) -> None:
    found = tried(page(home / "stage.ipynb", "1"), place, settings.load(home, "test", environ={}))

    assert isinstance(found, Failure)
    assert "without declaring a result" in found.message


def test_a_result_left_by_an_earlier_attempt_does_not_count(home: Path, place: Place) -> None:
    place.folder.mkdir(parents=True)
    place.result.write_text(json.dumps({"old": True}))

    assert isinstance(tried(page(home / "stage.ipynb", "1"), place, settings.load(home, "test", environ={})), Failure)


@pytest.mark.parametrize(("given", "error"), [({"rnu": "r1"}, UnknownName), ({"run": 1}, InputError), ({"vault_secret": "x"}, InputError)])
def test_wrong_parameters_are_refused_before_anything_is_started(
    home: Path, place: Place, given: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        tried(page(home / "stage.ipynb", FINISH), place, in_kernel(home), given)

    assert not place.folder.exists()


def test_all_that_runs_for_a_stage_ends_when_the_runner_is_gone(home: Path, place: Place) -> None:
    pid = home / "pid"
    sleep = f"import os, pathlib, time\npathlib.Path({str(pid)!r}).write_text(str(os.getpid()))\ntime.sleep(600)"
    with Nursery(place.folder) as nursery:
        runner = threading.Thread(target=attempt, args=(page(home / "stage.ipynb", sleep), GIVEN, place, in_kernel(home), REMOTE, nursery))
        runner.start()
        wait_for(lambda: pid.exists() and bool(pid.read_text()))
        process = nursery.start()
        assert len(list(processes.marked(home / "runs"))) == 3
        assert process.stdin is not None

        process.stdin.close()  # what the operating system does when the runner is killed

        process.wait(20)
        wait_for(lambda: not list(processes.marked(home / "runs")))
        runner.join()


def test_notebooks_share_what_was_imported_and_nothing_else(home: Path, place: Place) -> None:
    leave = (
        "import os, random, sys, tempfile\nimport numpy as np\n"
        "left = 'left' in globals() or 'LEFT' in os.environ or hasattr(sys, 'left')\n"
        "sys.left, os.environ['LEFT'] = True, 'yes'\n"
        "import json, pathlib\n"
        "found = {'left': left, 'pid': os.getpid(), 'drawn': [random.random(), float(np.random.random())], 'temporary': tempfile.gettempdir()}\n"
        "pathlib.Path(os.environ['ZEROMARGIN_RESULT']).write_text(json.dumps(found))"
    )
    notebook = page(home / "stage.ipynb", leave)

    with Nursery(place.folder) as nursery:
        first, second = (attempt(notebook, GIVEN, place, in_kernel(home), REMOTE, nursery) for _ in range(2))

    assert isinstance(first, dict) and isinstance(second, dict)
    assert (first["left"], second["left"]) == (False, False)
    assert all(first[name] != second[name] for name in ("pid", "drawn", "temporary"))


@pytest.mark.slow
def test_what_stages_are_forked_from_has_one_thread_and_tells_nobody_of_itself(tmp_path: Path) -> None:
    look = (
        "import json, pathlib, sys, threading\n"
        "from jobs import nursery\n"
        "nursery.import_at_once()\n"
        "for _ in nursery.imports(nursery.LATER): pass\n"
        "from mlflow.telemetry import get_telemetry_client\n"
        "tasks = [path.read_text().strip() for path in pathlib.Path('/proc/self/task').glob('*/comm')]\n"
        "others = [name for name in tasks if name != 'jemalloc_bg_thd']  # pyarrow's allocator, which minds forks\n"
        "missing = [name for names in nursery.LATER.values() for name in names if name not in sys.modules]\n"
        "print(json.dumps([threading.active_count(), len(others), get_telemetry_client() is None, missing]))"
    )
    # OpenBLAS minds forks too, and is told to have no threads here, so that those of others are seen.
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(processes.ROOT), "OPENBLAS_NUM_THREADS": "1"}

    done = subprocess.run([sys.executable, "-c", look], env=environ, capture_output=True, text=True, check=True)

    assert json.loads(done.stdout.splitlines()[-1]) == [1, 1, True, []]


def test_what_a_notebook_forks_ends_with_it_in_a_session_of_its_own_too(home: Path, place: Place) -> None:
    fork = (
        "import os, pathlib, time\n"
        "child = os.fork()\n"
        "if child == 0:\n    os.setsid()\n    time.sleep(600)\n    os._exit(0)\n"
        f"pathlib.Path({str(home / 'pid')!r}).write_text(str(child))"
    )
    with Nursery(place.folder) as nursery:
        found = attempt(page(home / "stage.ipynb", fork, FINISH), GIVEN, place, in_kernel(home), REMOTE, nursery)
        pid = int((home / "pid").read_text())
        is_there = psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE

    assert isinstance(found, dict)
    assert not is_there


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux gives the children of a process that ended to one above it")
def test_what_a_notebook_started_ends_with_it_though_nothing_names_its_stage(home: Path, place: Place) -> None:
    leave = (
        "import subprocess, pathlib\n"
        "bare = subprocess.Popen(['/bin/sleep', '600'], start_new_session=True, env={})\n"
        "orphan = subprocess.run(['/bin/sh', '-c', '/bin/sleep 600 >/dev/null & echo $!'], start_new_session=True, env={}, stdout=-1, text=True)\n"
        f"pathlib.Path({str(home / 'pids')!r}).write_text(f'{{bare.pid}} {{orphan.stdout}}')"
    )
    with Nursery(place.folder) as nursery:
        found = attempt(page(home / "stage.ipynb", leave, FINISH), GIVEN, place, in_kernel(home), REMOTE, nursery)
        left = [pid for pid in map(int, (home / "pids").read_text().split()) if psutil.pid_exists(pid)]

    assert isinstance(found, dict)
    assert left == []


def test_where_stages_can_not_be_forked_the_reason_is_said(home: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")

    found = tried(page(home / "stage.ipynb", FINISH), place, in_kernel(home))

    assert isinstance(found, Failure)
    assert "the process that stages are forked from has ended" in found.message
    assert "nursery.log" in found.message and "Python" in found.message


def test_where_its_nursery_is_killed_the_stage_may_be_tried_again_by_another_one(home: Path, place: Place) -> None:
    die = "import os, psutil, time\npsutil.Process().parent().parent().kill()\ntime.sleep(600)"

    with Nursery(place.folder) as nursery:
        failed = attempt(page(home / "stage.ipynb", die), GIVEN, place, in_kernel(home), REMOTE, nursery)
        left = list(processes.marked(home / "runs"))
        found = attempt(page(home / "stage.ipynb", FINISH), GIVEN, place, in_kernel(home), REMOTE, nursery)

    assert isinstance(failed, Failure) and "the process that stages are forked from has ended" in failed.message
    assert failed.try_again
    assert left == []
    assert found == {"run": "r1", "as_of": "2011-12-10", "remote": REMOTE}
