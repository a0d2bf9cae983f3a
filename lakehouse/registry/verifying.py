"""Whether all that somebody relies on is still whole: pinned and published versions, the files of every version that is kept, and models."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from lakehouse.errors import StateError, TamperedModel
from lakehouse.registry import loading
from lakehouse.registry.gate import APPROVED
from lakehouse.tables import Lake, audit, delta, maintenance, pins
from lakehouse.tables.listing import Listing
from lakehouse.tables.pins import Pin

PINS_LAST = timedelta(days=90)


@dataclass(frozen=True)
class Verified:
    """One thing that was looked at. `whole`: it is what it was; else `found` says what is wrong, and what to do."""

    kind: str  # table, files, model
    name: str
    version: str
    whole: bool
    found: str


def verify(lake: Lake, everything: bool = False) -> Listing[Verified]:
    """Reads every pinned version and the newest snapshot's (`everything`: all that are kept) and holds them to their digests; looks for every
    data file that a kept version names; verifies each registered model's signature, hashes and golden questions.

    Raises `EndpointDown` where the engine is what fails, `RegistryAway` where the registry does not answer.
    """
    return Listing([*_tables(lake, everything), *_files(lake), *_models(lake)], "nothing is relied on yet")


def expired_pins(lake: Lake, now: datetime) -> list[Pin]:
    """Pins of what a model was trained on that the gate never let through, once they are 90 days old (wall clock, UTC)."""
    approved = {f"model {one.name} {one.digest[:12]}" for one in loading.versions(lake.settings) if one.decision == APPROVED}
    old = [pin for pin in pins.every(lake.ops) if pin.owner.startswith("model ") and now - pin.pinned_at > PINS_LAST]
    return [pin for pin in old if pin.owner not in approved]


def _tables(lake: Lake, everything: bool) -> list[Verified]:
    wanted = None
    if everything:
        wanted = [(name, version) for name, versions in sorted(maintenance.kept_versions(lake).items()) for version in sorted(versions)]
    checked = audit.whole(lake, wanted)
    return [Verified("table", one.table, str(one.version), one.whole, one.found) for one in checked]


def _files(lake: Lake) -> list[Verified]:
    """One result per table: every file of every kept version is there, or those versions that lack one."""
    found = []
    for name, versions in sorted(maintenance.kept_versions(lake).items()):
        broken = {}
        for version in sorted(versions):
            try:
                missing = delta.missing_files(lake.path(name), version)
            except StateError as error:
                broken[version] = str(error)
            else:
                if missing:
                    broken[version] = f"{len(missing)} data files are not there"
        shown = ", ".join(map(str, broken or versions))
        said = next(iter(broken.values())) if broken else f"all files of {len(versions)} kept versions are there"
        found.append(Verified("files", name, shown if broken else f"{len(versions)} versions", not broken, said))
    return found


def _models(lake: Lake) -> list[Verified]:
    found = []
    for one in loading.versions(lake.settings):
        try:
            loading.open_registered(lake.settings, one)
        except TamperedModel as error:
            found.append(Verified("model", one.name, one.version, False, str(error)))
        else:
            found.append(Verified("model", one.name, one.version, True, "as signed"))
    return found
