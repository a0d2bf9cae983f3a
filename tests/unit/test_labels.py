"""Labels: what happened after a moment, said by a naive reading of the same lines, and only once it can't change any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from lakehouse.engine import Endpoint, connect
from lakehouse.features import labels
from tests.oracle import Sold

FIRST = datetime(2011, 1, 3)  # a Monday
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
MOMENTS = [FIRST + number * WEEK for number in range(8)]
UNTIL = FIRST + 9 * WEEK

lines = st.builds(
    lambda kind, product, customer, sold, late, units: Sold(
        kind,
        "all",
        f"p{product}",
        None if customer is None else f"c{customer}",
        Decimal(-units if kind == "return" else units).scaleb(-3),
        Decimal(-units if kind == "return" else units).scaleb(-2),
        FIRST + sold * HOUR,
        FIRST + (sold + late) * HOUR,
    ),
    st.sampled_from(["sale", "sale", "return", "charge"]),
    st.integers(0, 2),
    st.sampled_from([0, 1, None]),
    st.one_of(st.integers(0, 11 * 168), st.integers(0, 11).map(lambda week: week * 168)),
    st.sampled_from([0, 0, 24, 500]),
    st.integers(0, 5_000),
)


@pytest.fixture
def spark(endpoint: Endpoint) -> Iterator[SparkSession]:
    session = connect(endpoint.url)
    yield session
    session.stop()


def silver(spark: SparkSession, sold: Sequence[Sold]) -> DataFrame:
    columns = {
        "kind": pa.array([line.kind for line in sold], pa.string()),
        "store": pa.array([line.store for line in sold], pa.string()),
        "product_code": pa.array([line.product for line in sold], pa.string()),
        "customer_key": pa.array([line.customer for line in sold], pa.string()),
        "quantity": pa.array([line.quantity for line in sold], pa.decimal128(18, 3)),
        "sold_at": pa.array([line.sold_at.replace(tzinfo=UTC) for line in sold], pa.timestamp("us", "UTC")),
        "_known_at": pa.array([line.known_at.replace(tzinfo=UTC) for line in sold], pa.timestamp("us", "UTC")),
    }
    return spark.createDataFrame(pa.table(columns))


def counted(sold: Sequence[Sold], after: datetime, days: int) -> list[Sold]:
    """Lines in the days from a moment on that are known by UNTIL."""
    known = [line for line in sold if line.kind != "charge" and max(line.sold_at, line.known_at) < UNTIL]
    return [line for line in known if after <= line.sold_at < after + days * DAY]


@given(st.lists(st.integers(0, 30), max_size=8), st.integers(0, 30), st.integers(1, 60))
def test_a_window_is_closed_when_nothing_sold_from_now_on_can_be_in_it(starts: list[int], until: int, days: int) -> None:
    moments, now = [FIRST + start * DAY for start in starts], FIRST + until * DAY
    found = labels.closed(moments, now, days)
    assert found == sorted({moment for moment in moments if not moment <= now < moment + days * DAY and moment < now})


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(lines, min_size=10, max_size=60))
def test_demand_is_the_net_units_of_each_week_and_never_below_nothing(spark: SparkSession, sold: list[Sold]) -> None:
    found = {
        (row["product_code"], row["event_timestamp"].replace(tzinfo=None)): [row[f"y_{week}"] for week in (1, 2, 3)]
        for row in labels.net_units(silver(spark, sold), MOMENTS[:6], UNTIL, 3).toArrow().to_pylist()
    }
    expected = {}
    for product in {line.product for line in sold}:
        for moment in MOMENTS[:6]:
            theirs = [line for line in sold if line.product == product]
            weeks = [sum((line.quantity for line in counted(theirs, moment + week * WEEK, 7)), Decimal(0)) for week in range(3)]
            if counted(theirs, moment, 21):
                expected[product, moment] = [float(max(units, Decimal(0))) for units in weeks]
    assert found == expected
    assert all(units >= 0 for weeks in found.values() for units in weeks)


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(lines, min_size=10, max_size=60))
def test_purchases_are_the_products_that_a_customer_bought_in_the_days_after(spark: SparkSession, sold: list[Sold]) -> None:
    found = {
        (row["customer_key"], row["event_timestamp"].replace(tzinfo=None)): row["products"]
        for row in labels.products_bought(silver(spark, sold), MOMENTS[:5], UNTIL, 28).toArrow().to_pylist()
    }
    expected = {}
    for customer in {line.customer for line in sold if line.customer}:
        for moment in MOMENTS[:5]:
            theirs = [line for line in sold if line.customer == customer and line.kind == "sale"]
            if products := sorted({line.product for line in counted(theirs, moment, 28)}):
                expected[customer, moment] = products
    assert found == expected
