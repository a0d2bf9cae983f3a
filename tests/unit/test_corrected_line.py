"""What follows from what somebody says anew of a line: the amount, where prices are what the files tell, else the price."""

from __future__ import annotations

import pytest

from lakehouse.ingest import sources
from lakehouse.quality.corrected_line import _computed


@pytest.mark.parametrize(
    ("source", "said", "computed"),
    [
        ("canonical", {"quantity"}, {"amount"}),
        ("canonical", {"unit_price"}, {"amount"}),
        ("canonical", {"amount"}, {"unit_price"}),
        ("canonical", {"amount", "unit_price"}, set()),
        ("canonical", {"description"}, set()),
        ("complete-journey", {"quantity"}, {"unit_price"}),
        ("complete-journey", {"quantity", "unit_price"}, {"amount"}),
    ],
)
def test_the_money_of_a_line_follows_from_what_is_said(source: str, said: set[str], computed: set[str]) -> None:
    assert _computed(sources.find(source, "local"), dict.fromkeys(said, "1")) == computed
