"""Whether what answers are made from is still what was published. Asked without Feast where the online store is a file."""

from __future__ import annotations

import sqlite3

from lakehouse.databases import damage
from lakehouse.errors import TryAgain
from lakehouse.features import marker as markers
from lakehouse.features import seal as seals
from lakehouse.features.repository import MARKER, ONLINE, REGISTRY, folder, is_as_declared
from lakehouse.settings import Settings

REDIS = "Redis"


def damages(settings: Settings) -> dict[str, str]:
    """What is wrong with each part of a store that was published, by its file's name or `REDIS`; empty where nothing is."""
    place = folder(settings.home)
    if not (place / MARKER).exists():
        return {}
    found = {
        MARKER: "" if markers.read(settings.home) else "it can't be read",
        REGISTRY: "it is not there"
        if not (place / REGISTRY).exists()
        else ""
        if is_as_declared(settings.home)
        else "it is not what was written",
    }
    return found | ({REDIS: _in_redis(settings)} if settings.features.redis else {ONLINE: _in_file(settings)})


def _in_redis(settings: Settings) -> str:
    try:
        with seals.answering():
            return _published(settings)
    except TryAgain as error:
        return str(error)


def _in_file(settings: Settings) -> str:
    file = folder(settings.home) / ONLINE
    if not file.exists():
        return "it is not there"
    if wrong := damage(file, thorough=True):
        return wrong
    try:
        return _published(settings)
    except sqlite3.Error as error:
        return str(error)


def _published(settings: Settings) -> str:
    seal, marker = seals.whole(seals.sealed(settings)), markers.read(settings.home)
    return "" if marker is None or (seal is not None and seal.is_of(marker)) else "it does not hold what was published into it"
