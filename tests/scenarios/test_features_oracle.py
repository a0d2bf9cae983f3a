"""Every value of every row, at every moment, against a naive reading of the same lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from lakehouse.engine import Endpoint, connect
from lakehouse.features import build
from lakehouse.features.windows import Span
from lakehouse.tables import catalog
from lakehouse.tables.moments import Every, grid
from tests import oracle
from tests.oracle import Rows, Sold
from tests.soak import ALWAYS, times

pytestmark = pytest.mark.soak_on_jvm

Frames = Callable[[DataFrame, DataFrame, Span], DataFrame]
Expected = Callable[[Sequence[Sold], Sequence[datetime]], Rows]
FIRST = datetime(2010, 1, 4)  # a Monday
WEEKS = 45  # over which lines are sold
LAST = FIRST + timedelta(weeks=116)  # by when the last of them has left every window


@dataclass(frozen=True)
class Landing:
    """The lines that were there when a run as of `moment` began."""

    moment: datetime
    lines: tuple[Sold, ...]


@dataclass(frozen=True)
class Drawn:
    """One line as it is drawn: hours after FIRST, before which run it lands, and what it says."""

    hour: int
    landing: int
    kind: str
    store: str
    product: int
    customer: int | None
    thousandths: int
    pence: int


drawn_lines = st.builds(
    Drawn,
    # Anywhere, at the moments themselves, and on a few days, so that lines share them.
    hour=st.one_of(
        st.integers(0, WEEKS * 168), st.integers(0, WEEKS).map(lambda week: week * 168), st.integers(0, 40).map(lambda n: n * 12)
    ),
    landing=st.integers(0, 2),
    kind=st.sampled_from(["sale", "sale", "sale", "return", "charge"]),
    store=st.sampled_from(["all", "all", "north"]),
    product=st.integers(0, 2),
    customer=st.sampled_from([0, 0, 1, None]),
    thousandths=st.integers(0, 20_000),
    pence=st.integers(0, 5_000),
)
# Each group has products and customers of its own.
shops = st.lists(st.lists(drawn_lines, min_size=6, max_size=14), min_size=5, max_size=9)
cuts = st.lists(st.integers(1, 70), min_size=2, max_size=2, unique=True).map(sorted)


def landings(groups: list[list[Drawn]], weeks: list[int]) -> list[Landing]:
    """What three runs see: at the two weeks drawn, and after everything has left the windows."""
    moments = [FIRST + timedelta(weeks=week) for week in weeks] + [LAST]
    known_from = [datetime.min, *moments]
    found = []
    for number, moment in enumerate(moments):
        lines = [_sold(one, group, known_from) for group, lines in enumerate(groups) for one in lines if one.landing <= number]
        found.append(Landing(moment, tuple(lines)))
    return found


def _sold(one: Drawn, group: int, known_from: Sequence[datetime]) -> Sold:
    sold_at = FIRST + timedelta(hours=one.hour)
    sign = -1 if one.kind == "return" else 1
    return Sold(
        one.kind,
        one.store,
        f"g{group:02d}p{one.product}",
        None if one.customer is None else f"g{group:02d}c{one.customer}",
        Decimal(sign * one.thousandths).scaleb(-3),
        Decimal(sign * one.pence).scaleb(-2),
        sold_at,
        max(sold_at, known_from[one.landing]),
    )


@pytest.fixture
def spark(endpoint: Endpoint) -> Iterator[SparkSession]:
    session = connect(endpoint.url)
    yield session
    session.stop()


def silver(spark: SparkSession, lines: Sequence[Sold]) -> DataFrame:
    """What features read of silver.sales."""
    columns = {
        "kind": pa.array([line.kind for line in lines], pa.string()),
        "store": pa.array([line.store for line in lines], pa.string()),
        "product_code": pa.array([line.product for line in lines], pa.string()),
        "customer_key": pa.array([line.customer for line in lines], pa.string()),
        "quantity": pa.array([line.quantity for line in lines], pa.decimal128(18, 3)),
        "amount": pa.array([line.amount for line in lines], pa.decimal128(18, 4)),
        "sold_at": pa.array([line.sold_at.replace(tzinfo=UTC) for line in lines], pa.timestamp("us", "UTC")),
        "month": pa.array([f"{line.sold_at:%Y-%m}" for line in lines], pa.string()),
        "_known_at": pa.array([line.known_at.replace(tzinfo=UTC) for line in lines], pa.timestamp("us", "UTC")),
    }
    return spark.createDataFrame(pa.table(columns))


def customer_rows(sales: DataFrame, published: DataFrame, span: Span) -> DataFrame:
    """As the stage computes them: what several steps read is computed once."""

    def staged(frame: DataFrame) -> DataFrame:
        found = frame.toArrow()
        return frame.sparkSession.createDataFrame(found if found.num_rows else [], frame.schema)

    return build.customer_rows(sales, published, span, staged)


def computed(spark: SparkSession, frames: Frames, table: str, runs: Sequence[Landing], every: Every = "week") -> pa.Table:
    """The rows of one run after another, each with what the ones before it published."""
    columns = [column for column in catalog.table(table).columns if not column.name.startswith("_")]
    schema = ", ".join(f"`{column.name}` {column.type}" for column in columns)
    published, after = spark.createDataFrame([], schema).toArrow(), None
    for run in runs:
        before = spark.createDataFrame(published, schema) if published.num_rows else spark.createDataFrame([], schema)
        rows = frames(silver(spark, run.lines), before, Span(after, run.moment, every)).toArrow()
        published, after = pa.concat_tables([published, rows.cast(published.schema)]), run.moment
    return published


def as_rows(found: pa.Table, table: str) -> Rows:
    """The oracle's form of published rows."""
    declared = catalog.table(table)
    entity = [name for name in declared.key if name != "moment"]
    values = [name for name in declared.content_names if name not in declared.key]
    rows = [
        (tuple(row[name] for name in entity), row["moment"].replace(tzinfo=None), {name: row[name] for name in values})
        for row in found.to_pylist()
    ]
    return sorted(rows, key=lambda row: row[:2])


