"""Registered models by alias or version, found and opened without MLflow. This is what the service imports.

Why not MLflow's own client: importing it takes 3 to 5 s and 130 MB, and imports pyspark wherever that is installed, which the service
must never do. Its registry is five SQL tables, read here with two queries in a millisecond. The version of MLflow is pinned, and a test
compares what this module says with what MLflow's client says, so a release that changes the tables is noticed before it is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlparse

from sqlalchemy import Connection, column, select, table
from sqlalchemy.exc import SQLAlchemyError

from lakehouse.databases import file_of, is_damaged, opened_to_read
from lakehouse.errors import RegistryAway, RegistryDamaged, TamperedModel, UnknownName
from lakehouse.models.bundle import Bundle, read_bundle
from lakehouse.privacy.secrets import verify_key
from lakehouse.registry.gate import APPROVED
from lakehouse.settings import Settings

DIGEST, MOMENT, DECISION, REASONS = "digest", "moment", "decision", "reasons"
UNDONE = "undone"  # has a version whose snapshot a restore undid
AS_CHAMPION, AS_VERSION = "by a restore", "by a restore, not champion"  # what it says of one that had the place, and of another

_versions = table("model_versions", *map(column, ("name", "version", "run_id", "storage_location", "status", "current_stage")))
_DELETED = "Deleted_Internal"  # the stage of a version that somebody deleted: MLflow keeps its row
_aliases = table("registered_model_aliases", *map(column, ("name", "alias", "version")))
_tags = table("model_version_tags", *map(column, ("name", "version", "key", "value")))
_metrics = table("latest_metrics", *map(column, ("run_uuid", "key", "value", "is_nan")))


@dataclass(frozen=True)
class Registered:
    """One registered version: its digest, aliases, where its signed folder lies, and what the gate said of it. `undone` says as what a restore undid
    it, None where its snapshot counts."""

    name: str
    version: str
    digest: str
    aliases: tuple[str, ...]
    folder: Path
    moment: datetime | None
    decision: str | None
    reasons: tuple[str, ...]
    metrics: dict[str, float]
    undone: str | None = None


class Registry:
    """Read access to the registry of a home, as it stands at each call."""

    def __init__(self, settings: Settings) -> None:
        self._artifacts = settings.home / "mlartifacts"
        self._file = file_of(settings.mlflow_url)
        self._engine = opened_to_read(settings.mlflow_url)

    @property
    def is_there(self) -> bool:
        """False before anything was registered in this home. That a server holds none is found out by asking it."""
        return self._file is None or self._file.exists()

    def by_alias(self, name: str, alias: str) -> Registered | None:
        """The version of a model that has the alias; None where nobody has. Raises `RegistryAway`, `TamperedModel`."""
        with self._connect() as connection:
            query = select(_aliases.c.version).where(_aliases.c.name == name, _aliases.c.alias == alias)
            version = connection.execute(query).scalar()
            if version is None:
                return None
            for found in _read(connection, self._artifacts, name, int(version)):
                return found
            raise TamperedModel(f"{name} version {version} is {alias}, but was not registered by zeromargin: it has no digest")

    def by_version(self, name: str, version: str) -> Registered:
        """One version of a model. Raises `UnknownName` where it has none of that number, `RegistryAway`."""
        with self._connect() as connection:
            found = list(_read(connection, self._artifacts, name, int(version))) if version.isdigit() else []
            if not found:
                known = [model.version for model in _read(connection, self._artifacts, name)]
                raise UnknownName("version", version, known, where=name)
            return found[0]

    def versions(self, name: str | None = None) -> list[Registered]:
        """Every registered version, of one model or of all, by name and number. Raises `RegistryAway`."""
        with self._connect() as connection:
            return list(_read(connection, self._artifacts, name))

    def digests(self) -> dict[tuple[str, str], str | None]:
        """The digest of every version that there ever was, by name and number; None of one that was deleted by hand. Raises `RegistryAway`."""
        with self._connect() as connection:
            every = connection.execute(select(_versions.c.name, _versions.c.version, _versions.c.current_stage)).all()
            present = {(one.name, one.version): one.digest for one in _read(connection, self._artifacts)}
        gone: dict[tuple[str, str], str | None] = {(row.name, str(row.version)): None for row in every if row.current_stage == _DELETED}
        return gone | present

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        if not self.is_there:
            raise RegistryAway(f"there is no model registry at {self._file}. Train models first: zeromargin run")
        try:
            with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            if is_damaged(error):
                raise RegistryDamaged(
                    f"the model registry {self._file} is damaged: {error.__cause__}. Put a whole one back, or bring the home back from a backup"
                    " (zeromargin restore-backup)"
                ) from None
            raise RegistryAway(f"the model registry does not answer: {error.__class__.__name__}. It is tried again") from error


def open_registered(settings: Settings, registered: Registered) -> Bundle:
    """A registered version's model: its folder verified, and the very one that was registered. Raises `TamperedModel`."""
    found = read_bundle(registered.folder, verify_key(settings))
    if found.digest != registered.digest or found.manifest["name"] != registered.name:
        raise TamperedModel(
            f"{registered.folder} holds {found.manifest['name']} {found.digest[:12]}, registered was {registered.name} {registered.digest[:12]}"
        )
    return found


