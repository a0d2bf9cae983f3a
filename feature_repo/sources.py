"""Where feature rows lie: Delta tables, by their path within a home.

A row's moment is its event time and its created time: it holds lines sold and known before it, and is never rewritten. Feast refuses one
column for both, and takes no created time for the same thing.
"""

from __future__ import annotations

from feast import FileSource
from feast.data_format import DeltaFormat

product_sales = FileSource(
    name="features.product_sales",
    path="tables/features/product_sales",
    file_format=DeltaFormat(),
    timestamp_field="moment",
)
customer_history = FileSource(
    name="features.customer_history",
    path="tables/features/customer_history",
    file_format=DeltaFormat(),
    timestamp_field="moment",
)
