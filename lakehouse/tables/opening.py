"""How a run begins: which day it is told, whether an unfinished one is resumed, and what is put back first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection
from datetime import date, datetime, time, timedelta
from itertools import pairwise

from lakehouse.errors import InputError, StateError
from lakehouse.settings import Settings, conf_file
from lakehouse.tables import delta, rebuilding, revision, runs, snapshots
from lakehouse.tables.catalog import BRONZE
from lakehouse.tables.lake import Lake
from lakehouse.tables.moments import SOLD_BY, floor_moment, parse_day
from lakehouse.tables.runs import Run, Terms

LONELY_DAYS = 35
READS_FILES = "silver"  # the stage that reads what has landed


def begin_or_resume(
    lake: Lake,
    as_of: str | None,
    token: str,
    stages: Collection[str] = (),
    from_bronze: bool = False,
    dropped: Collection[str] = (),
    tell: Callable[[str], object] = lambda _: None,
) -> Run:
    """The run that goes on now, under the lease `token`.

    The newest unfinished run is resumed if as_of, code, settings and the head of bronze.sales are what they were. Where `stages` are asked
    for by name, also without an `as_of` to compare, and with lines that landed after it had published: those are the next run's, unless the
    stage that reads them is among those asked for.
    Anything else begins a new run, which first puts every table that stages write back to the newest snapshot; `from_bronze`: to the beginning, and
    makes them anew, those that were lost too, and those whose history is `dropped`; `tell` is told what is put aside for that. Raises `StateError`
    where nothing has landed yet, or a table was lost. While a rebuild that was broken off is not made good, every run is one.
    """
    if dropped and not from_bronze:
        raise InputError("a table's history is dropped only where all tables are made anew: --from-bronze")
    if from_bronze:
        for said in rebuilding.make_room(lake, dropped):
            tell(said)
    lake.create_tables()
    _check_layouts(lake)
    _check_grid(lake)
    terms = _terms(lake, as_of)
    is_due = rebuilding.is_due(lake)
    if is_due and terms.back_test:
        raise StateError(f"a table was lost, or is new, and has to be made from bronze before anything else: {rebuilding.ANEW}")
    again = runs.unfinished(lake.ops, terms, by_name=bool(stages) and as_of is None, new_lines=READS_FILES in stages)
    if again is not None and not from_bronze and _may_go_on(lake, again, is_due):
        return runs.take_over(lake.ops, again, token)
    from_bronze = from_bronze or is_due
    if from_bronze and terms.back_test:
        raise InputError(f"making everything anew from bronze is for today, not for {terms.as_of:%Y-%m-%d}. Leave --as-of out")
    run = runs.begin(lake.ops, terms, token, from_bronze)
    if not run.back_test:
        runs.set_restored(lake.ops, run.id, _restore(lake, from_bronze))
    return runs.get(lake.ops, run.id)


def _check_layouts(lake: Lake) -> None:
    for name in lake.catalog:
        other = rebuilding.other_layout(lake, name)
        if other is not None:
            raise rebuilding.refuse(name, other)


def _may_go_on(lake: Lake, run: str, from_bronze: bool) -> bool:
    """Whether a run got as far as having put its tables back, knows every table that it reads, makes all anew where that is due, and the versions that
    its finished stages wrote are there still."""
    record = runs.get(lake.ops, run)
    if from_bronze and record.base is not None:
        return False
    if not record.back_test and not record.restored:
        return False
    if record.base is not None and rebuilding.lacking(record.base):
        return False
    wrote = [stage.versions for stage in runs.stage_runs(lake.ops, run) if stage.state == "done"]
    return all(lake.head(name) >= max(versions) for one in wrote for name, versions in one.items() if versions)


def restore_stage(lake: Lake, run: Run, stage: str) -> dict[str, int]:
    """Puts the tables of one stage back to what they were before the run touched them. Returns their versions."""
    before = {name: delta.created_version(table) for name, table in lake.catalog.items() if table.stage == stage}
    if run.base is not None:
        before |= {name: version for name, version in run.base.versions.items() if name in before}
    before |= {name: version for name, version in run.restored.items() if name in before}
    restored = {}
    for name, version in before.items():
        lake.check_lease()
        restored[name] = delta.restore(lake.path(name), version, lake.catalog[name])
    return restored


def newest_day(days: list[date]) -> date | None:
    """The newest of the days that has another one in the 35 days before it; none where there is none such.

    A single line with a mistyped date would otherwise move the whole lake into the future.
    """
    for earlier, later in reversed(list(pairwise(sorted(set(days))))):
        if later - earlier <= timedelta(days=LONELY_DAYS):
            return later
    return None


def resolve_as_of(lake: Lake) -> datetime:
    """The later of the newest snapshot's as_of and the day after what the newest accepted sales line covers."""
    published = snapshots.newest(lake.ops)
    covered = lake.read(BRONZE, version=lake.head(BRONZE)).where("size(reasons) = 0 AND is_product")
    if published is not None:
        covered = covered.where(f"sold_at >= TIMESTAMP'{looked_back_to(published.as_of)} 00:00:00'")
    rows = covered.selectExpr(f"cast({SOLD_BY} AS date) AS day").distinct().toArrow().column("day").to_pylist()
    found = day_told([day for day in rows if day is not None], None if published is None else published.as_of)
    if found is None:
        raise StateError("no sales have landed in this lake yet. Load some first: zeromargin load PATH --source NAME")
    return found


