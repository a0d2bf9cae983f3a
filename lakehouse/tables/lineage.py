"""Which table is made of which: what an auditor follows from a line that landed to an answer that was given."""

from __future__ import annotations

from types import MappingProxyType

from lakehouse.tables.catalog import BRONZE

# Bronze is made of files, and of what the service answered.
MADE_OF = MappingProxyType(
    {
        "silver.sales": (BRONZE,),
        "silver.cancellations": ("silver.sales",),
        "quarantine.sales": (BRONZE,),
        "gold.daily_sales": ("silver.sales",),
        "gold.customer_days": ("silver.sales",),
        "gold.baskets": ("silver.sales",),
        "gold.products": ("gold.daily_sales", "silver.sales"),
        "gold.customers": ("gold.customer_days", "silver.sales"),
        "gold.stores": ("gold.daily_sales",),
        "features.product_sales": ("silver.sales",),
        "features.customer_history": ("silver.sales",),
        "predictions.forecasts": ("features.product_sales",),
        "predictions.segments": ("features.customer_history",),
        "predictions.recommendations": ("features.customer_history",),
    }
)


def behind(name: str) -> tuple[str, ...]:
    """Every table that a table is made of, over however many others, the nearest first."""
    found = dict.fromkeys(MADE_OF.get(name, ()))
    for one in tuple(found):
        found |= dict.fromkeys(behind(one))
    return tuple(found)


def is_made_of(name: str, other: str) -> bool:
    """Whether a table is another one, or is made of it."""
    return name == other or other in behind(name)