def explained(found: Rows, expected: Rows, lines: Sequence[Sold]) -> str:
    """The first row that is not as it should be, and the lines of its entity."""
    for here, there in zip([*found, None], [*expected, None], strict=False):
        if here != there:
            one = here if there is None or (here is not None and here[:2] < there[:2]) else there
            assert one is not None
            theirs = [line for line in lines if {line.store, line.product} == {*one[0]} or (line.customer,) == one[0]]
            return f"\nfound    {here}\nexpected {there}\nof\n" + "\n".join(map(str, theirs))
    return ""


TABLES = [
    pytest.param(build.product_rows, oracle.product_rows, "features.product_sales", id="products"),
    pytest.param(customer_rows, oracle.customer_rows, "features.customer_history", id="customers"),
]


@pytest.mark.parametrize(("frames", "expected_of", "table"), TABLES)
def test_rows_of_runs_one_after_another_and_of_a_rebuild_are_what_a_naive_reading_gives(
    spark: SparkSession, engine_name: str, frames: Frames, expected_of: Expected, table: str
) -> None:
    # An example holds many entities, and each is an example of its own.
    @settings(ALWAYS, derandomize=False, max_examples=times(4, engine_name))
    @given(groups=shops, weeks=cuts)
    def always(groups: list[list[Drawn]], weeks: list[int]) -> None:
        _rows_are_as_read_naively(spark, frames, expected_of, table, landings(groups, weeks))

    always()


def _rows_are_as_read_naively(spark: SparkSession, frames: Frames, expected_of: Expected, table: str, runs: Sequence[Landing]) -> None:
    expected = expected_of(runs[-1].lines, grid(FIRST - timedelta(weeks=1), LAST, "week"))
    one_after_another = as_rows(computed(spark, frames, table, runs), table)
    assert one_after_another == expected, explained(one_after_another, expected, runs[-1].lines)
    rebuilt = as_rows(computed(spark, frames, table, runs[-1:]), table)
    assert rebuilt == expected, explained(rebuilt, expected, runs[-1].lines)


@pytest.mark.parametrize(("frames", "expected_of", "table"), TABLES)
def test_a_sale_that_is_sold_or_known_later_changes_nothing_before(
    spark: SparkSession, engine_name: str, frames: Frames, expected_of: Expected, table: str
) -> None:
    @settings(ALWAYS, derandomize=False, max_examples=times(2, engine_name))
    @given(groups=shops, week=st.integers(1, WEEKS))
    def always(groups: list[list[Drawn]], week: int) -> None:
        (run,) = landings(groups, [])
        _later_sales_change_nothing_before(spark, frames, table, run, FIRST + timedelta(weeks=week))

    always()


