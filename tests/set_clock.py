"""A clock that is set while a lake is at work, its engine included: the system's own, read through a few lines of C before every program.

`python -m tests.set_clock FOLDER` lives one story in three homes, in one of which the clock is only ever right, and prints what came of each.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jobs import processes
from jobs.inbox import pick_up
from jobs.runner import run as run_stages
from jobs.scheduling import DONE, Schedule, turns
from jobs.timetable import Timetable
from lakehouse import settings as settings_module
from lakehouse.engine import start
from lakehouse.ingest import load
from lakehouse.registry.table_audit import audit_table
from lakehouse.settings import Settings
from lakehouse.tables import Lake, catalog, runs

BACK = {"never": timedelta(0), "an hour": timedelta(hours=1), "25 hours": timedelta(hours=25)}
MIDNIGHT = datetime(2027, 3, 2, 0, 20)
JOB = {"at": "0 3 * * *", "do": ("load",), "tries": 1, "wait_s": 0}
NIGHTLY = Timetable.model_validate({"zone": "UTC", "inbox": None, "settle_s": 0, "keep_landed": False, "jobs": {"nightly": JOB}})
TABLES = [
    table.name
    for table in catalog.load().values()
    if table.layer in ("bronze", "silver", "gold", "quarantine", "features") and table.kind != "log"
]
SHIFT = "CLOCK_SHIFT"
SHIM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long *shift;

__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("CLOCK_SHIFT"), O_RDONLY);
    shift = mmap(NULL, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
    close(file);
}

int clock_gettime(clockid_t which, struct timespec *told) {
    int failed = syscall(SYS_clock_gettime, which, told);
    if (!failed && shift && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) told->tv_sec += *shift;
    return failed;
}

int gettimeofday(struct timeval *told, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    told->tv_sec = now.tv_sec;
    told->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *told) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (told) *told = now.tv_sec;
    return now.tv_sec;
}
"""


def missing() -> str:
    """What this machine lacks to have its clock set for a few programs; nothing where it can."""
    if not sys.platform.startswith("linux"):
        return "the clock can be set for a few programs on Linux alone"
    return "" if shutil.which("cc") else "there is no C compiler"


def told(folder: Path) -> dict[str, dict[str, Any]]:
    """What came of each home; the raw files lie in the folder."""
    (folder / "clock.c").write_text(SHIM, encoding="utf-8")
    (folder / "shift").write_bytes(struct.pack("l", 0))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "clock.so", folder / "clock.c"], check=True)
    own = {name: value for name, value in os.environ.items() if name != "SPARK_REMOTE"}
    own |= {SHIFT: str(folder / "shift"), "LD_PRELOAD": str(folder / "clock.so"), "PYTHONPATH": str(processes.ROOT)}
    words = [sys.executable, "-m", "tests.set_clock", str(folder)]
    done = subprocess.run(words, env=own, cwd=processes.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def show(when: datetime) -> None:
    """Sets the clock of every program that reads this one, from now on."""
    ahead = when.replace(tzinfo=UTC).timestamp() - time.time()
    place = Path(os.environ[SHIFT])
    (before,) = struct.unpack("l", place.read_bytes())
    with place.open("r+b") as file:
        file.write(struct.pack("l", round(before + ahead)))


def lived(settings: Settings, files: list[Path], back: timedelta) -> dict[str, object]:
    """A night: files land, runs publish, the timetable has its turns, and again and again the clock is set back."""
    schedule = Schedule(settings, lambda _: None, lambda _: NIGHTLY)
    inbox = settings.home / "inbox" / "canonical"
    inbox.mkdir(parents=True)
    made = []

    show(MIDNIGHT - timedelta(hours=6))
    assert schedule.once()  # a job is seen for the first time
    show(MIDNIGHT)
    with Lake(settings) as lake:
        load(lake, files[0], "canonical")
        made.append(run_stages(settings, ["features"]))
        asked = lake.history("silver.sales")[0].written_at
        answer = lake.version_at("silver.sales", asked)
        show(MIDNIGHT + timedelta(minutes=5) - back)
        load(lake, files[1], "canonical")
    made.append(run_stages(settings, ["silver"]))
    show(MIDNIGHT + timedelta(minutes=10) - 2 * back)  # in the middle of a run
    made.append(run_stages(settings, ["features"]))

    three = MIDNIGHT.replace(hour=3, minute=5)
    for when, file in ((three, files[2]), (three - back, files[3]), (three + timedelta(days=1), None)):
        show(when)
        if file is not None:
            shutil.copy(file, inbox)
        assert schedule.once()
    show(three + timedelta(days=1) - back)
    made.append(run_stages(settings, ["features"]))
    show(three + timedelta(days=1, minutes=5))
    assert schedule.once()
    behind = _waits_for_the_clock(settings, inbox, three + timedelta(days=1, minutes=10))

    with Lake(settings) as lake:
        newest = lake.snapshot()
        assert newest is not None
        audited = audit_table(lake, "bronze.sales", f"{newest.as_of:%Y-%m-%d}")
        return {
            "published": list(dict.fromkeys(snapshot.run for snapshot in lake.snapshots())),
            "made": list(dict.fromkeys(report.run for report in made)),
            "newest runs": [run.id for run in runs.newest(lake.ops, 10)],
            "stages": [[stage.name for stage in runs.stage_runs(lake.ops, run.id)] for run in runs.newest(lake.ops, 10)],
            "digests": {name: lake.digest(name).digest for name in TABLES},
            "at its day": lake.at(newest.as_of).snapshot() == newest,
            "audited": [file.file for file in audited.files],
            "versions": [written.version for written in audited.versions],
            "asked again": lake.version_at("silver.sales", asked) == answer,
            "turns": [(f"{turn.due:%m-%d %H}", turn.message) for turn in turns(lake, 10)["nightly"] if turn.state == DONE],
            "behind": behind,
            "left": sorted(path.name for path in inbox.iterdir()),
        }


def _waits_for_the_clock(settings: Settings, inbox: Path, now: datetime) -> list[object]:
    """What becomes of an hour's sale, with a clock that is ten days behind and with one that is right."""
    header = "invoice,product_code,quantity,sold_at,unit_price"
    (inbox / "new.csv").write_text(f"{header}\nN1,A,1,{now - timedelta(hours=1):%Y-%m-%dT%H:%M:%S},1.00\n", encoding="utf-8")
    show(now - timedelta(days=10))
    with Lake(settings) as lake:
        (behind,) = pick_up(lake, inbox.parent, NIGHTLY)
        show(now)
        return [
            "waits" if "clock shows" in behind.waits else asdict(behind),
            *(asdict(one) for one in pick_up(lake, inbox.parent, NIGHTLY)),
        ]


def main(folder: Path) -> None:
    files = sorted((folder / "raw").glob("*.csv"))
    chosen = {"vault": {"keys": "derived", "secret": "00112233445566778899aabbccddeeff" * 2}}
    homes = {name: settings_module.load(folder / name.replace(" ", "-"), "test", chosen, environ={}) for name in BACK}
    endpoint = start(homes["never"], folder / "endpoint")
    os.environ["SPARK_REMOTE"] = endpoint.url
    try:
        print(json.dumps({name: lived(settings, files, BACK[name]) for name, settings in homes.items()}))
    finally:
        endpoint.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
