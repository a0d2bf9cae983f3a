"""Windows and spans: which lines a run has to read, said in days."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.features import customer_history, product_sales
from lakehouse.features.build import _months
from lakehouse.features.windows import EPOCH, Span, Window, day_number, moment_of, sold_ranges
from lakehouse.tables import catalog
from lakehouse.tables.moments import Every, grid, next_moment

grids = st.sampled_from(["week", "day"])
offsets = st.integers(1, 60)
windows = st.lists(
    st.tuples(st.one_of(st.none(), offsets), st.integers(0, 59)).map(
        lambda pair: Window("w", "m", None if pair[0] is None else 7 * (pair[0] + pair[1]), 7 * pair[1])
    ),
    min_size=1,
    max_size=4,
)


@given(windows, st.integers(0, 40), st.integers(1, 12), grids, st.integers(0, 150))
def test_the_days_to_read_are_those_whose_lines_enter_or_leave_a_window_at_a_moment_of_the_span(
    chosen: list[Window], start: int, steps: int, every: Every, back: int
) -> None:
    after = datetime(2011, 1, 3) + timedelta(weeks=start)
    until = after + steps * timedelta(days=7 if every == "week" else 1)
    sold = after - timedelta(days=7 * back)
    first = next_moment(sold, every)
    moments = grid(after, until, every)
    crosses = any(first + timedelta(days=edge) in moments for window in chosen for edge in (window.near, window.far) if edge)
    read = any(low <= day_number(sold) < high for low, high in sold_ranges(chosen, Span(after, until, every)))
    assert read == crosses


@given(windows, st.integers(1, 300))
def test_the_ranges_are_in_order_and_apart(chosen: list[Window], days: int) -> None:
    after = datetime(2011, 1, 3)
    found = sold_ranges(chosen, Span(after, after + timedelta(days=days), "day"))
    assert all(low < high for low, high in found)
    assert all(earlier[1] < later[0] for earlier, later in pairwise(found))


def test_a_span_without_a_beginning_has_no_ranges() -> None:
    with pytest.raises(ValueError, match="reads every line"):
        sold_ranges([Window("w", "m", 7)], Span(None, datetime(2011, 1, 3), "week"))


@given(st.integers(0, 40_000), st.integers(1, 900))
def test_the_months_of_some_days_are_those_of_each_day(low: int, days: int) -> None:
    assert _months(low, low + days) == {f"{EPOCH + timedelta(days=day):%Y-%m}" for day in range(low, low + days)}


@given(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)))
def test_a_days_number_gives_its_midnight_back(when: datetime) -> None:
    assert moment_of(day_number(when)) == datetime.combine(when.date(), datetime.min.time())


@pytest.mark.parametrize("module", [product_sales, customer_history])
def test_every_window_covers_whole_weeks_and_is_a_column_of_its_table(module: object) -> None:
    table, found = module.TABLE, module.WINDOWS  # type: ignore[attr-defined]
    assert all(edge % 7 == 0 for window in found for edge in window.edges)
    assert {window.name for window in found} <= set(catalog.table(table.name).column_names)


def test_a_span_that_ends_where_it_begins_is_empty() -> None:
    monday = datetime(2011, 1, 3)
    assert Span(monday, monday, "week").is_empty
    assert not Span(None, monday, "week").is_empty
    assert not Span(monday, monday + timedelta(weeks=1), "week").is_empty
