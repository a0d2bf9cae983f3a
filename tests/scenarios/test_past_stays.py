"""Always: what a pin or a kept snapshot names is there as it was, whatever is done to the lake afterwards, and by whichever engine."""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import reduce, singledispatchmethod

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.ingest import load
from lakehouse.quality import corrections
from lakehouse.tables import Lake, StageLake, delta, digests, maintenance, opening, pins, rebuilding, restoring, runs, snapshots
from lakehouse.tables.snapshots import Snapshot
from tests.canonical import written
from tests.featured import opened, refined
from tests.scenarios.test_retention import aged
from tests.shop import STORES, stores
from tests.soak import ALWAYS, ENGINES, times

FIRST_DAY = datetime(2011, 1, 12)
KEEP_NEWEST = 2
NAMES = itertools.count()


@dataclass(frozen=True)
class Land:
    """A file of so many lines, sold up to so many days before the published one, and one with a price of nothing, which silver refuses."""

    lines: int
    back: int


@dataclass(frozen=True)
class Run:
    """A run as of so many days after the published one: of all table stages, of one table alone (a tenth of the time), or of silver, broken off."""

    days: int
    of: str


@dataclass(frozen=True)
class Correct:
    """A refused line is corrected and released."""


@dataclass(frozen=True)
class Restore:
    """Back to one of the kept snapshots."""

    which: int


@dataclass(frozen=True)
class Pin:
    """One of the versions that can be read is pinned."""

    which: int


@dataclass(frozen=True)
class Unpin:
    """One of the pins is taken away."""

    which: int


@dataclass(frozen=True)
class Compact:
    """Every table's small files become larger ones, beside what is published."""


@dataclass(frozen=True)
class Maintain:
    """Maintenance, which really deletes; `years`: after all files and the log have become nine years old."""

    years: bool


@dataclass(frozen=True)
class Lose:
    """One of the tables that are made from bronze is removed by hand, and all are made anew. What is relied on of the others stays."""

    which: int


@dataclass(frozen=True)
class Change:
    """What comes next is done by the other engine."""


Step = Land | Run | Correct | Restore | Pin | Unpin | Compact | Maintain | Lose | Change


def steps(engines: int) -> st.SearchStrategy[list[Step]]:
    which = st.integers(0, 50)
    often = (
        st.builds(Land, lines=st.integers(1, 6), back=st.integers(0, 40)),
        st.builds(Run, days=st.sampled_from([0, 7, 14]), of=st.sampled_from(["all", "all", "one", "broken"])),
        st.builds(Maintain, years=st.booleans()),
    )
    seldom = (
        st.just(Correct()),
        st.builds(Restore, which=which),
        st.builds(Pin, which=which),
        st.builds(Unpin, which=which),
        st.builds(Lose, which=which),
        st.just(Compact()),
        *([st.just(Change())] * (engines - 1)),
    )
    return st.lists(st.one_of(*often, *often, *seldom), min_size=8, max_size=12)


def full_digests(lake: Lake, versions: list[tuple[str, int]]) -> dict[tuple[str, int], tuple[object, ...]]:
    """What makes up `Lake.digest(..., full=True)`, of many versions in one query."""
    parts = []
    for name, version in versions:
        rows = lake.read(name, version=version)
        hashed = rows.select(digests.row_hash(rows.columns).alias("hash"))
        total, mixed = F.sum(F.col("hash").cast("decimal(38,0)")).cast("string"), F.expr("bit_xor(hash)")
        parts.append(hashed.select(F.lit(name), F.lit(version), F.count(F.lit(1)), total, mixed))
    found = reduce(DataFrame.union, parts).collect() if parts else []
    return {(name, version): tuple(facts) for name, version, *facts in found}


