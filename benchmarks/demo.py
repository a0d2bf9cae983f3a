"""`make demo` as a new user runs it: from a clean clone, with a fresh HOME and no environment, and then once more.

    python benchmarks/demo.py [--json PATH]

The first time makes the environment too. The bounds are for 2 cores. What pip and uv have downloaded before on this
machine is not fetched again unless their caches, which follow HOME, say so: both lie in the fresh HOME, so everything is fetched.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from processes import ROOT
from report import Figure, arguments, parser, tell


def main() -> int:
    options = arguments(parser(__doc__))
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        place, home = Path(folder) / "main", Path(folder) / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(place)], check=True)
        environ = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")} | {"HOME": str(home)}
        for name in ("first", "second"):
            began = time.monotonic()
            done = subprocess.run(
                ["make", "demo"], cwd=place, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )
            seconds[name] = round(time.monotonic() - began, 1)
            if done.returncode:
                raise SystemExit(f"the {name} demo failed:\n{done.stdout[-3000:]}")
    figures = [
        Figure("make demo from a clean clone, the environment included", seconds["first"], "s", 300),
        Figure("make demo once more", seconds["second"], "s", 180),
    ]
    return tell("demo", options, figures, {f"{name}_s": taken for name, taken in seconds.items()})


if __name__ == "__main__":
    sys.exit(main())
