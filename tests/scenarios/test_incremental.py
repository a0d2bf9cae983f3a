"""Always: what was made week by week, late lines included, is what is made anew from bronze."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.tables import Lake
from tests.featured import derived, opened, refined
from tests.scenarios.test_any_order import claimed, sold
from tests.shop import Line
from tests.soak import ALWAYS, ENGINES, times

FIRST = datetime(2011, 1, 10)  # a Monday
NAMES = itertools.count()


@dataclass(frozen=True)
class Week:
    """What lands before a run, and the day that the run is told. Lines of long ago are late, some are of days that are to come, and some are copies
    that say otherwise."""

    lines: tuple[Line, ...]
    as_of: str


@st.composite
def weeks(draw: st.DrawFn) -> list[Week]:
    """Two to four runs over up to half a year, which lines enter and leave windows in; now and then nothing has landed before one."""
    days = sorted(draw(st.sets(st.integers(0, 180), min_size=2, max_size=4)))
    return [
        Week(
            tuple(draw(st.lists(st.one_of(sold, claimed), min_size=15 if number == 0 else 0, max_size=25))),
            f"{FIRST + timedelta(days=day):%Y-%m-%d}",
        )
        for number, day in enumerate(days)
    ]


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    """On Spark an example takes a minute: test_features_example.py has one there, and a tenth of these run in `make soak`."""
    return str(request.param)


def test_week_by_week_with_late_lines_gives_what_is_made_anew_from_bronze(lake: Lake, engine_name: str) -> None:
    @settings(ALWAYS, max_examples=times(2, engine_name))
    @given(drawn=weeks())
    def always(drawn: list[Week]) -> None:
        shop = opened(lake, f"weekly-{next(NAMES)}")
        try:
            for week in drawn:
                if week.lines:
                    shop.land_now(*week.lines)
                refined(shop.lake, week.as_of)
            weekly = derived(shop.lake)
            refined(shop.lake, drawn[-1].as_of, from_bronze=True)
            assert derived(shop.lake) == weekly
        finally:
            shop.lake.close()

    always()
