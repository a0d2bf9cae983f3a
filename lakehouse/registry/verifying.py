"""Whether all that somebody relies on is still whole: pinned and published versions, the files of every version that is kept, models, and the vault."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from lakehouse.errors import RegistryDamaged, StateError, TamperedModel, VaultError
from lakehouse.features import wholeness
from lakehouse.ingest import vault_age
from lakehouse.registry import loading
from lakehouse.registry.recorded import forgotten
from lakehouse.tables import Lake, audit, catalog, delta, maintenance, pins, rebuilding
from lakehouse.tables.handles import in_short
from lakehouse.tables.listing import Listing

_REMEDY = "The next run makes a champion whole (zeromargin run); a backup has every version (zeromargin restore-backup)"
Kept = Mapping[str, Collection[int]]


@dataclass(frozen=True)
class Verified:
    """One thing that was looked at. `whole`: it is what it was; else `found` says what is wrong, and what to do."""

    kind: str  # log, table, files, model, registry, vault, features
    name: str
    version: str
    whole: bool
    found: str


def verify(lake: Lake, everything: bool = False) -> Listing[Verified]:
    """Looks whether each table's log has all its entries and says what it said; reads every pinned version, the newest snapshot's and those whose
    digest is kept (`everything`: all that are kept) and holds them to their digests; looks for every data file that a kept version names;
    verifies each registered model's signature, hashes and golden questions; looks whether the registry still has what was registered last, and the
    vault every key that it had made, and whether the files of the feature store are whole.

    Raises `EndpointDown` where the engine is what fails, `RegistryAway` where the registry does not answer, `StateError` where there is no lake at all.
    """
    if lake.snapshot() is None and not (lake.home / "tables").is_dir():
        raise StateError(
            f"there is no lake in {lake.home}: nothing has ever been loaded there. Is it the home that you mean (--home, ZEROMARGIN_HOME)?"
        )
    logs, kept = _logs(lake), maintenance.kept_versions(lake)  # what can be mended of a log is, when it is looked at
    return Listing(
        [*logs, *_tables(lake, kept, everything), *_files(lake, kept), *_models(lake), *_beside(lake)], "nothing is relied on yet"
    )


def surroundings(lake: Lake) -> Listing[Verified]:
    """What `verify` looks at without reading a table, so without an engine: logs, the files of every kept version, models and the vault. Keeps no digest."""
    logs, kept = _logs(lake), maintenance.kept_versions(lake)
    return Listing([*logs, *_files(lake, kept), *_models(lake), *_beside(lake)], "nothing is relied on yet")


def _logs(lake: Lake) -> list[Verified]:
    """One result per table: it is there, its log has every entry, and says of the version that is relied on what it said."""
    found, losses = [], rebuilding.losses(lake, lake.snapshot())
    for name in lake.catalog:
        lost = losses.get(name)
        if lost is None and not delta.exists(lake.path(name)):
            continue  # nobody has written to it yet
        absent = None if lost else rebuilding.gap(lake, name)
        wrong = rebuilding.refuse(name, lost) if lost else rebuilding.refuse_gap(name, absent) if absent else None
        said = "every entry is there" if wrong is None else str(wrong)
        found.append(Verified("log", name, "" if lost else str(lake.head(name)), wrong is None, said))
    return found


def _tables(lake: Lake, kept: Kept, everything: bool) -> list[Verified]:
    every = {(name, version) for name, versions in kept.items() for version in versions}
    wanted = every if everything else audit.relied_on(lake).keys() | (every & pins.recorded(lake.ops).keys())
    checked = [one for one in audit.whole(lake, sorted(wanted)) if one.whole or _is_kept(lake, one.table, one.version)]
    return [Verified("table", one.table, str(one.version), one.whole, one.found) for one in checked]


def _files(lake: Lake, kept: Kept) -> list[Verified]:
    """One result per table: every file of every kept version is there, or those versions that lack one."""
    found = []
    for name, versions in sorted(kept.items()):
        broken = {}
        for version in sorted(versions):
            if name not in lake.catalog:
                broken[version] = catalog.STRANGE
                continue
            try:
                wrong = rebuilding.damage(lake, name, version, delta.sizes(lake.path(name), version))
            except StateError as error:
                wrong = in_short(error)
            if wrong is not None and _is_kept(lake, name, version):
                broken[version] = wrong
        shown = ", ".join(map(str, broken or versions))
        said = next(iter(broken.values())) if broken else f"all files of {len(versions)} kept versions are there"
        found.append(Verified("files", name, shown if broken else f"{len(versions)} versions", not broken, said))
    return found


def _is_kept(lake: Lake, name: str, version: int) -> bool:
    """Whether it is kept by now: maintenance may have come between."""
    return version in maintenance.kept_versions(lake).get(name, ())


def _models(lake: Lake) -> list[Verified]:
    found = []
    try:
        registered = loading.versions(lake.settings)
    except RegistryDamaged as error:
        return [Verified("registry", "models", "", False, str(error))]
    for one in registered:
        try:
            loading.open_registered(lake.settings, one)
        except (TamperedModel, VaultError) as error:
            found.append(Verified("model", one.name, one.version, False, f"{error}. {_REMEDY}"))
        else:
            found.append(Verified("model", one.name, one.version, True, "as signed"))
    return found


def _beside(lake: Lake) -> list[Verified]:
    """What is beside the tables: the registry, where anything was registered, and the vault."""
    whole, found = vault_age.judged(lake)
    return [*_registry(lake), Verified("vault", "customers", "", whole, found), *_feature_store(lake)]


def _feature_store(lake: Lake) -> list[Verified]:
    """One result per file of what was published online."""
    wrong = wholeness.damages(lake.settings)
    return [
        Verified("features", name, "", not said, f"{said}. It is made anew by: zeromargin run features" if said else "as it was written")
        for name, said in wrong.items()
    ]


def _registry(lake: Lake) -> list[Verified]:
    try:
        lost = forgotten(lake)
    except RegistryDamaged:  # told where its models are looked for
        return []
    return [
        Verified(
            "registry",
            one.model,
            one.version,
            False,
            f"run {one.run} registered version {one.version} of {one.model} ({one.digest[:12]}), and the registry"
            f" ({lake.settings.mlflow_url.rpartition('@')[2]}) does not know it: it was lost, or is an older or another one. Put the newer one back, or bring"
            " the home back from a backup (zeromargin restore-backup). What its models were trained on stays pinned",
        )
        for one in lost
    ]
