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

    store = open_store(lake.settings, pins(lake))
    pairs = _pairs(lake, "features.product_sales", PRODUCT, moments)
    known = store.get_historical_features(pairs, features=["product_sales:last_sold"]).to_df()
    known[WHEN] = known[WHEN].dt.tz_localize(None)
    day = (known[WHEN].to_numpy() - np.datetime64(0, "s")) / np.timedelta64(1, "D")
    active = known["last_sold"].to_numpy(dtype="float64") >= day - 7 * active_weeks
    return known.loc[active, [*PRODUCT, WHEN]].reset_index(drop=True)


def customers_at(lake: Lake, *moments: datetime) -> pd.DataFrame:
    """One row per moment and customer known by then: customer_key, event_timestamp; sorted so."""
    return _pairs(lake, "features.customer_history", CUSTOMER, moments)


def _pairs(lake: Lake, name: str, entity: list[str], moments: Sequence[datetime]) -> pd.DataFrame:
    """Each moment with every entity that had a row by then."""
    import pandas as pd
    from pyspark.sql import functions as F

    first = lake.read(name).groupBy(*entity).agg(F.min("moment").alias("first")).orderBy(*entity).toArrow().to_pandas()
    first["first"] = pd.to_datetime(first["first"], utc=True).dt.tz_localize(None)
    when = pd.DataFrame({WHEN: pd.to_datetime(sorted(set(moments)))})
    pairs = when.merge(first, how="cross")
    return pairs.loc[pairs["first"] <= pairs[WHEN], [*entity, WHEN]].reset_index(drop=True)
