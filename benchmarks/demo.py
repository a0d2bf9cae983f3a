"""`make demo` as a new user runs it: from a clean clone, with a fresh HOME and no environment, and then once more.

    python benchmarks/demo.py

Targets on 2 cores: 300 s the first time, the environment included, and 180 s the second. What pip and uv have downloaded before on this
machine is not fetched again unless their caches, which follow HOME, say so: both lie in the fresh HOME, so everything is fetched.
"""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path

from processes import ROOT

FIRST_S, SECOND_S = 300, 180


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place, home = Path(folder) / "main", Path(folder) / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(place)], check=True)
        environ = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")} | {"HOME": str(home)}
        for name, most in (("first", FIRST_S), ("second", SECOND_S)):
            began = time.monotonic()
            done = subprocess.run(
                ["make", "demo"], cwd=place, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )
            seconds = time.monotonic() - began
            if done.returncode:
                raise SystemExit(f"the {name} demo failed:\n{done.stdout[-3000:]}")
            print(f"{name} time: {seconds:.0f} s (at most {most}): {'met' if seconds <= most else 'missed'}", flush=True)
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.machine()}")


if __name__ == "__main__":
    main()
