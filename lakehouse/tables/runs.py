"""The run record: what a run was told, from which versions it began, which stages are done and what they wrote."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, Row, func, insert, select, update

from lakehouse.errors import StateError
from lakehouse.tables import snapshots
from lakehouse.tables.catalog import BRONZE
from lakehouse.tables.moments import Every
from lakehouse.tables.ops import made_anew, now, runs, stages
from lakehouse.tables.ops import snapshots as snapshots_table
from lakehouse.tables.snapshots import Snapshot


@dataclass(frozen=True)
class Terms:
    """What must be the same for an unfinished run to be resumed."""

    as_of: datetime
    moment: datetime
    every: str
    back_test: bool
    bronze: dict[str, int]
    engine: str
    code: str
    settings: str

    def resumes(self, row: Row[tuple[object, ...]], by_name: bool, new_lines: bool, has_published: bool) -> bool:
        """Whether the open run goes on under these terms. `by_name`: no day was asked for, so the run's own is meant.
        `new_lines`: what has landed is to be read.

        Lines that land count from the moment published last, so a run that has not published its moment yet must not go on without them.
        """
        same = (self.code, self.settings) == (row.code, row.settings)
        same_lines = self.bronze.get(BRONZE) == row.bronze.get(BRONZE)
        if by_name:
            return same and (same_lines or (has_published and not new_lines))
        return same and same_lines and self.as_of == row.as_of


@dataclass(frozen=True)
class Run:
    """One run. `base` is what was published when it began; `bronze` and `restored` are versions resolved at its start."""

    id: str
    as_of: datetime
    moment: datetime
    every: Every
    back_test: bool
    base: Snapshot | None
    bronze_versions: dict[str, int]
    restored: dict[str, int]
    lease: str

    @property
    def bronze(self) -> int:
        """The version of bronze.sales that this run reads."""
        return self.bronze_versions[BRONZE]


@dataclass(frozen=True)
class StageRun:
    """One stage of a run. `versions` lists, for each table, the versions that it wrote."""

    run: str
    name: str
    state: str
    versions: dict[str, list[int]]
    result: dict[str, object]
    error: str | None
    notebook: str | None
    started_at: datetime
    ended_at: datetime | None


def unfinished(engine: Engine, terms: Terms, by_name: bool = False, new_lines: bool = False) -> str | None:
    """The newest run's id if it is open and goes on under `terms`; `by_name`: also where it was told another day; `new_lines`:
    not where lines have landed since it began."""
    with engine.connect() as connection:
        same_kind = runs.c.back_test.is_(terms.back_test)
        row = connection.execute(select(runs).where(same_kind).order_by(runs.c.number.desc()).limit(1)).first()
    if row is None or row.state != "open":
        return None
    published = snapshots.newest(engine)
    has_published = published is not None and published.run == row.id
    return str(row.id) if terms.resumes(row, by_name, new_lines, has_published) else None


def begin(engine: Engine, terms: Terms, lease: str, from_bronze: bool = False) -> Run:
    """A new run's record; one `from_bronze` begins from nothing that is published.

    Open runs of its kind before it are abandoned: a back-test leaves an unfinished run as it is, and the other way round.
    """
    name = f"{terms.as_of:%Y%m%d}-{uuid.uuid4().hex[:8]}"
    published = snapshots.newest(engine)
    with engine.begin() as connection:
        connection.execute(
            update(runs).where((runs.c.state == "open") & runs.c.back_test.is_(terms.back_test)).values(state="abandoned", ended_at=now())
        )
        connection.execute(
            insert(runs).values(
                id=name,
                as_of=terms.as_of,
                moment=terms.moment,
                every=terms.every,
                back_test=terms.back_test,
                state="open",
                base=None if published is None or from_bronze else published.id,
                restored={},
                bronze=terms.bronze,
                engine=terms.engine,
                code=terms.code,
                settings=terms.settings,
                lease=lease,
                started_at=now(),
            )
        )
    return get(engine, name)


def take_over(engine: Engine, run: str, lease: str) -> Run:
    """Puts a run under the lease of whoever goes on with it; a kernel left over from before can't commit any more."""
    with engine.begin() as connection:
        connection.execute(update(runs).where(runs.c.id == run).values(lease=lease))
    return get(engine, run)


def set_restored(engine: Engine, run: str, versions: Mapping[str, int]) -> None:
    with engine.begin() as connection:
        connection.execute(update(runs).where(runs.c.id == run).values(restored=dict(versions)))


def get(engine: Engine, run: str) -> Run:
    """The run of that id. Raises `StateError` where there is none."""
    with engine.connect() as connection:
        row = connection.execute(select(runs).where(runs.c.id == run)).first()
    if row is None:
        raise StateError(f'there is no run "{run}" in this lake. See: zeromargin status')
    base = None if row.base is None else snapshots.by_id(engine, row.base)
    return Run(row.id, row.as_of, row.moment, row.every, row.back_test, base, row.bronze, row.restored, row.lease)


