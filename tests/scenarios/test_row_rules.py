"""Each row rule refuses the line that it is there for, by name, and no other."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame

from lakehouse.errors import SettingsError
from lakehouse.ingest import sources
from lakehouse.ingest.rows import SCHEMA
from lakehouse.medallion.trial import settled
from lakehouse.quality import config
from lakehouse.quality.quarantine import CONFLICT, split_rows
from lakehouse.quality.rules import row_rules
from lakehouse.tables import Lake, catalog

GOOD: dict[str, object] = {
    "file_digest": "f",
    "line_number": 1,
    "source": "test",
    "line_id": "id",
    "store": "all",
    "invoice": "1",
    "product_code": "A",
    "description": "a thing",
    "quantity": Decimal("2.000"),
    "unit_price": Decimal("2.5000"),
    "amount": Decimal("5.0000"),
    "sold_at": datetime(2011, 1, 3, 10),
    "covers": "day",
    "customer_key": "c",
    "country": "France",
    "is_product": True,
    "is_cancellation": False,
    "promotion": None,
    "holiday": None,
    "reasons": [],
    "_known_at": datetime(2011, 1, 3, 10),
    "_dated": True,
}
RETURN = {"quantity": Decimal("-2.000"), "amount": Decimal("-5.0000"), "is_cancellation": True}
BREAKS: dict[str, dict[str, object]] = {
    "line_id_present": {"line_id": None},
    "store_present": {"store": " "},
    "product_code_present": {"product_code": ""},
    "sold_at_present": {"sold_at": None},
    "known_after_sold": {"_known_at": datetime(2011, 1, 3, 9)},
    "covers_known": {"covers": "month"},
    "kind_known": {"is_product": None},
    "quantity_not_zero": {"quantity": Decimal(0), "amount": Decimal(0)},
    "quantity_plausible": {"quantity": Decimal(1_000_001)},
    "negative_quantity_needs_cancellation": RETURN | {"is_cancellation": False},
    "cancellation_is_negative": {"is_cancellation": True},
    "price_positive": {"unit_price": Decimal(0), "amount": Decimal(0)},
    "amount_has_the_sign_of_the_quantity": {"amount": Decimal(-5)},
    "amount_present": {"amount": None},
    "amount_plausible": {"amount": Decimal(100_000_001)},
}
# A line without what another rule needs breaks that one too.
ALSO = {"sold_at_present": {"known_after_sold"}, "amount_present": {"amount_has_the_sign_of_the_quantity", "amount_plausible"}}


def framed(lake: Lake, *lines: dict[str, object]) -> DataFrame:
    columns = catalog.table("bronze.sales").columns
    schema = ", ".join(f"`{column.name}` {column.type}" for column in columns)
    return lake.spark.createDataFrame([tuple(line[column.name] for column in columns) for line in lines], schema)


def test_each_rule_refuses_its_line_by_name_and_no_other(lake: Lake) -> None:
    rules = config.load("test").row_rules
    lines = [GOOD, GOOD | RETURN, *(GOOD | change for change in BREAKS.values())]
    numbered = [line | {"line_number": number} for number, line in enumerate(lines)]
    frame = framed(lake, *numbered)

    good, refused = split_rows(frame, rules)

    assert {rule.name for rule in rules} == set(BREAKS)
    assert sorted(good.toArrow().column("line_number").to_pylist()) == [0, 1]
    found = {row["line_number"]: set(row["reasons"]) for row in refused.toArrow().to_pylist()}
    assert found == {number: {name} | ALSO.get(name, set()) for number, name in enumerate(BREAKS, 2)}
    tried = settled(pa.Table.from_pylist(numbered, SCHEMA), sources.find("canonical", "test"), rules)
    assert tried.broken == {name: sum(name in reasons for reasons in found.values()) for name in BREAKS} | {CONFLICT: 1}
    assert (tried.unjudged, tried.quarantined) == ((), len(BREAKS) + 1)


def test_a_line_that_the_door_refused_keeps_the_doors_reasons_and_no_rule_looks_at_it(lake: Lake) -> None:
    refused = GOOD | {"reasons": ["too_old"], "quantity": Decimal(0)}
    rules = row_rules({"one": ("abs(amount / quantity) < 100", ""), "two": ("quantity <> 0 AND abs(amount / quantity) < 200", "")})

    good, bad = split_rows(framed(lake, GOOD, refused), rules)

    assert good.count() == 1
    assert [(row["stage"], row["reasons"]) for row in bad.toArrow().to_pylist()] == [("door", ["too_old"])]


def test_a_rule_that_divides_says_what_it_does_not_divide_by(lake: Lake) -> None:
    rules = row_rules({"mine": ("abs(amount / nullif(quantity, 0)) < 100", "")})

    good, bad = split_rows(framed(lake, GOOD, GOOD | {"quantity": Decimal(0)}), rules)

    assert good.count() == 1
    assert [row["reasons"] for row in bad.toArrow().to_pylist()] == [["mine"]]


@pytest.mark.parametrize("rules", [0, 200])
def test_there_may_be_any_number_of_rules(lake: Lake, rules: int) -> None:
    of = row_rules({f"rule_{number:03}": (f"quantity <> {number} OR quantity IS NULL", "") for number in range(rules)})
    lines = [GOOD | {"quantity": quantity, "line_number": number} for number, quantity in enumerate((Decimal(-1), Decimal(7), None))]

    good, bad = split_rows(framed(lake, *lines), of)

    assert sorted(good.toArrow().column("line_number").to_pylist()) == ([0, 2] if rules else [0, 1, 2])
    assert [row["reasons"] for row in bad.toArrow().to_pylist()] == ([["rule_007"]] if rules else [])


@pytest.mark.parametrize(
    "expression", ["count(*) OVER (PARTITION BY line_id) = 1", "max(amount) > 1", "quantity IN (SELECT quantity FROM silver.sales)"]
)
def test_a_rule_that_looks_at_other_lines_is_refused_when_it_is_read(expression: str) -> None:
    with pytest.raises(SettingsError, match='rule "mine" of quality.yml looks at other lines'):
        row_rules({"mine": (expression, "")})
