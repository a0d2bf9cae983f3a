"""What each model is given. A model names its service; another set of features is another service, with a number of its own."""

from __future__ import annotations

from feast import FeatureService

from feature_repo.views import customer_history, product_sales

RECENT = ["recent_products", "recent_times", "recent_last"]

demand_v1 = FeatureService(name="demand_v1", features=[product_sales], description="units per week, ahead")
segments_v1 = FeatureService(
    name="segments_v1",
    features=[customer_history[[field.name for field in customer_history.features if field.name not in RECENT]]],
    description="customers by what they spend, how often and how long",
)
recommendations_v1 = FeatureService(
    name="recommendations_v1",
    features=[customer_history],
    description="what a customer may buy next",
)
