"""Digests find any change of a value, and nothing else."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame

from lakehouse.tables import Lake, catalog, digests

TABLE = catalog.table("gold.products")
ROW: dict[str, object] = {
    "product_code": "A",
    "name": None,
    "names": 1,
    "first_sold": date(2011, 1, 3),
    "last_sold": date(2011, 1, 4),
    "units": Decimal("3.000"),
    "revenue": Decimal("7.5000"),
    "lines": 2,
    "price": Decimal("2.500000"),
    "return_share": None,
    "_run": "first",
}


def frame(lake: Lake, *rows: dict[str, object]) -> DataFrame:
    schema = ", ".join(f"`{column.name}` {column.type}" for column in TABLE.columns)
    return lake.spark.createDataFrame([tuple(row[column.name] for column in TABLE.columns) for row in rows], schema)


def digest(lake: Lake, *rows: dict[str, object], full: bool = False) -> str:
    return digests.digest(frame(lake, *rows), TABLE, 0, full).digest


def other(value: object) -> object:
    """A value of the same type that differs in the least way."""
    if value is None:
        return None
    if isinstance(value, str):
        return value + " "
    if isinstance(value, int):
        return value + 1
    if isinstance(value, Decimal):
        return value + Decimal(1).scaleb(value.as_tuple().exponent)  # type: ignore[arg-type]
    assert isinstance(value, date | datetime)
    return date.fromordinal(value.toordinal() + 1)


@pytest.mark.parametrize("column", [name for name, value in ROW.items() if value is not None and name != "_run"])
def test_a_change_of_one_value_is_seen(lake: Lake, column: str) -> None:
    assert digest(lake, ROW | {column: other(ROW[column])}) != digest(lake, ROW)


def test_a_value_that_moves_beside_a_null_is_seen(lake: Lake) -> None:
    left, right = ROW | {"price": Decimal("1"), "return_share": None}, ROW | {"price": None, "return_share": Decimal("1")}
    assert digest(lake, left) != digest(lake, right)


def test_a_row_that_is_there_twice_or_missing_is_seen(lake: Lake) -> None:
    second = ROW | {"product_code": "B"}
    found = {digest(lake), digest(lake, ROW), digest(lake, ROW, ROW), digest(lake, ROW, second), digest(lake, ROW, ROW, second, second)}
    assert len(found) == 5


def test_bookkeeping_is_in_the_full_digest_alone(lake: Lake) -> None:
    again = ROW | {"_run": "second"}
    assert digest(lake, again) == digest(lake, ROW)
    assert digest(lake, again, full=True) != digest(lake, ROW, full=True)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(["A", "B", "C", "D"]))
def test_the_order_of_rows_is_not(lake: Lake, order: list[str]) -> None:
    rows = [ROW | {"product_code": code} for code in order]
    assert digest(lake, *rows) == digest(lake, *(ROW | {"product_code": code} for code in "ABCD"))