@dataclass
class Past:
    """A home, opened once on each engine; and what each version that is relied on held when it was first seen."""

    lakes: list[Lake]
    monkeypatch: pytest.MonkeyPatch
    seen: dict[tuple[str, int], tuple[object, ...]] = field(default_factory=dict)
    days: dict[datetime, int] = field(default_factory=dict)  # the snapshot that holds for each day
    days_then: dict[int, dict[datetime, int]] = field(default_factory=dict)  # the same, when that snapshot was the newest
    told: list[str] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)

    @property
    def lake(self) -> Lake:
        return self.lakes[0]

    def kept(self) -> list[Snapshot]:
        """The newest ones, and that of each day, as it is and as it would be after going back to one of them."""
        newest = list(self.days_then)[-KEEP_NEWEST:]
        numbers = {*newest, *(number for one in newest for number in self.days_then[one].values())}
        return [one for one in snapshots.every(self.lake.ops, undone_too=True) if one.id in numbers]

    def relied_on(self) -> list[tuple[str, int]]:
        published = {pair for snapshot in self.kept() for pair in snapshot.versions.items()}
        return sorted(published | {(one.table, one.version) for one in pins.every(self.lake.ops)})

    def note(self) -> None:
        """What was published since."""
        for one in snapshots.every(self.lake.ops, undone_too=True):
            if one.id not in self.days_then:
                self.days = {**self.days, one.as_of: one.id}
                self.days_then[one.id] = self.days

    def look(self) -> None:
        """Each day is found as it was published, and every version that is relied on holds what it held."""
        found = {day: self.lake.at(day).snapshot() for day in self.days}
        assert {day: one and one.id for day, one in found.items()} == self.days, self.told
        for (name, version), found in full_digests(self.lake, self.relied_on()).items():
            assert self.seen.setdefault((name, version), found) == found, f"{name} version {version}, after {self.told}"

    def take(self, step: Step) -> None:
        self.told.append(repr(step))
        self.do(step)
        self.note()
        self.look()

    @singledispatchmethod
    def do(self, step: Step) -> None:
        raise NotImplementedError(step)

    @do.register
    def _(self, step: Land) -> None:
        number, day = next(NAMES), self.day() - timedelta(days=1)
        sold = [day - timedelta(days=step.back * place // step.lines) for place in range(step.lines)]
        lines = [
            f"{number},{'ABC'[place % 3]},thing,{place + 1},{when:%Y-%m-%d}T10:0{place}:00,2.50,{place % 2},France"
            for place, when in enumerate(sold)
        ]
        refused = f"{number},D,thing,1,{day:%Y-%m-%d}T11:00:00,0.00,1,France"
        load(self.lake, written(self.lake.home.parent, f"{number}.csv", *lines, refused), "canonical")

    @do.register
    def _(self, step: Run) -> None:
        as_of = f"{self.day() + timedelta(days=step.days):%Y-%m-%d}"
        if step.of != "one" or rebuilding.is_due(self.lake):
            refined(self.lake, as_of, until="features" if step.of == "all" else "silver")
            return
        with self.lake.lease("a run") as held:
            run = opening.begin_or_resume(self.lake, as_of, held.token)
            with StageLake(self.lake.settings, "gold", run.id) as stage:
                stage.writer.merge(STORES, stores(stage, **{f"s{len(self.told)}": 1}))
                stage.publish(after=())
                stage.finish()
            runs.end(self.lake.ops, run.id)

    @do.register
    def _(self, step: Correct) -> None:
        waiting = corrections.refused(self.lake) if self.lake.snapshot() else []
        if waiting:
            corrections.correct(self.lake, waiting[0].file, waiting[0].line, {"unit_price": "3.10"}, "Ada", "a test")
            corrections.release(self.lake)
            self.happened["released"] += 1

    @do.register
    def _(self, step: Restore) -> None:
        if found := self.kept():
            target = found[step.which % len(found)].id
            restoring.restore(self.lake, target)
            self.days = self.days_then[target]
            self.happened["restored"] += 1

    @do.register
    def _(self, step: Pin) -> None:
        if found := self.relied_on():
            self.lake.pin(*found[step.which % len(found)], "auditor", "a test")
            self.happened["pinned"] += 1

    @do.register
    def _(self, step: Unpin) -> None:
        if found := pins.every(self.lake.ops):
            one = found[step.which % len(found)]
            pins.remove(self.lake.ops, one.table, one.version, one.owner)
            self.happened["unpinned"] += 1

    @do.register
    def _(self, step: Compact) -> None:
        with self.lake.lease("compaction"):
            for name in self.lake.catalog:
                delta.compact(self.lake.path(name))

    @do.register
    def _(self, step: Maintain) -> None:
        if step.years:
            for name in self.lake.catalog:
                aged(self.lake.path(name))
        done = maintenance.maintain(self.lake)
        self.happened["deleted"] += sum(one.deletes for one in done.tables)
        self.happened["compacted"] += sum(one.compacts for one in done.tables)

    @do.register
    def _(self, step: Lose) -> None:
        if self.lake.snapshot() is None:
            return
        derived = [name for name, table in self.lake.catalog.items() if table.kind == "derived"]
        lost = derived[step.which % len(derived)]
        shutil.rmtree(self.lake.path(lost))
        refined(self.lake, f"{self.day():%Y-%m-%d}", from_bronze=True)
        self.seen = {(name, version): held for (name, version), held in self.seen.items() if name != lost}
        self.happened["lost"] += 1

    @do.register
    def _(self, step: Change) -> None:
        self.lakes.reverse()
        self.monkeypatch.setenv("SPARK_REMOTE", self.lake.endpoint.url)
        self.happened["changed"] += 1

    def day(self) -> datetime:
        published = self.lake.snapshot()
        return FIRST_DAY if published is None else published.as_of


# Of each step once, so that none of them is never met.
EACH = [
    Land(5, 30),
    Run(0, "all"),
    Pin(8),  # gold.products: what of it is sold again is written anew
    Land(4, 20),
    Correct(),
    Run(0, "all"),
    Compact(),
    *[Run(0, "one")] * 4,
    Maintain(years=True),
    Run(7, "broken"),
    Maintain(years=False),
    Restore(0),
    Restore(-1),
    Unpin(0),
    Lose(0),
    Restore(0),
    Run(14, "all"),
    Maintain(years=True),
]


BY_BOTH = [*EACH[:4], Change(), *EACH[4:10], Change(), *EACH[10:14], Change(), *EACH[14:]]


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    """In `make soak` also on Spark, and there by both engines in turn."""
    return str(request.param)


def test_what_pins_and_kept_snapshots_name_holds_what_it_held_after_whatever_is_done(
    lake: Lake, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [lake, request.getfixturevalue("other")] if lake.settings.engine == "spark" else [lake]
    happened: Counter[str] = Counter()
    monkeypatch.setattr(maintenance, "COMPACT_WHOLE_FROM", maintenance.COMPACT_FROM)  # else it would take too many runs

    @settings(ALWAYS, max_examples=times(1, lake.settings.engine))
    @given(drawn=steps(len(both)))
    @example(drawn=EACH if len(both) == 1 else BY_BOTH)
    def always(drawn: list[Step]) -> None:
        name = f"past-{next(NAMES)}"
        few = lake.settings.snapshots.model_copy(update={"keep_newest": KEEP_NEWEST})
        lakes = [opened(one, name).lake for one in both]
        for one in lakes:
            one.settings = one.settings.model_copy(update={"snapshots": few})
        past = Past(lakes, monkeypatch, happened=happened)
        monkeypatch.setenv("SPARK_REMOTE", past.lake.endpoint.url)
        try:
            for step in drawn:
                past.take(step)
        finally:
            for one in lakes:
                one.close()

    always()
    # What was not relied on did go, so that the rest was kept by what relies on it.
    for what in ("deleted", "compacted", "restored", "released", "pinned", "unpinned", "lost", *(["changed"] if len(both) > 1 else [])):
        assert happened[what], (what, happened)
