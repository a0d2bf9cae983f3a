"""Whether the files that answers are made from are still what was published. Asked without Feast."""

from __future__ import annotations

import sqlite3

from lakehouse.databases import damage
from lakehouse.features import marker as markers
from lakehouse.features import sqlite_seal
from lakehouse.features.repository import MARKER, ONLINE, REGISTRY, folder, is_as_declared
from lakehouse.settings import Settings


def damages(settings: Settings) -> dict[str, str]:
    """What is wrong with each file of a store that was published, empty where nothing is."""
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
    return found if settings.features.redis else found | {ONLINE: _online(settings)}


def _online(settings: Settings) -> str:
    file = folder(settings.home) / ONLINE
    if not file.exists():
        return "it is not there"
    if wrong := damage(file, thorough=True):
        return wrong
    try:
        seal, marker = sqlite_seal.read(file), markers.read(settings.home)
    except sqlite3.Error as error:
        return str(error)
    return "" if marker is None or (seal is not None and seal.is_of(marker)) else "it does not hold what was published into it"
