"""What the record of runs says was registered, beside the registry: a lost or an older one is not taken for that of a lake without models."""

from __future__ import annotations

from dataclasses import dataclass

from lakehouse.registry.loading import known_digests
from lakehouse.registry.recipes import NAMES
from lakehouse.tables import Lake, runs


@dataclass(frozen=True)
class Recorded:
    """A version of a model that a run registered, and whether the gate let it through."""

    model: str
    version: str
    digest: str
    approved: bool
    run: str


def recorded(lake: Lake) -> list[Recorded]:
    """Every registration that a run declared, by model, in the order of time."""
    found = (
        Recorded(name, str(stage.result["version"]), str(stage.result["digest"]), not stage.result["refused"], stage.run)
        for name in NAMES
        for stage in runs.declared(lake.ops, name)
        if stage.result.get("version")  # a back-test registers nothing
    )
    # What is trained again of the same is registered once.
    return list({(one.model, one.version, one.digest): one for one in found}.values())


def gone(lake: Lake) -> list[Recorded]:
    """Those that the registry does not hold any more: it was lost, or somebody deleted them there."""
    known = known_digests(lake.settings)
    return [one for one in recorded(lake) if known.get((one.model, one.version)) != one.digest]


def forgotten(lake: Lake) -> list[Recorded]:
    """Of each model the version that was registered last, where the registry has another one, or none, under its number. One that somebody deleted there
    has its number still. Raises `RegistryAway`."""
    newest = {one.model: one for one in recorded(lake)}
    known = known_digests(lake.settings) if newest else {}
    return [one for one in newest.values() if known.get((one.model, one.version), "none") not in (one.digest, None)]
