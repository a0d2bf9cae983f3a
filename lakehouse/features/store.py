"""Features for training: point-in-time joins through Feast, over the versions that a lake reads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from lakehouse.errors import UnknownName
from lakehouse.features.repository import is_day, open_store
from lakehouse.tables import Lake

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FEATURES", "customers_at", "historical", "open_store", "product_moments"]

FEATURES = ("features.product_sales", "features.customer_history")
PRODUCT = ["store", "product_code"]
CUSTOMER = ["customer_key"]
WHEN = "event_timestamp"
AT_ONCE = 2_000_000  # pairs of a moment and a product; most of them may be of products that sold long ago, and go


def pins(lake: Lake) -> dict[str, int]:
    """The version of each feature table that the lake reads. Raises `NothingPublished` before the first snapshot."""
    return {name: lake.version(name) for name in FEATURES}


def historical(lake: Lake, service: str, entities: pd.DataFrame) -> pd.DataFrame:
    """The entities, in their order, with the features of a service that held at their `event_timestamp`; the lake's versions are read.

    Amounts and quantities are float64, days datetime64, arrays lists; missing where the entity had no row by then. Raises `UnknownName`
    for a service that `feature_repo` does not declare.
    """
    import pyarrow as pa

    import feature_repo

    services = {one.name: one for one in feature_repo.SERVICES}
    if service not in services:
        raise UnknownName("feature service", service, services)
    store = open_store(lake.settings, pins(lake))
    # Not `to_df`: it copies the frame once more, which takes a quarter of the whole.
    found = store.get_historical_features(entities, features=services[service]).to_arrow()
    for view in services[service].feature_view_projections:
        for field in filter(is_day, view.features):
            days = found[field.name].cast(pa.int32()).cast(pa.date32()).cast(pa.timestamp("ns"))
            found = found.set_column(found.schema.get_field_index(field.name), field.name, days)
    frame: pd.DataFrame = found.to_pandas()
    frame[WHEN] = frame[WHEN].dt.tz_localize(None)
    return frame


def product_moments(lake: Lake, moments: Sequence[datetime], active_weeks: int) -> pd.DataFrame:
    """One row per moment, store and product with a sale in the `active_weeks` before it: store, product_code, event_timestamp; sorted so."""
    import numpy as np
    import pandas as pd

    store = open_store(lake.settings, pins(lake))
    first = _first(lake, "features.product_sales", PRODUCT)
    ordered, some = sorted(set(moments)), max(1, AT_ONCE // max(1, len(first)))
    found: list[pd.DataFrame] = []
    for begin in range(0, len(ordered), some):
        pairs = _pairs(first, ordered[begin : begin + some])
        if pairs.empty:
            continue
        known = store.get_historical_features(pairs, features=["product_sales:last_sold"]).to_df()
        known[WHEN] = known[WHEN].dt.tz_localize(None)
        day = (known[WHEN].to_numpy() - np.datetime64(0, "s")) / np.timedelta64(1, "D")
        active = known["last_sold"].to_numpy(dtype="float64") >= day - 7 * active_weeks
        found.append(known.loc[active, [*PRODUCT, WHEN]])
    return pd.concat(found or [_pairs(first, [])], ignore_index=True)


def customers_at(lake: Lake, *moments: datetime) -> pd.DataFrame:
    """One row per moment and customer known by then: customer_key, event_timestamp; sorted so."""
    return _pairs(_first(lake, "features.customer_history", CUSTOMER), sorted(set(moments)))


def _first(lake: Lake, name: str, entity: list[str]) -> pd.DataFrame:
    """One row per entity, sorted: its columns and `first`, the moment of its first row."""
    import pandas as pd
    from pyspark.sql import functions as F

    found: pd.DataFrame = lake.read(name).groupBy(*entity).agg(F.min("moment").alias("first")).orderBy(*entity).toArrow().to_pandas()
    found["first"] = pd.to_datetime(found["first"], utc=True).dt.tz_localize(None)
    return found


def _pairs(first: pd.DataFrame, moments: Sequence[datetime]) -> pd.DataFrame:
    """Each moment with every entity that had a row by then."""
    import pandas as pd

    when = pd.DataFrame({WHEN: pd.to_datetime(list(moments))})
    pairs = when.merge(first, how="cross")
    by_then: pd.DataFrame = pairs.loc[pairs["first"] <= pairs[WHEN]].reset_index(drop=True)
    return by_then[[*first.columns.drop("first"), WHEN]]
