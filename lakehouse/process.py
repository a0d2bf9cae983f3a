"""Which process it is that somebody wrote down: by its number, and by when it was started on a clock that nobody sets.

The wall clock won't do: where it is set, the start of every process is told as another, and who is at work is taken for gone.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from pathlib import Path

import psutil

_STARTED = 19  # the place of the start in /proc/<pid>/stat, counted from the state, see proc(5)
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NUMBERED_BY, _FIRST = Path("/proc/self/ns/pid"), "4026531836"  # that of the system itself, see include/linux/proc_ns.h
_IS_LINUX = sys.platform.startswith("linux")


def here() -> str:
    """Where this process's number means something, as `host/boot`: once the system is started anew, numbers and clocks begin anew. In a container that
    numbers its processes by itself, `host/boot/namespace` (of which Linux says which it is, see pid_namespaces(7))."""
    boot = _BOOT.read_text().strip()[:8] if _IS_LINUX and _BOOT.exists() else ""
    return "/".join((socket.gethostname(), boot, *_namespace()))


def _namespace() -> list[str]:
    try:
        found = re.findall(r"\d+", _NUMBERED_BY.readlink().name) if _IS_LINUX else []
    except OSError:  # not a kernel that says so
        return []
    return [] if found == [_FIRST] else found


def is_here(place: str) -> bool:
    """Whether what goes on there can be told from here: it is this host, now, or before it was started anew. Of the processes of another container on it
    that can't be told, though it may have this one's name."""
    if "/" not in place:
        return False
    host, boot, *namespace = place.split("/")
    ours, this_boot, *our_namespace = here().split("/")
    return host == ours and (boot != this_boot or namespace == our_namespace)


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
