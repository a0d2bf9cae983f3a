"""Always: the same lines, in any order, split into any files, some twice and some late, give the same silver and gold."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lakehouse.tables import Lake
from tests.featured import opened
from tests.shop import Line
from tests.soak import TIMES, times

END = "2011-03-14"
FEWER_ON_SPARK = 10  # where an example takes a minute
ALWAYS = settings(
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
    derandomize=not TIMES,
)
NAMES = itertools.count()

# Few values, so that lines meet: on a day, in a basket, as copies, as a sale and what is given back of it.
sold = st.builds(
    lambda product, day, hour, quantity, price, invoice, description: Line(
        product,
        f"2011-{1 + day // 28:02d}-{1 + day % 28:02d}T{hour:02d}:00:00",
        quantity=str(quantity),
        price=price,
        invoice=f"C{invoice}" if quantity < 0 else str(invoice),
        description=description,
        # A copy names the customer that the receipt is of.
        customer=None if invoice % 5 == 0 else f"c{invoice % 3}",
        country=("France", "Spain")[invoice % 2],
    ),
    product=st.sampled_from(["A", "A", "B", "d1", "POST"]),
    day=st.integers(0, 55),
    hour=st.integers(8, 11),
    quantity=st.sampled_from([1, 2, 3, 12, -1, -2, -3]),
    price=st.sampled_from(["2.50", "2.50", "2.50", "3.00", "0"]),
    invoice=st.integers(1, 20),
    description=st.sampled_from(["RED CUP", "red  cup", "BLUE CUP", None]),
)


@dataclass(frozen=True)
class Landing:
    """The lines in files, in the order in which they land; after the files whose places are in `runs` a run is made."""

    files: tuple[tuple[Line, ...], ...]
    runs: frozenset[int]


@st.composite
def landings(draw: st.DrawFn) -> tuple[list[Line], Landing]:
    lines = draw(st.lists(sold, min_size=30, max_size=80))
    again = draw(st.lists(st.sampled_from(lines), max_size=8))
    order = draw(st.permutations([*lines, *again]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order) - 1), min_size=1, max_size=3)))
    files = tuple(tuple(order[a:b]) for a, b in itertools.pairwise([0, *cuts, len(order)]))
    runs = draw(st.frozensets(st.integers(0, len(files) - 2), min_size=1, max_size=2))
    return lines, Landing(files, runs)


def contents(lake: Lake) -> dict[str, tuple[int, str]]:
    names = [name for name, table in lake.catalog.items() if table.layer in ("silver", "gold")]
    return {name: (found.rows, found.digest) for name in names for found in [lake.digest(name)]}


def _any_order(lake: Lake, drawn: tuple[list[Line], Landing]) -> None:
    lines, landing = drawn
    number = next(NAMES)
    at_once, piecemeal = opened(lake, f"at-once-{number}"), opened(lake, f"piecemeal-{number}")
    try:
        at_once.land(*lines)
        at_once.refine(END)
        for place, file in enumerate(landing.files):
            published = piecemeal.lake.snapshot()
            piecemeal.land(*file, moment=None if published is None else published.moment.isoformat())
            if place in landing.runs:
                # As of the end, so that what lands after it is late.
                piecemeal.refine(END)
        piecemeal.refine(END)
        assert contents(piecemeal.lake) == contents(at_once.lake)
    finally:
        for shop in (at_once, piecemeal):
            shop.lake.close()


@pytest.fixture(params=["sail", "spark"] if TIMES else ["sail"])
def engine_name(request: pytest.FixtureRequest) -> str:
    """On Spark an example takes a minute: test_silver.py has one there, and a tenth of them run in `make soak`."""
    return str(request.param)


def test_any_order_and_any_split_of_the_same_lines_give_the_same_silver_and_gold(lake: Lake, engine_name: str) -> None:
    examples = times(4) if engine_name == "sail" else max(1, TIMES // FEWER_ON_SPARK)

    @settings(ALWAYS, max_examples=examples)
    @given(drawn=landings())
    def always(drawn: tuple[list[Line], Landing]) -> None:
        _any_order(lake, drawn)

    always()
