"""Champions that may not answer any more lose their place, and get it back where that was undone."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from datetime import datetime

from lakehouse.models.bundle import MANIFEST
from lakehouse.registry import aliases, tracking
from lakehouse.registry.gate import APPROVED
from lakehouse.registry.loading import AS_CHAMPION, AS_VERSION, UNDONE, Registered, is_whole, newest_approved, versions
from lakehouse.settings import Settings


def dismiss(settings: Settings, name: str, may_answer: Callable[[Registered], bool]) -> None:
    """Takes a champion that may not answer any more out of its place. The newest approved version that may gets it, else nobody."""
    known = versions(settings, name)
    present = _champion(known)
    if present is None or may_answer(present):
        return
    client = tracking.connect(settings)
    heir = newest_approved((one for one in known if one is not present and may_answer(one)), lambda _: True)
    if heir is None:
        aliases.withdraw(client, name, aliases.CHAMPION)
    else:
        aliases.promote(client, name, heir.version)


def answer_as_of(settings: Settings, counted: Collection[int], moment: datetime) -> None:
    """Has models answer that are of the snapshots that count after a restore, the newest of which is of `moment`. What was trained on another was
    undone with it: it is nobody's champion, nobody's predecessor and no training, until its snapshot counts again. Then a champion gets its place
    back, unless a newer version has it, and so does one that was champion before it and is gone back to in a second step."""

    def counts(one: Registered) -> bool:
        told = _trained_on(one)
        return told in counted if told is not None else one.moment is None or one.moment <= moment

    for name in sorted({one.name for one in versions(settings)}):
        known = versions(settings, name)
        present = _champion(known)
        for one in known:
            if not one.undone and not counts(one):
                was_champion = present is not None and one.decision == APPROVED and int(one.version) <= int(present.version)
                how = AS_CHAMPION if was_champion else AS_VERSION
                tracking.connect(settings).set_model_version_tag(name, one.version, UNDONE, how)
        dismiss(settings, name, lambda one: counts(one) and is_whole(settings, one))
        for one in sorted(versions(settings, name), key=lambda one: int(one.version)):
            if one.undone and counts(one):
                _bring_back(settings, one)


def _bring_back(settings: Settings, one: Registered) -> None:
    client, present = tracking.connect(settings), _champion(versions(settings, one.name))
    if one.undone == AS_CHAMPION and is_whole(settings, one) and (present is None or int(present.version) < int(one.version)):
        aliases.promote(client, one.name, one.version)
    client.delete_model_version_tag(one.name, one.version, UNDONE)


def _champion(known: list[Registered]) -> Registered | None:
    return next((one for one in known if aliases.CHAMPION in one.aliases), None)


def _trained_on(one: Registered) -> int | None:
    """The snapshot whose tables a version was trained on; None where its record can't be read or doesn't say."""
    try:
        found = json.loads((one.folder / MANIFEST).read_bytes())["snapshot"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, int) else None
