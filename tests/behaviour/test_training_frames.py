"""What the models are trained on, before a moment, is the same whatever is sold from that moment on.

Features and labels one by one are proven by `tests/scenarios/test_features_*`. Here it is the whole frames: which entities are in them, what
is joined to what, and which label windows count as closed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lakehouse.models import demand_frame, recommendations_frame
from lakehouse.tables import Lake
from tests.featured import FeaturedShop, prepared
from tests.shop import Line

FIRST = datetime(2024, 1, 1)  # a Monday
WEEKS = 28  # the newest moment is that many weeks later
LAST = FIRST + timedelta(weeks=WEEKS)
HORIZON = timedelta(weeks=4)  # of the demand labels, and of the label windows of the recommendations
# Each example is a lake of its own, so there are few, and none is shrunk.
FEW = settings(max_examples=4, deadline=None, phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Frames:
    demand: pd.DataFrame
    purchases: pd.DataFrame


def base_lines() -> list[Line]:
    """Two products sold every week, one every third week and one from the tenth week on, to three customers in turn."""
    lines = []
    for week in range(WEEKS):
        for number, product in enumerate("ABCD"):
            if (product == "C" and week % 3) or (product == "D" and week < 10):
                continue
            sold = FIRST + timedelta(weeks=week, days=number, hours=11)
            customer = f"c{(week + number) % 3}"
            lines.append(
                Line(product, sold.isoformat(), quantity=str(1 + (week + number) % 4), customer=customer, invoice=f"{week}{number}")
            )
    return lines


def frames(lake: Lake) -> Frames:
    return Frames(demand_frame.training_frame(lake), recommendations_frame.training_frame(lake).rows)


def told(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Rows in an order of their own, with None for what is missing, so that they can be compared."""
    entity = [name for name in ("store", "product_code", "customer_key") if name in frame.columns]
    ordered = frame.sort_values(["event_timestamp", *entity], ignore_index=True).astype(object)
    return [
        {
            str(name): list(value) if hasattr(value, "tolist") else None if value is pd.NaT or value != value else value
            for name, value in row.items()
        }
        for row in ordered.to_dict("records")
    ]


def before(frame: pd.DataFrame, moment: datetime, without: tuple[str, ...] = ()) -> list[dict[str, object]]:
    """The rows up to the moment itself, whose features may know nothing of it or later."""
    return told(frame[frame["event_timestamp"] <= pd.Timestamp(moment)].drop(columns=list(without)))


def base(shop: FeaturedShop) -> None:
    shop.land(*base_lines())
    shop.publish(f"{LAST:%Y-%m-%d}")


@pytest.fixture
def shop(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> FeaturedShop:
    """The shop of the base lines, published as of LAST."""
    return prepared(lake, tmp_path_factory, base)


@pytest.fixture
def published(lake: Lake, tmp_path: Path) -> Iterator[Callable[[list[Line]], FeaturedShop]]:
    """A shop in a home of its own in which these lines were landed and published as of LAST."""
    opened: list[FeaturedShop] = []
    empty = Path(shutil.copytree(lake.home, tmp_path / "empty"))

    def open_one(lines: list[Line]) -> FeaturedShop:
        home = Path(shutil.copytree(empty, tmp_path / f"shop{len(opened)}"))
        shop = FeaturedShop(Lake(lake.settings.model_copy(update={"home": home}), endpoint=lake.endpoint))
        opened.append(shop)
        shop.land(*lines)
        shop.publish(f"{LAST:%Y-%m-%d}")
        return shop

    yield open_one
    for shop in opened:
        shop.lake.close()


added = st.lists(
    st.builds(
        Line,
        product=st.sampled_from(["A", "C"]),
        sold_at=st.just(""),
        quantity=st.integers(1, 500).map(str),
        customer=st.sampled_from(["c0", None]),
        invoice=st.just("later"),
    ),
    min_size=1,
    max_size=3,
)
delays = st.lists(st.integers(0, 40 * 24), min_size=3, max_size=3)


def test_the_frames_hold_closed_windows_and_every_kind_of_row(shop: FeaturedShop) -> None:
    found = frames(shop.lake)
    assert found.demand["event_timestamp"].max() == pd.Timestamp(LAST - HORIZON)
    assert set(found.demand["product_code"]) == set("ABCD")
    assert found.purchases["event_timestamp"].nunique() == 6
    assert {type(value) for value in found.purchases["bought"]} == {list, type(None)}


@pytest.mark.slow
def test_sales_at_a_moment_or_later_change_no_row_of_a_training_frame_before_it(
    published: Callable[[list[Line]], FeaturedShop], shop: FeaturedShop
) -> None:
    plain = frames(shop.lake)

    @FEW
    @given(week=st.integers(8, WEEKS - 1), lines=added, hours=delays)
    def always(week: int, lines: list[Line], hours: list[int]) -> None:
        moment = FIRST + timedelta(weeks=week)
        more = [replace(line, sold_at=(moment + timedelta(hours=later)).isoformat()) for line, later in zip(lines, hours, strict=False)]
        more.append(Line("Z", moment.isoformat(), customer="c9", invoice="newcomers"))  # at the very moment, and never seen before
        moved = [
            replace(line, sold_at=(datetime.fromisoformat(line.sold_at) + timedelta(days=2)).isoformat())
            if datetime.fromisoformat(line.sold_at) >= moment
            else line
            for line in base_lines()
        ]
        other = frames(published([*moved, *more]).lake)
        labels = tuple(f"y_{number}" for number in range(1, 5))
        # Features and entities of every moment up to it; with labels where their windows had closed by then.
        assert before(other.demand, moment, labels) == before(plain.demand, moment, labels)
        assert before(other.demand, moment - HORIZON) == before(plain.demand, moment - HORIZON)
        assert before(other.purchases, moment, ("bought",)) == before(plain.purchases, moment, ("bought",))
        assert before(other.purchases, moment - HORIZON) == before(plain.purchases, moment - HORIZON)
        assert told(other.demand) != told(plain.demand) or moment >= LAST - HORIZON

    always()


def test_a_sale_that_was_landed_late_changes_no_row_before_the_moment_that_knew_it(shop: FeaturedShop) -> None:
    plain = frames(shop.lake)
    shop.land_now(Line("A", (FIRST + timedelta(weeks=20, hours=9)).isoformat(), quantity="70", customer="c0", invoice="late"))
    shop.publish(f"{LAST:%Y-%m-%d}")
    # As of the same day nobody knew of it.
    assert told(frames(shop.lake).demand) == told(plain.demand)
    assert told(frames(shop.lake).purchases) == told(plain.purchases)
    shop.publish(f"{LAST + timedelta(weeks=1):%Y-%m-%d}")
    later = frames(shop.lake)
    labels = tuple(f"y_{number}" for number in range(1, 5))
    assert before(later.demand, LAST - HORIZON, labels) == before(plain.demand, LAST - HORIZON, labels)
    assert told(later.demand) != told(plain.demand)
