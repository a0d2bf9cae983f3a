"""Whether somebody on this host has a file open to write to."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path


def is_being_written(file: Path) -> bool:
    """Whether any process has the file open to write to. Where that can't be told (not on Linux, of another user's file or one that may not be read, on a
    share whose writer is elsewhere), no.

    Linux gives out a lease for reading only on a file that nobody has open to write to, see fcntl(2), F_SETLEASE.
    """
    if not sys.platform.startswith("linux"):
        return False
    import fcntl

    try:
        opened = os.open(file, os.O_RDONLY)
    except OSError:  # whoever reads it says so
        return False
    try:
        # Whoever opens the file to write while the lease is held is told by a signal, of which the one that is chosen by itself would end this process.
        fcntl.fcntl(opened, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    finally:
        os.close(opened)
    return False