def is_whole(settings: Settings, registered: Registered) -> bool:
    """Whether a registered version is what was signed and registered."""
    try:
        open_registered(settings, registered)
    except TamperedModel:
        return False
    return True


def versions(settings: Settings, name: str | None = None) -> list[Registered]:
    """Every registered version of a home, of one model or of all; none where nothing was registered yet."""
    registry = Registry(settings)
    return registry.versions(name) if registry.is_there else []


def known_digests(settings: Settings) -> dict[tuple[str, str], str | None]:
    """As `Registry.digests`, of a home; empty where nothing was registered yet."""
    registry = Registry(settings)
    return registry.digests() if registry.is_there else {}


def newest_approved(known: Iterable[Registered], counts: Callable[[datetime], bool]) -> Registered | None:
    """Of versions that the gate let through and no restore undid, at a moment that `counts`, the one of the newest moment, and of those the last
    registered."""
    approved = (one for one in known if one.decision == APPROVED and not one.undone)
    found = [(one.moment, int(one.version), one) for one in approved if one.moment and counts(one.moment)]
    return max(found, key=lambda entry: entry[:2])[2] if found else None


def _read(connection: Connection, artifacts: Path, name: str | None = None, version: int | None = None) -> Iterable[Registered]:
    whole = (_versions.c.status == "READY") & (_versions.c.current_stage != _DELETED)
    query = select(_versions).where(whole).order_by(_versions.c.name, _versions.c.version)
    if name is not None:
        query = query.where(_versions.c.name == name)
    if version is not None:
        query = query.where(_versions.c.version == version)
    for row in connection.execute(query).all():
        same = (row.name, row.version)
        tags = {t.key: t.value for t in connection.execute(select(_tags).where(_tags.c.name == same[0], _tags.c.version == same[1]))}
        if DIGEST not in tags:
            continue  # registered by hand, not by us: nothing is known of what it holds
        aliases = connection.execute(select(_aliases.c.alias).where(_aliases.c.name == same[0], _aliases.c.version == same[1])).scalars()
        metrics = connection.execute(select(_metrics).where(_metrics.c.run_uuid == row.run_id, ~_metrics.c.is_nan)).all()
        yield Registered(
            name=row.name,
            version=str(row.version),
            digest=tags[DIGEST],
            aliases=tuple(sorted(aliases)),
            folder=_folder(row.storage_location, artifacts),
            moment=datetime.fromisoformat(tags[MOMENT]) if MOMENT in tags else None,
            decision=tags.get(DECISION),
            reasons=tuple(tags.get(REASONS, "").splitlines()),
            metrics={metric.key: float(metric.value) for metric in metrics},
            undone=tags.get(UNDONE),
        )


def _folder(location: str, artifacts: Path) -> Path:
    """The signed folder within a logged model. A home that was moved or mounted elsewhere keeps its models: what counts is the path
    below `mlartifacts`, not the absolute one that MLflow wrote down."""
    logged = Path(unquote(urlparse(location).path))
    if artifacts.name in logged.parts:
        below = logged.parts[len(logged.parts) - logged.parts[::-1].index(artifacts.name) :]
        logged = artifacts.joinpath(*below)
    return logged / "artifacts" / "model"
