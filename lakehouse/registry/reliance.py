"""Who relied on a table: the models that were trained on it, or on what was made of it, and the predictions that came of both."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property

from lakehouse.errors import TamperedModel, VaultError
from lakehouse.registry import loading
from lakehouse.registry.audit import PUBLISHED
from lakehouse.registry.gate import APPROVED, REFUSED
from lakehouse.registry.loading import Registered, open_registered
from lakehouse.registry.recipes import NAMES, recipe
from lakehouse.registry.recorded import Recorded, gone
from lakehouse.registry.training_pins import owner
from lakehouse.tables import Lake, lineage, pins, runs, snapshots
from lakehouse.tables.listing import Listing
from lakehouse.tables.snapshots import Snapshot

DIRECTLY, SIGNED, GONE = "directly", "as signed", "not in the registry any more"
_GIVEN_UP = " of a history that was given up"


@dataclass(frozen=True)
class TrainedOn:
    """One registered model version that was trained on this table, `directly` or through tables made of it.

    `table_version`: which version of this table, as the snapshot says that first published what the model read; `is_held`: whether that is the
    version asked about, or one that held the same rows, as before a restore or a compaction. Both are none of a model whose manifest can't be trusted,
    which `found` says; of a history that was given up, when a table was made anew, there is no version, and `through` says so.
    """

    model: str
    version: str
    digest: str
    through: str
    table_version: int | None
    is_held: bool | None
    trained_at: datetime | None
    aliases_now: tuple[str, ...]
    decision: str | None
    found: str


@dataclass(frozen=True)
class Predicted:
    """Predictions that were published with the snapshot, at its moment, and by what this table is in them."""

    table: str
    model: str
    model_version: str
    rows: int
    through: str


def trained_on(lake: Lake, name: str, held: int | None, until: datetime) -> Listing[TrainedOn]:
    """The models that were trained on the table by a moment, at whichever of its versions, and those trained later on the version `held`; those too
    that the registry does not hold any more."""
    asked = _Asked(lake, name, held)
    there = (_use(asked, one) for one in loading.versions(lake.settings))
    not_there = (_use_of_gone(asked, one) for one in gone(lake))
    every = [used for used in (*there, *not_there) if used is not None]
    found = [used for used in every if used.trained_at is None or used.trained_at <= until or used.is_held]
    columns = [field.name for field in fields(TrainedOn) if field.name != "digest"]  # too wide to be looked at
    return Listing(found, "no model had been trained on it by then", columns)


def predicted_from(then: Lake, name: str, models: Iterable[TrainedOn]) -> Listing[Predicted]:
    """What was published at the snapshot's moment and was made of the table, by `models` that were trained on it or of its features."""
    snapshot = then.snapshot()
    assert snapshot is not None
    relying = {(one.model, one.digest): one for one in models}  # a registry that was begun anew gives numbers out again
    found = []
    for model, table in PUBLISHED.items():
        if table not in snapshot.versions or not _may_be_of(table, model, name, relying.values()):
            continue
        rows = then.read(table).where(f"as_of = TIMESTAMP'{snapshot.moment:%Y-%m-%d %H:%M:%S}'").groupBy("version", "digest").count()
        for row in rows.toArrow().to_pylist():
            ways = _ways(table, name, snapshot, relying.get((model, row["digest"])))
            if ways:
                found.append(Predicted(table, model, row["version"], row["count"], ", ".join(ways)))
    return Listing(sorted(found, key=lambda one: (one.table, one.model_version)), "no prediction of that moment was made of it")


class _Asked:
    """A table at the version that an audit asks about, and what the run database says beside it."""

    def __init__(self, lake: Lake, name: str, held: int | None) -> None:
        self.lake, self.name, self.held = lake, name, held
        self.published = snapshots.every(lake.ops, undone_too=True)
        self.pins = pins.every(lake.ops)
        self.recorded = pins.recorded(lake.ops)

    def is_held(self, version: int | None) -> bool:
        """Whether that version is the one asked about, or holds the same rows. Whatever models were trained on has its digest kept."""
        if version is None or self.held is None or version == self.held:
            return version is not None and version == self.held
        known = self.recorded.get((self.name, version))
        return known is not None and known.digest == self._digest

    @cached_property
    def _digest(self) -> str | None:
        if self.held is None:
            return None
        known = self.recorded.get((self.name, self.held))
        return known.digest if known is not None else self.lake.digest(self.name, self.held, full=True).digest

    def given_up(self, tables: Mapping[str, int], snapshot: object) -> set[str]:
        """Of the tables that a model read at the snapshot of that number, those made anew since: what snapshots said of their versions is forgotten, and
        other versions have their numbers."""
        read = next((one for one in self.published if one.id == snapshot), None)
        return set() if read is None else {table for table, version in tables.items() if read.versions.get(table) != version}


