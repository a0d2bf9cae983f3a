"""What keeps the past and concerns more than tables: a restore that reaches the online store, maintenance that knows the models."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from lakehouse.errors import NothingPublished
from lakehouse.features import popular
from lakehouse.features.publish import empty_online, publish_online
from lakehouse.privacy.vault import open_vault
from lakehouse.registry.batch import tell_popular
from lakehouse.registry.champions import answer_as_of
from lakehouse.registry.training_pins import expired_pins
from lakehouse.tables import Lake, maintenance, ops, restoring, snapshots
from lakehouse.tables.listing import Listing
from lakehouse.tables.maintenance import Maintained, TablePlan
from lakehouse.tables.pins import Pin

if TYPE_CHECKING:
    from lakehouse.tables.restoring import Restored


def restore(lake: Lake, snapshot: int) -> Restored:
    """Puts the lake back to a snapshot, and what is told online to that one's features and to models of that time, which belong to it: broken off
    before that, nothing is written until it is called again. Raises, before anything is changed, what opening the vault raises too."""
    with open_vault(lake.settings):  # what is told online needs it, and comes last
        pass

    def finish() -> None:
        published = lake.snapshot()
        assert published is not None
        answer_as_of(lake.settings, snapshots.counted(lake.ops), published.moment)
        try:
            moment = publish_online(lake).moment
            tell_popular(lake, datetime.fromisoformat(moment))
        except NothingPublished:  # of a table that is made anew by the next run
            empty_online(lake)
            popular.write(lake.home, [])

    return restoring.restore(lake, snapshot, finish)


def planned(lake: Lake) -> tuple[Listing[TablePlan], list[Pin]]:
    """What maintenance would do to the tables, and which pins have run out."""
    expired = expired_pins(lake, ops.now())
    return maintenance.plan(lake, expired), expired


def maintain(
    lake: Lake, progress: Callable[[str], None], announce: Callable[[Listing[TablePlan], list[Pin]], None] = lambda _plan, _expired: None
) -> Maintained:
    """Does it. `announce` is told what will be done before anything is changed."""
    expired = expired_pins(lake, ops.now())
    return maintenance.maintain(lake, expired, progress, lambda plan: announce(plan, expired))
