"""The example that the contract of features is told by: five lines of one product, landed between weekly runs."""

from __future__ import annotations

from tests.featured import FeaturedShop
from tests.shop import Line


def line(day: str, units: int) -> Line:
    return Line("P", f"{day}T11:30:00", quantity=str(units))


def example(shop: FeaturedShop) -> None:
    """Its last run is as of the second of February."""
    shop.land_now(line("2026-01-01", 10), line("2026-01-06", 4))
    shop.publish("2026-01-10")
    shop.land_now(line("2026-01-10", 3))
    shop.publish("2026-01-13")
    shop.land_now(line("2026-01-08", 5))
    shop.land_now(line("2026-01-15", 2))
    shop.publish("2026-01-20")
    shop.publish("2026-02-03")
