"""Doing what the timetable says, one job after another, each due time once: the record of what was done is in the run database."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from jobs import keeping
from jobs import timetable as timetables
from jobs.inbox import pick_up
from jobs.picked import Picked, Tally
from jobs.runner import run as run_stages
from jobs.timetable import Job, Timetable
from lakehouse.engine import explain
from lakehouse.errors import DiskFull, InputError, LeaseHeld, NoPermission, StateError, TryAgain, ZeromarginError
from lakehouse.quality import config
from lakehouse.registry.verifying import verify
from lakehouse.settings import Settings, forget_files
from lakehouse.tables import Lake, delta, lease, ops, rebuilding, runs
from lakehouse.tables.catalog import BRONZE
from lakehouse.tables.lease import Lease

LEASE = "schedule"  # one scheduler per lake
BEGUN, WAITING, DONE, FAILED, SEEN = "begun", "waiting", "done", "failed", "first seen"
LOOK_S = 30  # a clock that was set, or a sleep of the host, delays a turn by no more
Say = Callable[[str], None]
_CAN_HELP = (TryAgain, LeaseHeld)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Turn:
    """One due time of a job (UTC) and how it went. `seen`: the job was new, and its times count from then on."""

    job: str
    due: datetime
    state: str
    tries: int
    message: str
    ended_at: datetime | None


def turns(lake: Lake, newest: int = 1) -> dict[str, list[Turn]]:
    """The newest turns of every job that was ever done, the newest first. One that a clock ahead of its time recorded is not among them yet."""
    with lake.ops.connect() as connection:
        rows = connection.execute(select(ops.turns).where(ops.turns.c.due <= ops.now()).order_by(ops.turns.c.due.desc())).all()
    found: dict[str, list[Turn]] = {}
    for row in rows:
        if len(found.setdefault(row.job, [])) < newest:
            found[row.job].append(_as_turn(row))
    return found


def _last(lake: Lake, job: str) -> Turn | None:
    """The newest turn of one job, as `turns` tells it."""
    its = (ops.turns.c.job == job) & (ops.turns.c.due <= ops.now())
    with lake.ops.connect() as connection:
        row = connection.execute(select(ops.turns).where(its).order_by(ops.turns.c.due.desc()).limit(1)).first()
    return None if row is None else _as_turn(row)


def _as_turn(row: Row[tuple[object, ...]]) -> Turn:
    return Turn(row.job, row.due, row.state, row.tries, row.message, row.ended_at)


@dataclass(frozen=True)
class Step:
    """What one step did, in a line, and whether there is nothing that somebody should look at."""

    told: str
    went_well: bool = True


class Schedule:
    """The timetable of one lake, done in this process. `read` gives it, and is asked again at each look."""

    def __init__(self, settings: Settings, say: Say, read: Callable[[Settings], Timetable] = timetables.load) -> None:
        self._settings, self._say, self._read = settings, say, read
        self.timetable: Timetable = read(settings)
        self._wrong = ""

    def once(self) -> bool:
        """Does what was missed, and ends. Whether all of it went well."""
        with Lake(self._settings) as lake, self._only_one(lake) as keeper:
            known, due = turns(lake), {name: self._missed(lake, name) for name in self.timetable.jobs}
            for name in (name for name, when in due.items() if when is None):
                told = "nothing is due" if name in known else "first seen"
                self._say(f"{name}: {told}; next {self.timetable.told(self.timetable.next(name, ops.now()))}")
            went_well = [self._perform(lake, keeper, name, when) for name, when in due.items() if when is not None]
            return all(went_well)

    def forever(self) -> None:
        """Does what was missed, then each job at its times, until interrupted. What is due is asked of the wall clock every `LOOK_S` seconds: one
        wait until the next turn would go by a clock that stands still while the host sleeps, and that nobody sets."""
        said: dict[str, datetime] = {}
        with Lake(self._settings) as lake, self._only_one(lake) as keeper:
            while True:
                said = {name: coming for name, coming in said.items() if name in self.timetable.jobs}
                for name in self.timetable.jobs:
                    self._turn(lake, keeper, name)
                    coming = self.timetable.next(name, ops.now())
                    if said.get(name) != coming:
                        said[name] = coming
                        self._say(f"{name}: next {self.timetable.told(coming)}")
                left = min(((coming - ops.now()).total_seconds() for coming in said.values()), default=LOOK_S)
                time.sleep(min(LOOK_S, max(0.0, left)))
                self._read_anew()

    def _read_anew(self) -> None:
        """Goes by the timetable as it is written now; by the last one that could be read, where this one can't."""
        forget_files()
        try:
            found, wrong = self._read(self._settings), ""
        except (InputError, OSError) as error:
            found, wrong = self.timetable, f"the timetable can't be read anew, and what it said before is kept: {error}"
        if wrong and wrong != self._wrong:
            self._say(wrong)
        if found != self.timetable:
            self._say("the timetable was changed")
        self.timetable, self._wrong = found, wrong

    def _turn(self, lake: Lake, keeper: Lease, name: str) -> None:
        """What is due of a job. What the record can't be asked about is asked again at the next look."""
        try:
            due = self._missed(lake, name)
            if due is not None:
                self._perform(lake, keeper, name, due)
        except (SQLAlchemyError, OSError, DiskFull, NoPermission) as error:
            self._say(f"{name}: the run database does not answer ({type(error).__name__}). Again in {LOOK_S} s")

    def _only_one(self, lake: Lake) -> AbstractContextManager[Lease]:
        return lease.hold(lake.ops, "schedule", self._settings.ops.lease_s, 0, name=LEASE)

    def _missed(self, lake: Lake, name: str) -> datetime | None:
        """The newest time of a job that has come and was not done, or was begun by a keeper that was killed; none where there is none. A new job's
        times count from now on."""
        now, before = ops.now(), _last(lake, name)
        if before is None:
            _claim(lake, name, now.replace(microsecond=0), SEEN)
            return None
        due, found = self.timetable.next(name, before.due), before.due if before.state in (BEGUN, WAITING) else None
        while due <= now:
            found, due = due, self.timetable.next(name, due)
        return found

    def _perform(self, lake: Lake, keeper: Lease, name: str, due: datetime) -> bool:
        """Does one turn, again where that can help. Returns whether it went well. Raises `LeaseHeld` where another keeper, on a host that did not
        sleep, has the timetable by now."""
        keeper.check()
        job = self.timetable.jobs[name]
        if not _claim(lake, name, due, BEGUN):
            return True  # it is done
        self._say(f"{name}: due {self.timetable.told(due)}")
        config.read_anew()
        before = _tries(lake, name, due)
        if before >= job.tries:
            return self._ended(
                lake, name, due, FAILED, f"{before} tries were begun, and each time the process that keeps the timetable was ended"
            )
        tallies = [Tally() for _ in job.do]  # of all tries: what the first has rejected is not there for the next
        try:
            for attempt in self._tries(lake, name, due, job, before, tallies):
                _change(lake, name, due, state=BEGUN)
                with attempt:
                    done = [self._tried(step, tally) for step, tally in zip(job.do, tallies, strict=True)]
        except LeaseHeld as error:  # whoever writes may write for hours: the turn is looked at again, and this was no try
            message = f"{error}{_so_far(tallies)}"
            _change(lake, name, due, state=WAITING, tries=0, message=message)
            self._say(f"{name}: waiting. {message}")
            return False
        except ZeromarginError as error:
            return self._ended(lake, name, due, FAILED, f"{error}{_so_far(tallies)}")
        except Exception as error:  # a defect of ours must not end every later turn; what it says may name a file
            log.exception("job %s failed", name)
            return self._ended(lake, name, due, FAILED, f"{type(error).__name__}: see what the schedule printed{_so_far(tallies)}")
        except BaseException:  # whoever ends the keeper in order has it done by the next one, and it was no try
            _change(lake, name, due, state=WAITING)
            raise
        went_well = all(one.went_well for one in done)
        return self._ended(lake, name, due, DONE if went_well else FAILED, "; ".join(one.told for one in done))

    def _tried(self, step: str, tally: Tally) -> Step:
        """One step. Raises `TryAgain` where the engine or a database is away."""
        try:
            return self._step(step, tally)
        except SQLAlchemyError as error:
            raise TryAgain(f"a database does not answer: {type(error).__name__}") from error
        except ZeromarginError:
            raise
        except Exception as error:
            meant = explain(error)
            if meant is None:
                raise
            raise meant from error

    def _tries(self, lake: Lake, name: str, due: datetime, job: Job, before: int, tallies: Sequence[Tally]) -> Retrying:
        def tell(state: RetryCallState) -> None:
            error, done = state.outcome.exception() if state.outcome else "", before + state.attempt_number
            reason = f"{error}{_so_far(tallies)}"
            _change(lake, name, due, state=WAITING, tries=done, message=reason)
            self._say(f"{name}: {reason}\n{name}: again in {job.wait_s:g} s (try {done + 1} of {job.tries})")

        return Retrying(
            retry=retry_if_exception_type(_CAN_HELP),
            stop=stop_after_attempt(job.tries - before),
            wait=wait_fixed(timedelta(seconds=job.wait_s)),
            before_sleep=tell,
            reraise=True,
        )

    def _ended(self, lake: Lake, name: str, due: datetime, state: str, message: str) -> bool:
        _change(lake, name, due, state=state, message=message, ended_at=ops.now())
        self._say(f"{name}: {state}. {message}")
        return state == DONE

    def _step(self, step: str, tally: Tally) -> Step:
        """One step, on a lake of its own: between two turns no engine is kept. Raises what stopped it."""
        name, *stages = step.split()
        if name == "run":
            return Step(self._run(stages))
        with Lake(self._settings) as lake:
            if name == "load":
                return self._load(lake, tally)
            if name == "maintain":
                done = keeping.maintain(lake, lambda _: None)
                return Step(f"maintained: {sum(one.deletes for one in done.tables):,} files deleted")
            broken = [one for one in verify(lake) if not one.whole]
        if broken:
            raise StateError(
                f"{len(broken)} things are not whole, {broken[0].name} {broken[0].version}: {broken[0].found}. See: zeromargin verify"
            )
        return Step("verified")

    def _load(self, lake: Lake, tally: Tally) -> Step:
        def note(one: Picked) -> None:
            tally.note(one)
            for said in filter(None, (one.rejected or one.waits or one.fresh or one.lacks, one.kept)):
                self._say(f"  {one.file}: {said}")

        tally.look()
        pick_up(lake, timetables.inbox(self._settings, self.timetable), self.timetable, note)
        return Step(tally.told, tally.went_well)

    def _run(self, stages: list[str]) -> str:
        with Lake(self._settings) as lake:
            if not stages and not _has_work(lake):
                return "nothing new to run on"
        report = run_stages(self._settings, stages or None)
        return f"run {report.run} as of {report.as_of:%Y-%m-%d}" + (f" published snapshot {report.snapshot}" if report.published else "")


