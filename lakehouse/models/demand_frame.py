"""What the demand model is trained on and asked about, from the features and lines that a lake reads."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from lakehouse.features import labels, store
from lakehouse.tables import Lake
from lakehouse.tables.moments import floor_moment

if TYPE_CHECKING:
    import pandas as pd

SERVICE = "demand_v1"


def training_frame(lake: Lake) -> pd.DataFrame:
    """One row per store, product active at it, and weekly moment: the features, and `y_1` … `y_n` where that window has closed.

    The moments are the newest `history_weeks` whose window has closed, and as many as an evaluation holds back; Mondays on every grid.
    """
    chosen = lake.settings.models.demand
    last = floor_moment(labels.known_until(lake), "week") - timedelta(weeks=chosen.horizon_weeks)
    moments = [last - timedelta(weeks=back) for back in range(chosen.history_weeks + chosen.horizon_weeks)]
    entities = store.product_moments(lake, moments, chosen.active_weeks)
    return labels.demand(lake, store.historical(lake, SERVICE, entities), chosen.horizon_weeks)


def asking_frame(lake: Lake, moment: datetime) -> pd.DataFrame:
    """One row per store and product active at the moment, with its features."""
    entities = store.product_moments(lake, [moment], lake.settings.models.demand.active_weeks)
    return store.historical(lake, SERVICE, entities)