def _later_sales_change_nothing_before(spark: SparkSession, frames: Frames, table: str, run: Landing, moment: datetime) -> None:
    other = [
        replace(line, quantity=line.quantity + 1, sold_at=line.sold_at + timedelta(weeks=3), known_at=line.known_at + timedelta(weeks=3))
        if max(line.sold_at, line.known_at) >= moment
        else line
        for line in run.lines
    ]
    rows, others = (as_rows(computed(spark, frames, table, [Landing(LAST, tuple(lines))]), table) for lines in (run.lines, other))
    assert [row for row in rows if row[1] <= moment] == [row for row in others if row[1] <= moment]


@pytest.mark.parametrize(("frames", "expected_of", "table"), TABLES)
def test_on_a_daily_grid_a_line_counts_from_the_next_midnight_on(
    spark: SparkSession,
    frames: Frames,
    expected_of: Callable[[Sequence[Sold], Sequence[datetime]], Rows],
    table: str,
) -> None:
    days = [datetime(2011, 1, 4, 0), datetime(2011, 1, 4, 23, 59), datetime(2011, 1, 5, 12), datetime(2010, 1, 6, 12)]
    lines = tuple(Sold("sale", "all", "g", "c", Decimal(number), Decimal(number), day, day) for number, day in enumerate(days, 1))
    moments = grid(datetime(2010, 1, 5), datetime(2011, 4, 20), "day")
    runs = [Landing(moment, lines) for moment in (datetime(2011, 1, 4), datetime(2011, 1, 6), moments[-1])]
    found = as_rows(computed(spark, frames, table, runs, "day"), table)
    assert found == expected_of(lines, moments)
    assert [moment for _, moment, _ in found][:1] == [datetime(2010, 1, 7)]


def test_of_a_customers_products_the_hundred_bought_last_are_kept(spark: SparkSession) -> None:
    lines = [
        Sold("sale", "all", f"p{number:03d}", "c", Decimal(1), Decimal(1), day, day)
        for number in range(130)
        for day in (FIRST + timedelta(days=(number * 7) % 31), FIRST + timedelta(days=(number * 11) % 37))
    ]
    runs = [Landing(FIRST + timedelta(weeks=weeks), tuple(lines)) for weeks in (3, 6)]
    found = as_rows(computed(spark, customer_rows, "features.customer_history", runs), "features.customer_history")
    assert found == oracle.customer_rows(lines, grid(FIRST - timedelta(weeks=1), runs[-1].moment, "week"))
    recent = found[-1][2]["recent_products"]
    assert isinstance(recent, list) and len(recent) == 100


def test_a_product_that_left_the_hundred_comes_back_with_all_its_days(spark: SparkSession) -> None:
    def sold(product: int, week: int, day: int, landed: datetime | None = None) -> Sold:
        when = FIRST + timedelta(weeks=week, days=day, hours=9)
        return Sold("sale", "all", f"p{product:03d}", "c", Decimal(1), Decimal(1), when, max(when, landed or when))

    cut = FIRST + timedelta(weeks=6)
    before = [
        *(sold(0, 0, day) for day in range(3)),
        *(sold(1, 1, day) for day in range(2)),
        *(sold(number, 3, 1) for number in range(2, 132)),
        sold(3, 5, 1),
    ]
    back = sold(0, 7, 2)
    # Late for days that were counted, for a day that was not, and of a product that was never bought.
    late = [sold(0, 0, 1, cut), sold(1, 1, 5, cut), sold(5, 3, 1, cut), sold(200, 5, 1, cut)]
    runs = [Landing(cut, tuple(before)), Landing(FIRST + timedelta(weeks=9), (*before, back, *late))]

    found = as_rows(computed(spark, customer_rows, "features.customer_history", runs), "features.customer_history")

    assert found == oracle.customer_rows(runs[-1].lines, grid(FIRST - timedelta(weeks=1), runs[-1].moment, "week"))
    newest = found[-1][2]
    products, times = newest["recent_products"], newest["recent_times"]
    assert isinstance(products, list) and isinstance(times, list)
    assert dict(zip(products, times, strict=True))["p000"] == 4