def _so_far(tallies: Sequence[Tally]) -> str:
    """What came of the inbox before something else stopped a turn."""
    return "".join(f" (of the inbox: {tally.told})" for tally in tallies if not tally.is_empty)


def _has_work(lake: Lake) -> bool:
    """Whether lines have landed since what is published, a run is unfinished, or tables wait to be made anew."""
    published = lake.snapshot()
    if runs.broken_off(lake.ops) is not None:
        return True
    if published is None:
        return delta.exists(lake.path(BRONZE)) and bool(delta.size(lake.path(BRONZE)).files)
    return published.versions[BRONZE] != lake.head(BRONZE) or rebuilding.is_due(lake)


def _claim(lake: Lake, job: str, due: datetime, state: str) -> bool:
    """Takes a turn, also one that a keeper had begun which is gone, for only one keeps the timetable: a try that it was killed in counts. False
    where it has ended."""
    turn = (ops.turns.c.job == job) & (ops.turns.c.due == due)
    try:
        with lake.ops.begin() as connection:
            facts = {"job": job, "due": due, "state": state, "tries": 0, "message": "", "started_at": ops.now()}
            connection.execute(insert(ops.turns).values(**facts))
    except IntegrityError:
        with lake.ops.begin() as connection:
            found = connection.execute(select(ops.turns.c.state, ops.turns.c.tries).where(turn)).one()
            if found.state == BEGUN:
                connection.execute(update(ops.turns).where(turn).values(tries=found.tries + 1))
            return found.state in (BEGUN, WAITING)
    return True


def _tries(lake: Lake, job: str, due: datetime) -> int:
    """How many tries of a turn have ended, or were broken off."""
    with lake.ops.connect() as connection:
        return int(connection.execute(select(ops.turns.c.tries).where((ops.turns.c.job == job) & (ops.turns.c.due == due))).scalar_one())


def _change(lake: Lake, job: str, due: datetime, **values: object) -> None:
    with lake.ops.begin() as connection:
        connection.execute(update(ops.turns).where((ops.turns.c.job == job) & (ops.turns.c.due == due)).values(**values))