def day_told(days: list[date], published: datetime | None) -> datetime | None:
    """The day that a run is told: the later of the published one and the day after the newest of `days`. None where there is neither.

    On a lake's only day that is the newest one, alone though it is; of several that are all alone, the first.
    """
    newest = newest_day(days)
    if published is None:
        newest = newest or min(days, default=None)
        return None if newest is None else datetime.combine(newest + timedelta(days=1), time())
    return published if newest is None else max(datetime.combine(newest + timedelta(days=1), time()), published)


def looked_back_to(published: datetime) -> date:
    """What keeps a day after the published one from being alone is not older than this; a week's lines carry its first day."""
    return published.date() - timedelta(days=LONELY_DAYS + 7)


def settings_digest(settings: Settings) -> str:
    """SHA-256 over what of the settings can change what a stage computes; no secret is among them. Limits of gates are not: they are
    judged anew, and one that was raised need not have everything computed again."""
    chosen = {
        "settings": settings.model_dump(mode="json", include={"profile": True, "features": {"every"}, "models": True, "vault": {"keys"}}),
        "rows": conf_file("quality.yml", settings.profile).get("rows"),
    }
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()


def _terms(lake: Lake, as_of: str | None) -> Terms:
    when = parse_day(as_of) if as_of else resolve_as_of(lake)
    moment = floor_moment(when, lake.settings.features.every)
    published = snapshots.newest(lake.ops)
    return Terms(
        as_of=when,
        moment=moment,
        every=lake.settings.features.every,
        back_test=published is not None and moment < published.moment,
        bronze={name: lake.head(name) for name, table in lake.catalog.items() if table.stage is None},
        engine=lake.settings.engine,
        code=revision.code_digest(),
        settings=settings_digest(lake.settings),
    )


def _check_grid(lake: Lake) -> None:
    every, published = lake.settings.features.every, snapshots.newest(lake.ops)
    if published is not None and published.every != every:
        raise InputError(
            f"features.every is {every}, but this lake's first snapshot fixed a grid of every {published.every}. "
            f"Set features.every back to {published.every}, or begin a new lake"
        )


def _restore(lake: Lake, from_bronze: bool) -> dict[str, int]:
    """Puts every table that stages write back to the newest snapshot, or, `from_bronze`, those that can be made anew to their beginning. Returns the
    versions that hold that content now."""
    published = snapshots.newest(lake.ops)
    restored = {}
    for name, table in lake.catalog.items():
        if table.stage is None:
            continue
        is_anew = published is None or name not in published.versions or (from_bronze and table.kind == "derived")
        lake.check_lease()
        if is_anew and rebuilding.gap(lake, name):  # what it was at its beginning can't be read any more
            restored[name] = delta.empty(lake.path(name), table)
        else:
            version = delta.created_version(table) if is_anew or published is None else published.versions[name]
            restored[name] = delta.restore(lake.path(name), version, table)
    return restored
