"""Champions that may not answer any more lose their place, and get it back where that was undone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from lakehouse.registry import aliases, tracking
from lakehouse.registry.loading import UNDONE, Registered, is_whole, newest_approved, versions
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


def answer_as_of(settings: Settings, moment: datetime) -> None:
    """Of each model the champion is one of the moment that a restore went to: who was trained later loses the place, since what it knows was undone, and
    who lost it so to an earlier restore gets it back, unless a newer version has it."""
    for name in sorted({one.name for one in versions(settings)}):
        present = _champion(versions(settings, name))
        if present is not None and not _is_by(present, moment):
            tracking.connect(settings).set_model_version_tag(name, present.version, UNDONE, "by a restore")
        dismiss(settings, name, lambda one: _is_by(one, moment) and is_whole(settings, one))
        _bring_back(settings, name, moment)


def _bring_back(settings: Settings, name: str, moment: datetime) -> None:
    known = versions(settings, name)
    present = _champion(known)
    for one in sorted(known, key=lambda one: int(one.version)):
        if one.undone and _is_by(one, moment) and is_whole(settings, one):
            client = tracking.connect(settings)
            if present is None or int(present.version) < int(one.version):
                aliases.promote(client, name, one.version)
            client.delete_model_version_tag(name, one.version, UNDONE)


def _champion(known: list[Registered]) -> Registered | None:
    return next((one for one in known if aliases.CHAMPION in one.aliases), None)


def _is_by(one: Registered, moment: datetime) -> bool:
    return one.moment is None or one.moment <= moment
