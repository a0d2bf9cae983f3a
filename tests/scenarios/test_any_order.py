"""Always: the same lines, in any order, split into any files, some twice and some late, give the same silver and gold.

Copies that are the same line by `line_identity` and say something else are not the same lines: the one known first stays, so they depend on
which of them a published moment came between (DECISIONS 6), and on nothing else.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.ingest import load
from lakehouse.tables import Lake
from tests.canonical import HEADER
from tests.featured import FeaturedShop, opened
from tests.shop import Line, Shop
from tests.soak import ALWAYS, ENGINES, times

END = "2011-03-14"
DAYS = ("2011-01-05", "2011-02-02", END)  # before some were sold, and after
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

# Copies of a few lines, of which each says what it likes.
claimed = st.builds(
    lambda identity, product, day, quantity, price, customer, description, country: Line(
        product,
        f"2011-{1 + day // 28:02d}-{1 + day % 28:02d}T10:00:00",
        quantity=str(quantity),
        price=price,
        customer=customer,
        description=description,
        country=country,
        identity=f"line {identity}",
    ),
    identity=st.integers(1, 12),
    product=st.sampled_from(["A", "A", "A", "B"]),
    day=st.sampled_from([5, 5, 5, 25, 45]),
    quantity=st.sampled_from([1, 1, 1, 2]),
    price=st.sampled_from(["2.50", "2.50", "2.50", "3.00"]),
    customer=st.sampled_from([None, None, "c1", "c1", "c2"]),
    description=st.sampled_from(["RED CUP", "RED CUP", "RED CUP", None]),
    country=st.sampled_from(["France", "France", "France", "Spain"]),
)


@dataclass(frozen=True)
class Landing:
    """The lines in files, in the order in which they land; after the files whose places are in `runs` a run is made, as of that day."""

    files: tuple[tuple[Line, ...], ...]
    runs: Mapping[int, str]


Drawn = tuple[list[Line], Landing]


@st.composite
def landings(draw: st.DrawFn, kind: st.SearchStrategy[Line], days: Sequence[str] = (END,), fewest_runs: int = 1) -> Drawn:
    """Lines of a kind, 30 to 80, and a way to land them and some of them again."""
    lines = draw(st.lists(kind, min_size=30, max_size=80))
    again = draw(st.lists(st.sampled_from(lines), max_size=8))
    order = draw(st.permutations([*lines, *again]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order) - 1), min_size=1, max_size=3)))
    files = tuple(tuple(order[a:b]) for a, b in itertools.pairwise([0, *cuts, len(order)]))
    places = sorted(draw(st.sets(st.integers(0, len(files) - 2), min_size=fewest_runs, max_size=2)))
    as_of = sorted(draw(st.lists(st.sampled_from(days), min_size=len(places), max_size=len(places))))
    return lines, Landing(files, dict(zip(places, as_of, strict=True)))


def contents(lake: Lake) -> dict[str, tuple[int, str]]:
    names = [name for name, table in lake.catalog.items() if table.layer in ("silver", "gold")]
    return {name: (found.rows, found.digest) for name in names for found in [lake.digest(name)]}


@contextmanager
def two(lake: Lake) -> Iterator[tuple[FeaturedShop, FeaturedShop]]:
    """A shop whose lines land at once, and one where they land piece by piece."""
    number = next(NAMES)
    shops = opened(lake, f"at-once-{number}"), opened(lake, f"piecemeal-{number}")
    try:
        yield shops
    finally:
        for shop in shops:
            shop.lake.close()


def moment(shop: Shop) -> str | None:
    published = shop.lake.snapshot()
    return None if published is None else published.moment.isoformat()


def _any_order(lake: Lake, drawn: Drawn) -> None:
    lines, landing = drawn
    with two(lake) as (at_once, piecemeal):
        at_once.land(*lines)
        at_once.refine(END)
        for place, file in enumerate(landing.files):
            piecemeal.land(*file, moment=moment(piecemeal))
            if place in landing.runs:
                # As of the end, so that what lands after it is late.
                piecemeal.refine(landing.runs[place])
        piecemeal.refine(END)
        assert contents(piecemeal.lake) == contents(at_once.lake)


def _as_known(lake: Lake, drawn: Drawn) -> None:
    """Where no run is made in between, all are known from when they were sold on, and the order is nothing to anybody."""
    _, landing = drawn
    with two(lake) as (at_once, piecemeal):
        landed: list[Line] = []
        for place, file in enumerate(landing.files):
            since = moment(piecemeal)
            known = [replace(line, known_at=max(line.sold_at, since or line.sold_at)) for line in file]
            piecemeal.land(*known)
            landed.extend(known)
            if place in landing.runs:
                piecemeal.refine(landing.runs[place])
        piecemeal.refine(END)
        at_once.land(*landed)
        at_once.refine(END)
        assert contents(piecemeal.lake) == contents(at_once.lake)
        assert known_since(piecemeal.lake) == known_since(at_once.lake)


def known_since(lake: Lake) -> dict[str, datetime]:
    found = lake.read("silver.sales").select("line_id", "_known_at").toArrow().to_pylist()
    return {row["line_id"]: row["_known_at"] for row in found}


def _any_files(lake: Lake, drawn: Drawn) -> None:
    lines, landing = drawn
    with two(lake) as (at_once, piecemeal):
        load(at_once.lake, written(at_once, lines), "canonical")
        at_once.refine(END)
        for place, file in enumerate(landing.files):
            load(piecemeal.lake, written(piecemeal, file, turned=place), "canonical")
            if place in landing.runs:
                piecemeal.refine(landing.runs[place])
        # The first file once more, as it was and with its columns in another order.
        (same,) = load(piecemeal.lake, written(piecemeal, landing.files[0]), "canonical")
        (other,) = load(piecemeal.lake, written(piecemeal, landing.files[0], turned=-1), "canonical")
        assert (same.already, other.already) == (True, False)
        piecemeal.refine(END)
        assert contents(piecemeal.lake) == contents(at_once.lake)


def written(shop: Shop, lines: Sequence[Line], turned: int = 0) -> Path:
    """A file of the layout `canonical`, its columns turned around by so many."""
    columns = HEADER.split(",")
    columns = columns[turned:] + columns[:turned]
    path = shop.lake.home.with_name(f"{shop.lake.home.name}-sales.csv")
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows(
            {
                "invoice": line.invoice,
                "product_code": line.product,
                "description": line.description,
                "quantity": line.quantity,
                "sold_at": line.sold_at,
                "unit_price": line.price,
                "customer": line.customer and line.customer.replace("c", "1000000000000"),
                "country": line.country,
            }
            for line in lines
        )
    return path


def tried(always: Callable[[Lake, Drawn], None], lake: Lake, drawn: st.SearchStrategy[Drawn], engine_name: str, few: int) -> None:
    @settings(ALWAYS, max_examples=times(few, engine_name))
    @given(drawn=drawn)
    def one(drawn: Drawn) -> None:
        always(lake, drawn)

    one()


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    """On Spark an example takes a minute: test_silver.py has one there, and a tenth of them run in `make soak`."""
    return str(request.param)


def test_any_order_and_any_split_of_the_same_lines_give_the_same_silver_and_gold(lake: Lake, engine_name: str) -> None:
    tried(_any_order, lake, landings(sold), engine_name, few=4)


@pytest.mark.slow
def test_the_same_lines_by_the_door_in_any_files_give_the_same_silver_and_gold(lake: Lake, engine_name: str) -> None:
    tried(_any_files, lake, landings(sold, DAYS), engine_name, few=2)


@pytest.mark.slow
def test_what_becomes_of_copies_that_differ_depends_on_when_each_was_known_and_on_nothing_else(lake: Lake, engine_name: str) -> None:
    tried(_as_known, lake, landings(claimed, DAYS, fewest_runs=0), engine_name, few=3)