def broken_off(engine: Engine) -> Run | None:
    """The run that was broken off and may be gone on with; a back-test, which writes no table, is none."""
    with engine.connect() as connection:
        found = connection.execute(select(runs.c.id).where((runs.c.state == "open") & ~runs.c.back_test)).scalar()
    return None if found is None else get(engine, found)


def end(engine: Engine, run: str, state: str = "done") -> None:
    with engine.begin() as connection:
        connection.execute(update(runs).where(runs.c.id == run).values(state=state, ended_at=now()))


def start_stage(engine: Engine, run: str, name: str) -> None:
    """Records that a stage begins. Of an earlier attempt only the versions that it wrote are kept: one of them may have been published.

    It is told to begin after those before it, also where the clock was set back meanwhile: their order is what is read from these times.
    """
    same = (stages.c.run == run) & (stages.c.name == name)
    with engine.begin() as connection:
        last = connection.execute(select(func.max(stages.c.started_at)).where(stages.c.run == run)).scalar()
        begins = now() if last is None else max(now(), last + timedelta(microseconds=1))
        before = connection.execute(select(stages.c.versions, stages.c.earlier).where(same)).first()
        earlier = [] if before is None else [*before.earlier, before.versions]
        connection.execute(stages.delete().where(same))
        connection.execute(
            insert(stages).values(run=run, name=name, state="started", versions={}, earlier=earlier, result={}, started_at=begins)
        )


def finish_stage(engine: Engine, run: str, name: str, versions: Mapping[str, list[int]], result: Mapping[str, object]) -> None:
    same = (stages.c.run == run) & (stages.c.name == name)
    with engine.begin() as connection:
        values = {"state": "done", "versions": dict(versions), "result": dict(result), "ended_at": now(), "error": None}
        connection.execute(update(stages).where(same).values(**values))


def fail_stage(engine: Engine, run: str, name: str, error: str, notebook: str | None = None) -> None:
    same = (stages.c.run == run) & (stages.c.name == name)
    with engine.begin() as connection:
        connection.execute(update(stages).where(same).values(state="failed", error=error, notebook=notebook, ended_at=now()))


def set_notebook(engine: Engine, run: str, name: str, notebook: str) -> None:
    same = (stages.c.run == run) & (stages.c.name == name)
    with engine.begin() as connection:
        connection.execute(update(stages).where(same).values(notebook=notebook))


def stage_runs(engine: Engine, run: str) -> list[StageRun]:
    """The stages of a run so far, in the order in which they began."""
    with engine.connect() as connection:
        rows = connection.execute(select(stages).where(stages.c.run == run).order_by(stages.c.started_at)).all()
    return [_stage_run(row) for row in rows]


def declared(engine: Engine, name: str) -> list[StageRun]:
    """The stages of a name that ended well, of all runs, in the order in which they ended."""
    with engine.connect() as connection:
        rows = connection.execute(select(stages).where(stages.c.name == name, stages.c.state == "done").order_by(stages.c.ended_at)).all()
    return [_stage_run(row) for row in rows]


def last_recorded(engine: Engine, until: datetime = datetime.max) -> datetime | None:
    """The last time by `until` (wall clock, UTC; left out, of all) at which a run was begun or anything was published; none where there is none."""
    with engine.connect() as connection:
        times = [
            connection.execute(select(func.max(column)).where(column <= until)).scalar()
            for column in (runs.c.started_at, snapshots_table.c.published_at)
        ]
    return max((time for time in times if time is not None), default=None)


def writers(engine: Engine) -> dict[tuple[str, int], tuple[str, str]]:
    """Who wrote a version: (table, version) → (run, stage). MERGE can't carry a stamp, so this is kept here. What was written before a table was made
    anew is left out."""
    with engine.connect() as connection:
        query = select(runs.c.number, stages.c.run, stages.c.name, stages.c.versions, stages.c.earlier).join(
            runs, runs.c.id == stages.c.run
        )
        rows = connection.execute(query.order_by(runs.c.number)).all()
        given_up: dict[str, int] = {row.name: row.run for row in connection.execute(select(made_anew))}
    return {
        (table, version): (row.run, row.name)
        for row in rows
        for attempt in (*row.earlier, row.versions)
        for table, versions in attempt.items()
        if row.number > given_up.get(table, 0)
        for version in versions
    }


@dataclass(frozen=True)
class RunSummary:
    """A run as people see it in a list."""

    id: str
    as_of: datetime
    moment: datetime
    state: str
    engine: str
    started_at: datetime
    ended_at: datetime | None


def newest(engine: Engine, limit: int = 1) -> list[RunSummary]:
    """The newest runs, the newest first."""
    with engine.connect() as connection:
        rows = connection.execute(select(runs).order_by(runs.c.number.desc()).limit(limit)).all()
    return [RunSummary(r.id, r.as_of, r.moment, r.state, r.engine, r.started_at, r.ended_at) for r in rows]


def _stage_run(row: Row[tuple[object, ...]]) -> StageRun:
    return StageRun(row.run, row.name, row.state, row.versions, row.result, row.error, row.notebook, row.started_at, row.ended_at)
