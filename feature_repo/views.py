"""Features by view. Values hold until the entity's next row, however long that takes: hence no time to live.

Amounts and quantities are decimals in the tables and doubles here. Days are counted from 1970-01-01 and tagged so.
"""

from __future__ import annotations

from feast import FeatureView, Field
from feast.types import Array, Float64, Int64, String

from feature_repo.entities import customer, product, store
from feature_repo.sources import customer_history as customer_source
from feature_repo.sources import product_sales as product_source

UNIT = "unit"
DAY = "days since 1970-01-01"


def day(name: str) -> Field:
    return Field(name=name, dtype=Int64, tags={UNIT: DAY})


product_sales = FeatureView(
    name="product_sales",
    entities=[store, product],
    ttl=None,
    source=product_source,
    schema=[
        Field(name="store", dtype=String),
        Field(name="product_code", dtype=String),
        *(Field(name=f"units_{weeks}w", dtype=Float64) for weeks in (1, 2, 3, 4, 6, 8, 13, 26, 52)),
        *(Field(name=f"units_year_ago_{week}", dtype=Float64) for week in (1, 2, 3, 4)),
        Field(name="units_year_ago_13w", dtype=Float64),
        *(Field(name=f"revenue_{weeks}w", dtype=Float64) for weeks in (4, 13, 52)),
        *(Field(name=f"lines_{weeks}w", dtype=Int64) for weeks in (4, 13, 52)),
        day("first_sold"),
        day("last_sold"),
    ],
)

customer_history = FeatureView(
    name="customer_history",
    entities=[customer],
    ttl=None,
    source=customer_source,
    schema=[
        Field(name="customer_key", dtype=String),
        *(Field(name=f"spend_{weeks}w", dtype=Float64) for weeks in (4, 13, 52)),
        Field(name="units_52w", dtype=Float64),
        Field(name="units_returned_52w", dtype=Float64),
        Field(name="lines_52w", dtype=Int64),
        Field(name="days_13w", dtype=Int64),
        Field(name="days_52w", dtype=Int64),
        Field(name="products_ever", dtype=Int64),
        day("first_bought"),
        day("last_bought"),
        Field(name="recent_products", dtype=Array(String)),
        Field(name="recent_times", dtype=Array(Int64)),
        Field(name="recent_last", dtype=Array(Int64), tags={UNIT: DAY}),
    ],
)
