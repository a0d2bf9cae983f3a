"""Feast declarations: what the feature tables hold, about whom, and which features each model is given. Nothing here computes or reads.

A home's store is made from them by `lakehouse.features.store.open_store`.
"""

from __future__ import annotations

import feature_repo._feast  # noqa: F401
from feature_repo.entities import customer, product, store
from feature_repo.services import demand_v1, recommendations_v1, segments_v1
from feature_repo.views import customer_history, product_sales

PROJECT = "zeromargin"
ENTITIES = (store, product, customer)
VIEWS = (product_sales, customer_history)
SERVICES = (demand_v1, segments_v1, recommendations_v1)