def _use(asked: _Asked, one: Registered) -> TrainedOn | None:
    facts = (one.moment, one.aliases, one.decision)
    try:
        manifest = open_registered(asked.lake.settings, one).manifest
    except (TamperedModel, VaultError) as error:
        may_have = one.name not in NAMES or any(lineage.is_made_of(read, asked.name) for read in recipe(one.name).reads)
        said = f"its manifest can't be trusted: {error}"
        return TrainedOn(one.name, one.version, one.digest, "not known", None, None, *facts, said) if may_have else None
    tables = manifest["tables"]
    assert isinstance(tables, dict)
    numbers = {table: version for table, version in tables.items() if isinstance(version, int)}
    found = _through(asked, numbers, asked.given_up(numbers, manifest["snapshot"]))
    return None if found is None else TrainedOn(one.name, one.version, one.digest, *found, *facts, SIGNED)


def _use_of_gone(asked: _Asked, one: Recorded) -> TrainedOn | None:
    """What it was trained on is pinned for it; pins of a history that was given up are gone too."""
    pinned = {pin.table: pin.version for pin in asked.pins if pin.owner == owner(one.model, one.digest)}
    found = _through(asked, pinned, set())
    if found is None:
        return None
    said = f"{GONE}: run {one.run} registered it, as {one.digest[:12]}"
    return TrainedOn(
        one.model,
        one.version,
        one.digest,
        *found,
        runs.get(asked.lake.ops, one.run).moment,
        (),
        APPROVED if one.approved else REFUSED,
        said,
    )


def _through(asked: _Asked, tables: Mapping[str, int], given_up: Collection[str]) -> tuple[str, int | None, bool] | None:
    """Through which of the tables that were read this one was, at which version, and whether that is what is asked about; nothing where it was not."""
    name = asked.name
    read = {table: version for table, version in tables.items() if lineage.is_made_of(table, name)}
    if not read:
        return None
    there = {table: number for table, number in read.items() if table not in given_up}
    made_of = (_made_of(name, table, number, asked.published) for table, number in there.items())
    version = there.get(name) if name in read else next((found for found in made_of if found is not None), None)
    ways = {table: f"{table} version {number}{_GIVEN_UP if table in given_up else ''}" for table, number in read.items()}
    if name in read:
        ways = {name: f"{DIRECTLY}, version {read[name]}{_GIVEN_UP}" if name in given_up else DIRECTLY}
    return ", ".join(ways.values()), version, asked.is_held(version)


def _made_of(name: str, table: str, version: int, published: list[Snapshot]) -> int | None:
    """The version of `name` that the first snapshot with that version of a table made of it has: one run wrote both."""
    return next((one.versions.get(name) for one in published if one.versions.get(table) == version), None)


def _may_be_of(table: str, model: str, name: str, relying: Iterable[TrainedOn]) -> bool:
    return lineage.is_made_of(table, name) or any(one.model == model for one in relying)


def _ways(table: str, name: str, snapshot: Snapshot, model: TrainedOn | None) -> list[str]:
    """By what a table is in predictions: the features that were asked with, and the model that answered."""
    if table == name:
        return ["the table itself"]
    features = [one for one in lineage.MADE_OF[table] if lineage.is_made_of(one, name)]
    by = [] if model is None else [f"model {model.model} {model.version}{_doubt(model)}"]
    return [f"{one} version {snapshot.versions[one]}" for one in features] + by


def _doubt(model: TrainedOn) -> str:
    if model.found == SIGNED:
        return ""
    return f", which is {GONE}" if model.found.startswith(GONE) else ", which is not trusted"
