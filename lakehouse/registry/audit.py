"""An auditor's questions, asked of a day: what was held and published then, what has changed since, which models answered and from what
they had been made, what they would have said, and whether all that they rely on is still whole.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING

from lakehouse.errors import NothingPublished, TamperedModel, VaultError
from lakehouse.models.interface import Json
from lakehouse.registry import loading, verifying
from lakehouse.registry.loading import Registered, open_registered
from lakehouse.registry.recipes import NAMES, recipe
from lakehouse.registry.verifying import Verified
from lakehouse.tables import Lake, audit, pins, revision
from lakehouse.tables.audit import Change, Checked, Held, LandedFile, Restated
from lakehouse.tables.listing import Listing
from lakehouse.tables.snapshots import Snapshot

if TYPE_CHECKING:
    import pandas as pd

SAMPLE = 50
TOLERANCE = 1e-6
PUBLISHED = {"demand": "predictions.forecasts", "segments": "predictions.segments", "recommendations": "predictions.recommendations"}
ENTITY = {"demand": ("store", "product_code"), "segments": ("customer_key",), "recommendations": ("customer_key",)}


@dataclass(frozen=True)
class Champion:
    """The version of a model that the gate had let through last by a day, and what it was trained on.

    `trained_at` is the moment of its training, `tables` the versions that it read, `pinned` whether all of them are kept from maintenance,
    `signed` whether its folder is, file by file, what was signed and still answers its golden questions.
    """

    model: str
    version: str
    digest: str
    trained_at: datetime | None
    aliases_now: tuple[str, ...]
    snapshot: int | None
    tables: Mapping[str, int]
    pinned: bool
    code: str
    signed: bool
    found: str


@dataclass(frozen=True)
class Said:
    """What was published for a model at the snapshot's moment, beside what that very version answers today to the same features.

    `asked` entities were asked again, `same` of them got what was published; `furthest` is the largest difference of a number.
    """

    model: str
    version: str
    published: int
    asked: int
    same: int
    furthest: float | None
    example: str


class Audit:
    """One day's answers. Each is computed when it is first asked for; `snapshot` is None where nothing was published by that day."""

    def __init__(self, lake: Lake, day: str = "") -> None:
        self.lake = lake
        self.then: Lake | None = None
        self.reason = ""
        try:
            newest = lake.snapshot()
            if not day and newest is None:
                raise NothingPublished("nothing is published yet: there is nothing to audit. Load files, then run: zeromargin run")
            self.then = lake.at(day or f"{newest.as_of:%Y-%m-%d}" if newest is not None else day)
        except NothingPublished as error:
            self.reason = str(error)

    @property
    def snapshot(self) -> Snapshot | None:
        return self.then.snapshot() if self.then is not None else None

    @cached_property
    def held(self) -> Listing[Held]:
        """What was published then, table by table."""
        return audit.held(self.then) if self.then is not None else Listing([], self.reason)

    @cached_property
    def changes(self) -> Listing[Change]:
        """Which tables are others today, and by how much."""
        return audit.changes(self.then, self.lake) if self.then is not None else Listing([], self.reason)

    @cached_property
    def landed_since(self) -> Listing[LandedFile]:
        """By which files."""
        return audit.landed_since(self.then, self.lake) if self.then is not None else Listing([], self.reason)

    @cached_property
    def restated(self) -> Listing[Restated]:
        """Which months of the past are told otherwise today."""
        return audit.restated(self.then, self.lake) if self.then is not None else Listing([], self.reason)

    @cached_property
    def champions(self) -> Listing[Champion]:
        """Who answered then, and what each had been trained on."""
        if self.snapshot is None:
            return Listing([], self.reason)
        return Listing(
            [_champion(self.lake, one) for one in _let_through(self.lake, self.snapshot.moment)], "no model had been let through"
        )

    @cached_property
    def said(self) -> Listing[Said]:
        """What they said, and whether they say it again."""
        if self.then is None:
            return Listing([], self.reason)
        found = [said for name in NAMES for said in _said(self.then, name)]
        return Listing(found, "no prediction was published at that moment")

    @cached_property
    def whole(self) -> Listing[Checked]:
        """Whether every version that is pinned, or was published then or now, is still whole. Nothing is written, no digest either."""
        wanted = list(audit.relied_on(self.lake))
        if self.snapshot is not None:
            wanted += [key for key in self.snapshot.versions.items() if key not in wanted]
        return audit.whole(self.lake, wanted, keep=False)

    @cached_property
    def around(self) -> Listing[Verified]:
        """Whether each table's log, the files of every version that is kept and every registered model are still whole."""
        return verifying.surroundings(self.lake)

    @property
    def verdict(self) -> str:
        """What is not whole, in a line."""
        broken = [f"{one.table} version {one.version}" for one in self.whole if not one.whole]
        broken += [f"{one.kind} of {one.name} {one.version}".strip() for one in self.around if not one.whole]
        count = f"{len(self.whole)} versions and {len(self.around)} logs, lists of files, models and the vault checked"
        return f"{count}; not whole: {', '.join(broken) or 'none'}"

    def __str__(self) -> str:
        snapshot = self.snapshot
        if snapshot is None:
            return self.reason
        return f"snapshot {snapshot.id}, published by run {snapshot.run} as of {snapshot.as_of:%Y-%m-%d}, features at {snapshot.moment:%Y-%m-%d}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(str(self))}</p>"


def _let_through(lake: Lake, until: datetime) -> list[Registered]:
    """Of each model the newest version that the gate had let through by a moment. Aliases keep no history, trainings and verdicts do."""
    known = loading.versions(lake.settings)
    models = sorted({one.name for one in known})
    best = (loading.newest_approved((one for one in known if one.name == name), lambda moment: moment <= until) for name in models)
    return [one for one in best if one is not None]


