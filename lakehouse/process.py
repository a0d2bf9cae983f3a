"""Which process it is that somebody wrote down: by its number, and by when it was started on a clock that nobody sets.

The wall clock won't do: where it is set, the start of every process is told as another, and who is at work is taken for gone.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import psutil

_STARTED = 19  # the place of the start in /proc/<pid>/stat, counted from the state, see proc(5)
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_IS_LINUX = sys.platform.startswith("linux")


def here() -> str:
    """This system since it was started, as `host/boot`: after that the numbers and clocks of its processes begin anew."""
    boot = _BOOT.read_text().strip()[:8] if _IS_LINUX and _BOOT.exists() else ""
    return f"{socket.gethostname()}/{boot}"


def is_here(place: str) -> bool:
    """Whether that is this host, now or before it was started anew."""
    return "/" in place and host_of(place) == socket.gethostname()


def host_of(place: str) -> str:
    """The host of what `here` said."""
    return place.partition("/")[0]


def born(pid: int) -> float:
    """Seconds from the system's start to the process's. Raises `psutil.NoSuchProcess`."""
    if not _IS_LINUX:
        return psutil.Process(pid).create_time()
    try:
        stat = Path(psutil.PROCFS_PATH, str(pid), "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(pid) from None
    return int(stat.rpartition(")")[2].split()[_STARTED]) / os.sysconf("SC_CLK_TCK")


def is_alive(pid: int, started: float) -> bool:
    """Whether the process that was `born` then is still there, and no other that has its number by now."""
    try:
        return abs(born(pid) - started) < 0.05 and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
