"""The environment that a stage's process runs in: where its lake and its endpoint are, and the settings of the run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import yaml

from jobs.processes import MARK, ROOT
from lakehouse.settings import PREFIX, Settings, load

Leaf = str | int | float | bool | None


def of_stage(settings: Settings, remote: str, result: Path, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What is set beside the caller's environment for one stage, whose declared result goes to `result`."""
    outer = dict(os.environ if environ is None else environ)
    return {
        f"{PREFIX}HOME": str(settings.home),
        f"{PREFIX}PROFILE": settings.profile,
        MARK: str(result),
        "SPARK_REMOTE": remote,
        **differences(settings, outer),
    }


def of_process(own: Mapping[str, str], private: Path, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The whole environment of a stage's process; what it writes besides its lake goes to `private`,
    which nobody else may read."""
    outer = dict(os.environ if environ is None else environ)
    path = os.pathsep.join(filter(None, (str(ROOT), outer.get("PYTHONPATH"))))
    return {
        **outer,
        "PYTHONPATH": path,
        # Jupyter puts a kernel's connection file and sockets into the temporary folder, which others may read.
        "TMPDIR": str(private),
        "JUPYTER_RUNTIME_DIR": str(private),
        "IPYTHONDIR": str(private / "ipython"),
        "PYTHONUNBUFFERED": "1",
        # Threads that wait for each other by spinning take the cores from those that they wait for.
        "OMP_WAIT_POLICY": "PASSIVE",
        **own,
    }


def differences(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that make another process arrive at these settings, where conf/ and `environ` alone would not."""
    plain = _leaves(load(settings.home, settings.profile, environ=environ).model_dump(mode="json"))
    wanted = _leaves(settings.model_dump(mode="json"))
    return {
        PREFIX + name.upper(): value if isinstance(value, str) and name.endswith("secret") else _text(value)
        for name, value in wanted.items()
        if value != plain.get(name) and name not in ("home", "profile")
    }


def _leaves(tree: Mapping[str, object], prefix: str = "") -> dict[str, Leaf]:
    found: dict[str, Leaf] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= _leaves(value, f"{prefix}{key}__")
        else:
            assert value is None or isinstance(value, Leaf)
            found[f"{prefix}{key}"] = value
    return found


def _text(value: Leaf) -> str:
    """The value as the settings read it back, from YAML."""
    return yaml.safe_dump(value, default_flow_style=True, width=100_000).removesuffix("\n...\n").removesuffix("\n")
