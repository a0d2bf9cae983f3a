"""A run's silver and half of its gold on an endpoint that is there already, by a process that is then killed: python -m tests.breaking AS_OF."""

from __future__ import annotations

import os
import signal
import sys

from lakehouse import settings as settings_module
from lakehouse.medallion import gold, silver
from lakehouse.tables import Lake, StageLake, opening
from lakehouse.tables.writer import Writer

AFTER = 2  # commits of gold


def main(as_of: str) -> None:
    lake = Lake(settings_module.load())
    with lake.lease("a run that is killed") as held:
        run = opening.begin_or_resume(lake, as_of, held.token)
        with StageLake(lake.settings, "silver", run.id) as stage:
            silver.build(stage)
            stage.finish()
        with StageLake(lake.settings, "gold", run.id) as stage:
            _dies(stage.writer)
            gold.build(stage)


def _dies(writer: Writer) -> None:
    """Once it has made so many commits, the process is killed."""
    merge = writer.merge

    def merged(*args: object, **kwargs: object) -> int:
        version: int = merge(*args, **kwargs)
        if len(writer.written) == AFTER:
            os.kill(os.getpid(), signal.SIGKILL)
        return version

    writer.merge = merged


if __name__ == "__main__":
    main(sys.argv[1])
