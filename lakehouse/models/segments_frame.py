"""What the segments are trained on and asked about."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from lakehouse.features import labels, store
from lakehouse.tables import Lake
from lakehouse.tables.moments import floor_moment

if TYPE_CHECKING:
    import pandas as pd

SERVICE = "segments_v1"
LABEL_DAYS = 90


def training_frame(lake: Lake) -> pd.DataFrame:
    """One row per customer and moment: the features, and `spend` in the 90 days after, NaN where those have not closed.

    The moments are the lake's own and the newest one whose label window has closed, on which a model is judged; one four weeks before that,
    whose model it is compared with; and for each of the two the newest one whose window had closed by then, to learn from.
    """
    newest = floor_moment(labels.known_until(lake), "week")
    closing, month = timedelta(weeks=-(-LABEL_DAYS // 7)), timedelta(weeks=4)
    judged = newest - closing
    moments = [newest, judged, judged - month, judged - closing, judged - month - closing]
    rows = store.historical(lake, SERVICE, store.customers_at(lake, *moments))
    spent = labels.spend(lake, rows[["customer_key", "event_timestamp"]], LABEL_DAYS)
    return rows.merge(spent, on=["customer_key", "event_timestamp"], how="left")


def asking_frame(lake: Lake, moment: datetime) -> pd.DataFrame:
    """One row per customer known by the moment, with the features."""
    return store.historical(lake, SERVICE, store.customers_at(lake, moment))
