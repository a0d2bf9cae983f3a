"""The command `schedule`, and what `status` says of the timetable."""

from __future__ import annotations

import contextlib
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from jobs.cli_session import session

if TYPE_CHECKING:
    from lakehouse.tables import Lake


def schedule(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Do what was missed, and end: for a timetable that somebody else keeps.")] = False,
) -> None:
    """Do what conf/base/schedule.yml says at its times: land new files from the inbox, run, maintain. Missed times are caught up once."""
    from jobs.scheduling import Schedule

    found = Schedule(session(context).settings(), _say)
    if not once:
        found.forever()
    elif not found.once():
        raise typer.Exit(1)


def told(lake: Lake) -> list[dict[str, object]]:
    """Each job of the timetable: when it comes next, and how it went last; and who keeps the timetable, none where nobody does."""
    from jobs import timetable
    from jobs.scheduling import LEASE, SEEN, turns
    from lakehouse.tables import lease, ops

    table, last = timetable.load(lake.settings), turns(lake)
    keeper = lease.holder(lake.ops, LEASE)
    found: list[dict[str, object]] = []
    for name, job in table.jobs.items():
        newest = next((one for one in last.get(name, []) if one.state != SEEN), None)
        found.append(
            {
                "job": name,
                "do": list(job.do),
                "next": table.told(table.next(name, ops.now())),
                "kept_by": keeper,
                "last_due": None if newest is None else table.told(newest.due),
                "last_state": None if newest is None else newest.state,
                "last_message": None if newest is None else newest.message,
            }
        )
    return found


class Inbox(TypedDict):
    folder: str
    is_lost: bool
    waiting: int
    rejected: int


def inbox(lake: Lake) -> Inbox:
    """How many files wait to be picked up, and how many were put aside; `is_lost`: the timetable names a folder that is not there."""
    from jobs import timetable
    from jobs.inbox import put_aside

    table = timetable.load(lake.settings)
    folder = timetable.inbox(lake.settings, table)
    waiting, rejected = put_aside(folder, lake.settings.profile) if folder.is_dir() else (0, 0)
    is_lost = table.inbox is not None and not folder.is_dir()
    return {"folder": str(folder), "is_lost": is_lost, "waiting": waiting, "rejected": rejected}


def _say(text: str) -> None:
    """A line of the schedule's log. The timetable goes on where it can't be written, and a name that is no text in this locale ends nothing."""
    shown = text.encode(sys.stdout.encoding or "utf-8", "backslashreplace").decode(sys.stdout.encoding or "utf-8")
    with contextlib.suppress(OSError):
        print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {shown}", flush=True)
