"""The door: each line is judged for itself, and what it can't mean is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.ingest import door, sources
from lakehouse.ingest.door import Judged, Limits
from lakehouse.ingest.raw import RawBatch
from lakehouse.ingest.times import from_weeks

LIMITS = Limits(oldest=datetime(1990, 1, 1), now=datetime(2012, 1, 1, 12), moment=datetime(2011, 6, 6))
GOOD: Mapping[str, str | None] = {
    "store": "S1",
    "invoice": "1",
    "product_code": "85123A",
    "description": "a thing",
    "quantity": "2",
    "sold_at": "2011-01-03 10:00:00",
    "unit_price": "2.50",
    "customer": "17850",
    "country": "France",
    "promotion": "false",
}
ENTRY: Mapping[str, object] = {
    "about": "a shop",
    "formats": {"csv": {}},
    "columns": {name: name for name in GOOD},
    "optional": ["customer", "promotion", "store"],
    "currency": "GBP",
    "cancellation": {"column": "invoice", "prefix": "C"},
    "missing_customer": ["nobody", "0"],
    "products": {"matching": "[0-9]{5}[A-Z]*", "but_not": ["99999"]},
}


def judged(*lines: Mapping[str, str | None], **entry: object) -> Judged:
    """Lines with what they change of a good one; `entry` changes the source."""
    source = sources.parse("shop", {**ENTRY, **entry})
    names = [name for name in source.mapped if name in GOOD or any(name in line for line in lines)]
    columns = {name: pa.array([{**GOOD, **line}.get(name) for line in lines], pa.string()) for name in names}
    return door.judge(RawBatch(np.arange(1, len(lines) + 1), columns, ()), source, source.formats["csv"], LIMITS)


def reasons(found: Judged) -> list[list[str]]:
    told: list[list[str]] = door.reasons_of(found.broken, len(found.numbers)).to_pylist()
    return told


def value(found: Judged, column: str) -> object:
    return found.columns[column].to_pylist()[0]


def test_a_good_line_is_kept_as_it_is() -> None:
    found = judged({})

    assert reasons(found) == [[]]
    told = {name: value(found, name) for name in found.columns if name not in ("sold_at", "_known_at")}
    assert told == {
        "source": "shop",
        "store": "S1",
        "invoice": "1",
        "product_code": "85123A",
        "description": "a thing",
        "country": "France",
        "quantity": Decimal("2.000"),
        "unit_price": Decimal("2.5000"),
        "amount": Decimal("5.0000"),
        "covers": "day",
        "is_product": True,
        "is_cancellation": False,
        "promotion": False,
        "holiday": None,
    }
    assert found.customers.to_pylist() == ["17850"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"quantity": "two"}, "bad_quantity"),
        ({"quantity": "99999999999999999999"}, "bad_quantity"),
        ({"quantity": "2\0"}, "bad_quantity"),
        ({"quantity": "0.0004"}, "bad_quantity"),
        ({"quantity": "-0.0004"}, "bad_quantity"),
        ({"quantity": None}, "missing_quantity"),
        ({"quantity": "  "}, "missing_quantity"),
        ({"unit_price": "free"}, "bad_price"),
        ({"unit_price": "0.00004"}, "bad_price"),
        ({"unit_price": None}, "missing_price"),
        ({"quantity": "999999999", "unit_price": "999999999"}, "bad_amount"),
        ({"sold_at": "2011-02-30 10:00:00"}, "bad_time"),
        ({"sold_at": None}, "missing_time"),
        ({"sold_at": "1900-01-01 10:00:00"}, "too_old"),
        ({"sold_at": "1989-12-31 23:59:59"}, "too_old"),
        ({"sold_at": "2012-01-02 12:00:01"}, "in_the_future"),
        ({"sold_at": "2099-12-31 10:00:00"}, "in_the_future"),
        ({"product_code": None}, "missing_product_code"),
        ({"invoice": " "}, "missing_invoice"),
        ({"store": None}, "missing_store"),
        ({"customer": "1.23457E+13"}, "bad_customer"),
        ({"customer": "17.000"}, "bad_customer"),
        ({"product_code": "4.00638E+12"}, "bad_code"),
        ({"product_code": "4,00638E+12"}, "bad_code"),
        ({"invoice": "1.5e+17"}, "bad_code"),
        ({"store": "98765432109876543.0"}, "bad_code"),
        ({"customer": "178\x0050"}, "bad_customer"),
        ({"promotion": "perhaps"}, "bad_promotion"),
        ({"description": "a th\0ing"}, "bad_text"),
        ({"product_code": "85123A\0"}, "bad_text"),
    ],
)
def test_what_a_line_can_not_mean_refuses_it_by_name_and_no_other_line(change: Mapping[str, str | None], reason: str) -> None:
    assert reasons(judged({}, change, {})) == [[], [reason], []]


@pytest.mark.parametrize("code", ["15E5", "1E", "E12", "1.5", "4006381333931", "400638133393112345678", "1.5E", "10.0"])
def test_a_code_that_only_looks_like_a_number_is_kept(code: str) -> None:
    found = judged({"product_code": code, "invoice": code, "store": code})
    assert (reasons(found), value(found, "product_code")) == ([[]], code)


def test_zero_itself_is_a_number_like_any_other() -> None:
    assert reasons(judged({"quantity": "0"}, {"quantity": "0.0000"}, {"unit_price": "0.00"})) == [[], [], []]


@pytest.mark.parametrize("sold_at", ["1990-01-01 00:00:00", "2012-01-02 12:00:00"])
def test_the_limits_themselves_are_inside(sold_at: str) -> None:
    assert reasons(judged({"sold_at": sold_at})) == [[]]


def test_every_rule_that_a_line_breaks_is_named_in_order() -> None:
    assert reasons(judged({"quantity": "?", "sold_at": "?", "product_code": ""})) == [["bad_quantity", "bad_time", "missing_product_code"]]


def test_every_reason_is_explained_in_the_module() -> None:
    for reason in ("bad_price", "bad_amount", "missing_quantity", "missing_time", "missing_store", "too_old", "bad_text", "bad_customer"):
        assert reason in (door.__doc__ or "")


def test_outer_spaces_are_nobody_s_and_empty_is_null() -> None:
    found = judged({"description": " a thing\u00a0", "country": "  ", "invoice": " 1 ", "customer": " 17850.0 ", "quantity": " 2 "})

    assert [value(found, name) for name in ("description", "country", "invoice")] == ["a thing", None, "1"]
    assert found.customers.to_pylist() == ["17850"]
    assert reasons(found) == [[]]


@pytest.mark.parametrize("customer", [None, "", "nobody", "NOBODY", "0", "0.0", " 0 "])
def test_what_stands_for_no_customer_is_none(customer: str | None) -> None:
    found = judged({"customer": customer})
    assert (found.customers.to_pylist(), reasons(found)) == ([None], [[]])


@pytest.mark.parametrize(
    ("rule", "change", "expected"),
    [
        ({"column": "invoice", "prefix": "C"}, {"invoice": "C1"}, True),
        ({"column": "invoice", "prefix": "C"}, {"invoice": "c1"}, True),
        ({"column": "invoice", "prefix": "C"}, {"invoice": "1C"}, False),
        ({"column": "description", "values": ["void", "refund"]}, {"description": "VOID"}, True),
        ({"column": "description", "values": ["void"]}, {"description": None}, False),
        ({"negative_quantity": True}, {"quantity": "-1"}, True),
        ({"negative_quantity": True}, {"quantity": "1"}, False),
        (None, {"invoice": "C1"}, False),
    ],
)
def test_a_cancellation_is_recognised_as_the_source_says(rule: object, change: Mapping[str, str | None], expected: bool) -> None:
    assert value(judged(change, cancellation=rule), "is_cancellation") is expected


def test_what_a_type_says_is_a_return_takes_back_what_is_written_without_a_minus() -> None:
    lines: list[Mapping[str, str | None]] = [{"description": "Return"}, {"description": "Return", "quantity": "-2"}, {}]
    for priced in ({}, {"columns": {**{name: name for name in GOOD if name != "unit_price"}, "total": "amount"}}):
        rule = {"column": "description", "values": ["return"], "unsigned": True}
        found = judged(*({**line, "amount": "5.00"} for line in lines), cancellation=rule, **priced)
        assert found.broken == {}
        told = {name: found.columns[name].to_pylist() for name in ("quantity", "unit_price", "amount")}
        assert told == {"quantity": [-2, -2, 2], "unit_price": [Decimal("2.5")] * 3, "amount": [-5, -5, 5]}


@pytest.mark.parametrize(("code", "expected"), [("85123A", True), ("85123a", False), ("POST", False), ("99999", False), ("851234", False)])
def test_a_product_is_recognised_as_the_source_says(code: str, expected: bool) -> None:
    assert value(judged({"product_code": code}), "is_product") is expected


def test_a_line_may_be_used_from_the_newest_moment_on_and_not_before_it_happened() -> None:
    found = judged({"sold_at": "2011-01-03 10:00:00"}, {"sold_at": "2011-07-03 10:00:00"})
    known = [str(moment.replace(tzinfo=None)) for moment in found.columns["_known_at"].to_pylist()]
    assert known == ["2011-06-06 00:00:00", "2011-07-03 10:00:00"]


def test_a_total_gives_the_unit_price() -> None:
    totals = {name: name for name in GOOD if name != "unit_price"} | {"total": "amount"}
    found = judged({"amount": "10"}, {"amount": "x"}, {"amount": None}, {"amount": "7", "quantity": "0"}, columns=totals)

    assert found.columns["unit_price"].to_pylist() == [Decimal(5), None, None, None]
    assert reasons(found) == [[], ["bad_amount"], ["missing_amount"], []]


def test_a_source_without_stores_has_the_one_store_all() -> None:
    columns = {name: name for name in GOOD if name != "store"}
    assert value(judged({}, columns=columns, optional=[]), "store") == "all"
    assert value(judged({}, columns=columns, optional=[], constants={"store": "web"}), "store") == "web"


def test_promotions_are_said_in_any_of_the_usual_words() -> None:
    found = judged(*({"promotion": word} for word in ("true", "Yes", "1", "0", "no", "F", None)))
    assert found.columns["promotion"].to_pylist() == [True, True, True, False, False, False, None]


# ---------------------------------------------------------------------- what a source may say of its values


def test_values_are_taken_for_what_the_source_says_they_mean() -> None:
    found = judged(
        *({"promotion": text} for text in ("a", "0", " b ", "c")),
        values={"promotion": {"a": "yes", "b": "yes", "0": "no"}},
    )
    assert found.columns["promotion"].to_pylist() == [True, False, True, None]
    assert reasons(found) == [[], [], [], ["bad_promotion"]]


def test_lines_that_are_no_sales_by_the_source_are_counted_and_not_kept() -> None:
    found = judged(
        {"quantity": "0"}, {"quantity": "1"}, {"quantity": "0.000"}, {"store": "closed"}, {"quantity": "many"},
        skip={"quantity": ["0"], "store": ["closed"]},
    )  # fmt: skip
    assert (found.numbers.tolist(), found.skipped) == ([2, 5], 3)
    assert reasons(found) == [[], ["bad_quantity"]]
    assert {len(column) for column in found.columns.values()} == {2}


def test_logarithms_are_told_as_numbers() -> None:
    found = judged({"quantity": "9.018695488"}, {"quantity": "0"}, {"quantity": "x"}, logarithms=["quantity"])
    assert found.columns["quantity"].to_pylist()[:2] == [Decimal("8256.000"), Decimal("1.000")]
    assert reasons(found) == [[], [], ["bad_quantity"]]


def test_numbered_weeks_are_days_of_a_calendar() -> None:
    counted = {"counted": {"unit": "week", "number": 1, "day": "1989-09-14"}}
    found = judged(*({"sold_at": text} for text in ("1", "40", "41.0", "x", "1.5", "99999999", "999999", "-999999")), times=counted)
    told = [str(moment)[:10] for moment in found.columns["sold_at"].to_pylist()[:3]]
    assert told == ["1989-09-14", "1990-06-14", "1990-06-21"]
    assert reasons(found) == [["too_old"], [], [], *[["bad_time"]] * 5]


def test_weeks_of_a_year_are_its_mondays_by_iso_8601() -> None:
    columns = {**{name: name for name in GOOD}, "jahr": "year"}
    said = [
        ("1", "2009"),
        ("53", "2009"),
        ("1", "2010"),
        ("53", "2010"),
        ("0", "2010"),
        ("1.5", "2010"),
        ("2", "x"),
        ("2", None),
        (None, "2010"),
    ]
    lines: list[Mapping[str, str | None]] = [{"sold_at": week, "year": year} for week, year in said]
    found = judged(*lines, columns=columns, times={"counted": {"unit": "week", "of_year": True}})
    assert [str(moment)[:10] for moment in found.columns["sold_at"].to_pylist()[:3]] == ["2008-12-29", "2009-12-28", "2010-01-04"]
    assert reasons(found) == [*[[]] * 3, *[["bad_time"]] * 4, *[["missing_time"]] * 2]
    assert (
        "year"
        not in sources.parse("shop", {**ENTRY, "columns": columns, "times": {"counted": {"unit": "week", "of_year": True}}}).identity_fields
    )


@given(st.dates(date(1901, 1, 1), date(2199, 1, 1)))
def test_every_week_is_the_calendar_s(day: date) -> None:
    year, week, weekday = day.isocalendar()
    found = from_weeks(pa.array([str(week)]), pa.array([float(year)]))
    monday = datetime.combine(day - timedelta(days=weekday - 1), datetime.min.time())
    assert not found.bad[0] and datetime(1970, 1, 1) + timedelta(microseconds=int(found.micros[0])) == monday


def test_the_fraction_of_a_numbered_day_is_its_time_where_the_source_says_so() -> None:
    counted = {"unit": "day", "number": 0, "day": "1899-12-30"}
    texts = ("40900", "40900.41", "40900.999999", "40900,5", "x", "1e5")
    for form, comma in (({}, "bad"), ({"decimal": ","}, "2011-12-23 12:00:00")):
        found = judged(
            *({"sold_at": text, "unit_price": "2"} for text in texts),
            times={"counted": {**counted, "time_of_day": True}},
            formats={"csv": form},
        )
        moments = [str(moment)[:19] for moment in found.columns["sold_at"].to_pylist()]
        bad = ["bad" if "bad_time" in told else moment for told, moment in zip(reasons(found), moments, strict=True)]
        assert bad == ["2011-12-23 00:00:00", "2011-12-23 09:50:24", "2011-12-24 00:00:00", comma, "bad", "bad"]
    assert reasons(judged({"sold_at": "40900.41"}, times={"counted": counted})) == [["bad_time"]]


def test_a_constant_number_is_meant_as_it_stands_whatever_the_file_s_decimal_mark() -> None:
    columns = {name: name for name in GOOD if name != "unit_price"}
    found = judged({}, columns=columns, constants={"unit_price": "1.50"}, formats={"csv": {"decimal": ",", "thousands": "."}})
    assert value(found, "unit_price") == Decimal("1.5000")


def test_numbers_of_a_source_that_maps_some_of_their_values_are_read_alike_whether_a_batch_has_one_of_those_or_not() -> None:
    mapped = {**ENTRY, "formats": {"xlsx": {"decimal": ",", "thousands": "."}}, "values": {"quantity": {"-": "0,5", "7": "8"}}}
    source = sources.parse("shop", mapped)

    def quantities(column: pa.Array) -> list[str]:
        columns = {name: pa.array([GOOD[name]] * len(column), pa.string()) for name in source.mapped} | {"quantity": column}
        columns["unit_price"] = pa.array(["2,50"] * len(column))
        found = door.judge(RawBatch(np.arange(1, len(column) + 1), columns, ()), source, source.formats["xlsx"], LIMITS)
        assert reasons(found) == [[]] * len(column)
        return [str(one) for one in found.columns["quantity"].to_pylist()]

    assert quantities(pa.array([1.125, 12.5, 3.0, 7.0])) == ["1.125", "12.500", "3.000", "8.000"]
    assert quantities(pa.array(["1,125", "12,5", "3", "7", "-"])) == ["1.125", "12.500", "3.000", "8.000", "0.500"]