def _champion(lake: Lake, one: Registered) -> Champion:
    facts = (one.name, one.version, one.digest, one.moment, one.aliases)
    try:
        manifest = open_registered(lake.settings, one).manifest
    except (TamperedModel, VaultError) as error:
        return Champion(*facts, None, {}, False, "", False, str(error))
    tables, snapshot = manifest["tables"], manifest["snapshot"]
    assert isinstance(tables, dict) and (snapshot is None or isinstance(snapshot, int))
    versions = {name: version for name, version in tables.items() if isinstance(version, int)}
    kept = {(pin.table, pin.version) for pin in pins.every(lake.ops)}
    pinned = all(key in kept for key in versions.items())
    return Champion(*facts, snapshot, versions, pinned, revision.short(str(manifest["code"])), True, "as signed")


def _said(then: Lake, name: str) -> list[Said]:
    """One result per version that answered at the snapshot's moment; none where nothing was published for the model."""
    snapshot = then.snapshot()
    assert snapshot is not None
    frame = then.read(PUBLISHED[name]).where(f"as_of = TIMESTAMP'{snapshot.moment:%Y-%m-%d %H:%M:%S}'")
    rows: pd.DataFrame = frame.toArrow().to_pandas()
    answered = rows.groupby(["version", "digest"], dropna=False, sort=True)
    return [_said_by(then, name, str(version), digest if isinstance(digest, str) else None, found) for (version, digest), found in answered]


def _said_by(then: Lake, name: str, version: str, digest: str | None, published: pd.DataFrame) -> Said:
    """What one model said. It is known by its digest: a registry that was begun anew gives numbers out again."""
    entity = list(ENTITY[name])
    registered = next((one for one in loading.versions(then.settings, name) if one.digest == digest), None)
    if registered is None:
        why = "no model answered" if digest is None else f"{digest[:12]} is not in the registry"
        return Said(name, version, len(published), 0, 0, None, why)
    try:
        model = open_registered(then.settings, registered).model
    except (TamperedModel, VaultError) as error:
        return Said(name, version, len(published), 0, 0, None, str(error))
    snapshot = then.snapshot()
    assert snapshot is not None
    sampled = published[entity].drop_duplicates().sort_values(entity)
    sampled = sampled.iloc[:: max(1, len(sampled) // SAMPLE)].head(SAMPLE)
    asked = sampled.merge(recipe(name).ask(then, snapshot.moment), on=entity)
    compare, same, furthest, example = _COMPARE[name], 0, 0.0, ""
    for _, row in asked.iterrows():
        mine = published[(published[entity] == row[entity]).all(axis=1)]
        features = {str(column): _json(row[column]) for column in asked.columns if column not in (*entity, "event_timestamp")}
        answer = model.answer(
            {"moment": snapshot.moment.isoformat(), "features": features, "k": len(mine), "exclude": [], "only_new": False}
        )
        difference = compare(mine, answer)
        same += difference <= TOLERANCE
        furthest = max(furthest, difference)
        example = example or f"{_entity(name, row.to_dict())}: {_shown(answer)}"
    return Said(name, version, len(published), len(asked), same, furthest if len(asked) else None, example)


def _entity(name: str, row: Mapping[str, object]) -> str:
    """Whom the example is about; customers are not named, not even by their key."""
    return f"product {row['product_code']}" if name == "demand" else "a customer"


def _forecast_differs(published: pd.DataFrame, answer: Mapping[str, Json]) -> float:
    """The largest difference of a week's figures, relative to those above one unit."""
    weeks = answer["forecast"]
    assert isinstance(weeks, list)
    furthest = 0.0 if len(weeks) == len(published) else math.inf
    for told, (_, row) in zip(weeks, published.sort_values("week").iterrows(), strict=False):
        assert isinstance(told, dict)
        for part in ("mean", "median", "low", "high"):
            now, was = told[part], float(row[part])
            assert isinstance(now, int | float)
            furthest = max(furthest, abs(now - was) / max(1.0, abs(was)))
    return furthest


def _segment_differs(published: pd.DataFrame, answer: Mapping[str, Json]) -> float:
    segment = answer["segment"]
    assert isinstance(segment, dict)
    return 0.0 if [segment["name"]] == list(published["segment"]) else math.inf


def _items_differ(published: pd.DataFrame, answer: Mapping[str, Json]) -> float:
    items = answer["items"]
    assert isinstance(items, list)
    told = [item["product"] for item in items if isinstance(item, dict)]
    return 0.0 if told == list(published.sort_values("rank")["product_code"]) else math.inf


_COMPARE: dict[str, Callable[[pd.DataFrame, Mapping[str, Json]], float]] = {
    "demand": _forecast_differs,
    "segments": _segment_differs,
    "recommendations": _items_differ,
}


def _shown(answer: Mapping[str, Json]) -> str:
    """An answer in a few words."""
    weeks, segment, items = answer.get("forecast"), answer.get("segment"), answer.get("items")
    if isinstance(weeks, list):
        return ", ".join(f"{week['mean']:.1f}" for week in weeks if isinstance(week, dict)) + " units in the weeks ahead"
    if isinstance(segment, dict):
        return str(segment["name"])
    return ", ".join(str(item["product"]) for item in items or [] if isinstance(item, dict)) if isinstance(items, list) else ""


def _json(value: object) -> Json:
    """A feature value as serving would send it."""
    import numpy as np
    import pandas as pd

    if isinstance(value, np.ndarray | list | tuple):
        return [_json(one) for one in value]
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, np.generic):
        return _json(value.item())
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    assert isinstance(value, bool | int | float | str), f"a feature value of type {type(value).__name__}"
    return value
