"""Weekly totals whose weeks begin on a Sunday: nobody knows them before their Saturday, and they count in the Monday's step that it lies in."""

from __future__ import annotations

from datetime import datetime

import pytest

from lakehouse.features import labels
from lakehouse.tables import Lake, StageLake
from tests.featured import PRODUCTS, FeaturedShop, opened, refined
from tests.shop import Line

WEEKS = {"2010-12-26": "1", "2011-01-02": "10", "2011-01-09": "100", "2011-01-16": "1000"}  # by their Sundays
MONDAYS = ["2011-01-03", "2011-01-10", "2011-01-17", "2011-01-24"]  # the first on which each is known


def total(sunday: str, units: str) -> Line:
    return Line("A", f"{sunday}T00:00:00", quantity=units, customer=None, invoice=None, covers="week", known_at=f"{sunday}T00:00:00")


@pytest.mark.slow
@pytest.mark.soak_on_jvm
def test_a_weekly_total_counts_from_the_monday_after_its_last_day_on(lake: Lake) -> None:
    shop, at_once = FeaturedShop(lake), opened(lake, "at-once")
    for (sunday, units), monday in zip(WEEKS.items(), MONDAYS, strict=True):
        shop.land(total(sunday, units))
        refined(lake, monday)
    at_once.land(*(total(sunday, units) for sunday, units in WEEKS.items()))
    refined(at_once.lake, MONDAYS[-1])

    columns = ("moment", "units_1w", "units_4w", "last_sold")
    rows = sorted(lake.read(PRODUCTS).select(*columns).toArrow().to_pylist(), key=lambda row: row["moment"])
    assert [(f"{row['moment']:%Y-%m-%d}", int(row["units_1w"]), int(row["units_4w"])) for row in rows] == [
        ("2011-01-03", 1, 1),
        ("2011-01-10", 10, 11),
        ("2011-01-17", 100, 111),
        ("2011-01-24", 1000, 1111),
    ]
    assert at_once.lake.digest(PRODUCTS).digest == lake.digest(PRODUCTS).digest
    moments = [datetime.fromisoformat(monday) for monday in MONDAYS]
    with shop.run("2011-01-24") as run, StageLake(lake.settings, "features", run.id) as stage:
        found = labels.net_units(labels._window(stage, moments, 7), moments, moments[-1], 1).toArrow().to_pylist()
    assert {f"{row['event_timestamp']:%Y-%m-%d}": row["y_1"] for row in found} == {
        "2011-01-03": 10.0,
        "2011-01-10": 100.0,
        "2011-01-17": 1000.0,
    }
