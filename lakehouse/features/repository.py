"""A home's Feast repository: its configuration, and its registry brought in line with the declarations.

Serving imports this, so nothing here reaches the engine or the tables.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.databases import damage
from lakehouse.errors import UnknownName
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore, Field
    from feast.repo_config import RepoConfig

OFFLINE = "lakehouse.features.offline.PinnedDeltaOfflineStore"
REGISTRY, ONLINE, MARKER, POPULAR, DECLARED, LOCK = "registry.db", "online.db", "online.json", "popular.json", "declared", "apply.lock"

REDIS_WAIT_S = 5


def folder(home: Path) -> Path:
    """Where a home keeps the registry, the online store and its marker."""
    return home / "feast"


def feature_store(settings: Settings, pins: Mapping[str, int] | None = None, registry: str = REGISTRY) -> FeatureStore:
    """The home's feature store as it is, not brought in line. Without `pins` it answers online only, and imports no offline store."""
    config = _config(settings, pins, registry)
    from feast import FeatureStore

    return FeatureStore(config=config)


def open_store(settings: Settings, pins: Mapping[str, int]) -> FeatureStore:
    """The home's feature store, its registry in line with `feature_repo`. `pins`: the version of each feature table, by name.

    One process at a time applies, and only where the declarations changed, or a file is damaged; the registry is then replaced at once, since it is
    read while it is written. The online store has to be published anew after that: its rows may lack features.
    """
    place = folder(settings.home)
    place.mkdir(parents=True, exist_ok=True)
    with _locked(place / LOCK):
        digest = declarations_digest()
        declared = place / DECLARED
        if not _is_declared(settings, digest):
            declared.unlink(missing_ok=True)
            (place / MARKER).unlink(missing_ok=True)
            if (place / ONLINE).exists() and damage(place / ONLINE):
                forget_online(settings.home)
            _apply(settings)
            write_whole(declared, f"{digest}\n{_sha(place / REGISTRY)}\n")
    return feature_store(settings, pins)


def forget_online(home: Path) -> None:
    """Takes away the online store's file, which can be made anew of the tables, the marker first."""
    for name in (MARKER, ONLINE, f"{ONLINE}-wal", f"{ONLINE}-shm"):
        (folder(home) / name).unlink(missing_ok=True)


def is_as_declared(home: Path) -> bool:
    """Whether the registry is the one that was written; releases before did not say which that was."""
    said = _declared(folder(home))[1:]
    return not said or said == [_sha(folder(home) / REGISTRY)]


def is_day(field: Field) -> bool:
    """Whether a feature is one day, counted from 1970-01-01."""
    from feast.types import Int64

    from feature_repo.views import DAY, UNIT

    return bool(field.dtype == Int64 and field.tags.get(UNIT) == DAY)


def feature_types(service: str) -> dict[str, str]:
    """Names and types of what a feature service gives. Raises `UnknownName` for one that is not declared."""
    import feature_repo

    services = {one.name: one for one in feature_repo.SERVICES}
    if service not in services:
        raise UnknownName("feature service", service, services)
    return {field.name: str(field.dtype) for view in services[service].feature_view_projections for field in view.features}


def declarations_digest() -> str:
    """SHA-256 over what `feature_repo` declares and the version of Feast that reads it."""
    import feature_repo  # isort: skip
    import feast
    from google.protobuf.json_format import MessageToDict

    declared = (*feature_repo.ENTITIES, *feature_repo.VIEWS, *feature_repo.SERVICES)
    specs = [_without_times(MessageToDict(one.to_proto().spec)) for one in declared]
    return hashlib.sha256(json.dumps([feast.__version__, specs], sort_keys=True).encode()).hexdigest()


def _without_times(spec: object) -> object:
    """A declaration without the times at which Feast made or applied it: it stamps them anew in every process."""
    if isinstance(spec, dict):
        return {name: _without_times(value) for name, value in spec.items() if not name.endswith("Timestamp")}
    return [_without_times(one) for one in spec] if isinstance(spec, list) else spec


def _is_declared(settings: Settings, digest: str) -> bool:
    place, redis = folder(settings.home), settings.features.redis
    there = all((place / name).exists() for name in (REGISTRY, DECLARED, *(() if redis else (ONLINE,))))
    return there and _declared(place) == [digest, _sha(place / REGISTRY)] and not (not redis and damage(place / ONLINE))


def _declared(place: Path) -> list[str]:
    """The digest of what was declared, and the SHA-256 of the registry that says so, which releases before did not write."""
    try:
        return (place / DECLARED).read_text(encoding="ascii", errors="replace").split()
    except FileNotFoundError:
        return []


def _sha(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _apply(settings: Settings) -> None:
    import feature_repo

    place, draft = folder(settings.home), f"{REGISTRY}.part"
    (place / draft).unlink(missing_ok=True)
    store = feature_store(settings, {}, draft)
    store.apply([*feature_repo.ENTITIES, *feature_repo.VIEWS, *feature_repo.SERVICES])
    if not settings.features.redis:
        # Else whoever answers waits while a batch of features is written.
        with closing(sqlite3.connect(place / ONLINE)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    (place / draft).replace(place / REGISTRY)


def _config(settings: Settings, pins: Mapping[str, int] | None, registry: str) -> RepoConfig:
    import feature_repo  # isort: skip
    from feast.repo_config import RepoConfig

    place = folder(settings.home)
    online: dict[str, object] = {"type": "sqlite", "path": str(place / ONLINE)}
    if settings.features.redis:
        # One row per entity and publication: what is there already is older, or the same.
        online = {"type": "redis", "connection_string": redis_connection(settings.features.redis), "skip_dedup": True}
    return RepoConfig(
        project=feature_repo.PROJECT,
        provider="local",
        registry=str(place / registry),
        online_store=online,
        # As a name alone, it is imported when it is first used.
        offline_store=OFFLINE if pins is None else {"type": OFFLINE, "pins": dict(pins)},
        entity_key_serialization_version=3,
        repo_path=settings.home,
    )


def redis_connection(words: str) -> str:
    """A connection string of Feast's with limits on how long is waited, where it has none: a server that is gone must not hold anybody up."""
    return ",".join(
        [words, *(f"{name}={REDIS_WAIT_S}" for name in ("socket_timeout", "socket_connect_timeout") if f"{name}=" not in words)]
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_whole(path: Path, text: str) -> None:
    """Writes a small file so that it is there whole or not at all."""
    draft = path.with_name(f"{path.name}.part")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
