"""Quantities and money: the same decimals from text and from numbers, rounded half away from zero, nothing made up."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.ingest import amounts
from lakehouse.ingest.amounts import MONEY_SCALE, QUANTITY_SCALE, Scaled, decimals, per_unit, scaled
from lakehouse.ingest.source_parts import Format

ALWAYS = settings(max_examples=60, deadline=None)  # how long an example takes says nothing here
PLAIN = Format(kind="csv")
GERMAN = Format(kind="csv", decimal=",", thousands=".")
WHOLE = st.integers(min_value=-(10**9), max_value=10**9)


def money(*values: object, form: Format = PLAIN, kind: pa.DataType | None = None) -> Scaled:
    return scaled(pa.array(values, kind or pa.string()), MONEY_SCALE, form)


def quantity(*values: object) -> Scaled:
    return scaled(pa.array(values, pa.string()), QUANTITY_SCALE, PLAIN)


def told(found: Scaled, scale: int = MONEY_SCALE) -> list[Decimal | str | None]:
    shown = decimals(found.units, scale).to_pylist()
    return [None if missing else "bad" if bad else value for value, missing, bad in zip(shown, found.missing, found.bad, strict=True)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2.55", "2.5500"),
        ("-2.5", "-2.5000"),
        ("+1", "1.0000"),
        ("1e3", "1000.0000"),
        (".5", "0.5000"),
        ("7.", "7.0000"),
        ("0.00005", "0.0001"),
    ],
)
def test_numbers_are_read_as_written(text: str, value: str) -> None:
    assert told(money(text)) == [Decimal(value)]


@pytest.mark.parametrize(
    "text", ["two", "1 dozen", "?", "3,5", "12x", "-", "", "nan", "inf", "1e400", "0x10", "1_000", "--1", "1.2.3", "٣", "12 000"]
)
def test_what_is_no_number_is_never_taken_for_one(text: str) -> None:
    assert told(money(text)) == ["bad"]


def test_a_minus_behind_a_number_is_read_where_the_source_says_so() -> None:
    behind = GERMAN.model_copy(update={"minus": "behind"})
    texts = ("12-", "1.234,50-", "-3", "4", "-5-", "--", "-", "1-2", "6+", "1e3-")
    expected = [Decimal(-12), Decimal("-1234.5"), Decimal(-3), Decimal(4), "bad", "bad", "bad", "bad", "bad", Decimal(-1000)]
    assert told(money(*texts, form=behind)) == expected
    assert told(money("12-", form=GERMAN)) == ["bad"]


def test_a_decimal_comma_and_thousands_are_read_where_the_source_says_so() -> None:
    assert told(money("1.234,50", "-0,05", "1234", "1,2,3", form=GERMAN)) == [Decimal("1234.5"), Decimal("-0.05"), Decimal(1234), "bad"]


@pytest.mark.parametrize(
    "text",
    [
        "1.50",
        "12.34,50",
        "1.2345",
        "1234.567",
        ".123",
        "1..234",
        "1.234.",
        "0,1.234",
        "1.234,567.8",
        "1.234e2.0",
        "-.123",
        "0.500",
        "1234.567,00",
    ],
)
def test_a_thousands_mark_that_parts_no_three_digits_is_no_number(text: str) -> None:
    assert told(money(text, form=GERMAN)) == ["bad"]


@pytest.mark.parametrize(("text", "form"), [("1.50", Format(kind="csv", decimal=",")), ("1,50", PLAIN)])
def test_a_mark_that_the_source_does_not_use_is_no_number(text: str, form: Format) -> None:
    assert told(money(text, form=form)) == ["bad"]


def written(value: Decimal, form: Format) -> str:
    """As a retailer writes it who uses the marks of the form."""
    marks = {",": form.thousands or "", ".": form.decimal}
    return "".join(marks.get(letter, letter) for letter in f"{value:,}")


@ALWAYS
@given(
    WHOLE,
    st.sampled_from([GERMAN, Format(kind="csv", thousands=","), Format(kind="csv", thousands="'"), Format(kind="csv", thousands=" ")]),
)
def test_what_is_written_with_the_marks_of_the_source_is_read_back(cents: int, form: Format) -> None:
    value = Decimal(cents) / 100
    assert told(money(written(value, form), form=form)) == [value.quantize(Decimal("0.0001"))]


@ALWAYS
@given(st.integers(min_value=0, max_value=10**8), st.data())
def test_a_thousands_mark_anywhere_else_is_refused(whole: int, data: st.DataObject) -> None:
    digits = str(whole)
    place = data.draw(st.integers(0, len(digits)).filter(lambda found: not (0 < found <= 3 and len(digits) - found == 3)))
    assert told(money(f"{digits[:place]}.{digits[place:]}", form=GERMAN)) == ["bad"]


def test_halves_are_rounded_away_from_zero() -> None:
    assert told(money("0.00005", "-0.00005", "0.00014")) == [Decimal("0.0001"), Decimal("-0.0001"), Decimal("0.0001")]


@pytest.mark.parametrize("kind", [pa.string(), pa.float64(), pa.decimal128(18, 8)])
def test_what_is_not_zero_is_never_rounded_to_zero(kind: pa.DataType) -> None:
    values = ["0.00004", "-0.00004", "0.00000001", "0.00005", "0", "-0.000"]
    given = values if kind == pa.string() else [float(value) if kind == pa.float64() else Decimal(value) for value in values]
    assert told(money(*given, kind=kind)) == ["bad", "bad", "bad", Decimal("0.0001"), Decimal(0), Decimal(0)]


@ALWAYS
@given(st.floats(min_value=-1e9, max_value=1e9, allow_nan=False))
def test_text_and_double_of_one_value_are_the_same_decimal(value: float) -> None:
    assert told(money(repr(value))) == told(money(value, kind=pa.float64()))


@ALWAYS
@given(WHOLE)
def test_cents_come_through_text_double_and_decimal_exactly(cents: int) -> None:
    value = Decimal(cents) / 100
    expected = [value.quantize(Decimal("0.0001"))]
    assert told(money(str(value))) == told(money(float(value), kind=pa.float64())) == expected
    assert told(money(value, kind=pa.decimal128(18, 2))) == expected


def test_nothing_written_is_missing_and_not_zero() -> None:
    assert told(money(None, "0")) == [None, Decimal(0)]
    assert told(money(None, float("nan"), 0.0, kind=pa.float64())) == [None, None, Decimal(0)]


@pytest.mark.parametrize("value", ["100000000000000", "-1e15", "1e308"])
def test_a_number_of_more_digits_than_are_kept_is_bad(value: str) -> None:
    assert told(money(value)) == ["bad"]


@ALWAYS
@given(WHOLE, st.integers(min_value=-(10**6), max_value=10**6))
def test_an_amount_is_quantity_times_price_exactly_and_then_rounded(thousandths: int, ten_thousandths: int) -> None:
    units, price = Decimal(thousandths) / 1000, Decimal(ten_thousandths) / 10_000
    found = amounts.times(quantity(str(units)), money(str(price)))
    assert told(found) == [(units * price).quantize(Decimal("0.0001"), ROUND_HALF_UP)]


@ALWAYS
@given(
    st.integers(min_value=-(10**6), max_value=10**6),
    st.integers(min_value=5_000, max_value=10**14),
    st.sampled_from(["text", "double", "decimal"]),
)
def test_an_amount_is_made_from_the_price_as_it_was_read_to_eight_places(pieces: int, fine: int, written_as: str) -> None:
    price = Decimal(fine).scaleb(-8)
    read = {
        "text": lambda: money(f"{price:f}"),
        "double": lambda: money(float(price), kind=pa.float64()),
        "decimal": lambda: money(price, kind=pa.decimal128(18, 8)),
    }[written_as]()
    assert told(read) == [price.quantize(Decimal("0.0001"), ROUND_HALF_UP)]
    assert told(amounts.times(quantity(str(pieces)), read)) == [(pieces * price).quantize(Decimal("0.0001"), ROUND_HALF_UP)]


def test_a_price_from_a_logarithm_is_no_finer_than_what_is_kept() -> None:
    price = scaled(pa.array(["0.688135"]), MONEY_SCALE, PLAIN, is_logarithm=True)
    assert told(amounts.times(quantity("1000"), price)) == [Decimal("1990.0000")]


def test_an_amount_that_does_not_fit_is_bad_and_one_of_nothing_is_missing() -> None:
    found = amounts.times(quantity("1000000000", None, "x", "2"), money("1000000000", "1", "1", "3"))
    assert told(found) == ["bad", None, None, Decimal(6)]


def test_a_unit_price_is_made_from_a_total_where_something_was_sold() -> None:
    found = per_unit(money("10", "-5", "7", None, "1"), quantity("4", "-2", "0", "1", "3"))
    assert told(found) == [Decimal("2.5"), Decimal("2.5"), None, None, Decimal("0.3333")]


@ALWAYS
@given(st.lists(st.integers(min_value=-(10**18) + 1, max_value=10**18 - 1), max_size=5))
def test_integers_become_decimals_bit_by_bit(values: list[int]) -> None:
    import numpy as np

    assert [int(found.scaleb(4)) for found in decimals(np.array(values, dtype=np.int64), 4).to_pylist()] == values


DOLLARS = Format(kind="csv", thousands=",", currency_mark="$")
EUROS = Format(kind="csv", decimal=",", thousands=".", currency_mark="€")
BOOKED = Format(kind="csv", minus="parentheses", currency_mark="EUR")


@pytest.mark.parametrize(
    ("form", "text", "value"),
    [
        (DOLLARS, "$1,234.50", "1234.5000"),
        (DOLLARS, "1,234.50", "1234.5000"),
        (DOLLARS, "-$5", "-5.0000"),
        (DOLLARS, "$-5", "-5.0000"),
        (EUROS, "1.234,50 €", "1234.5000"),
        (EUROS, "-3,00\u00a0€", "-3.0000"),
        (EUROS, "€ 3", "3.0000"),
        (BOOKED, "(12.50)", "-12.5000"),
        (BOOKED, "(12.50 EUR)", "-12.5000"),
        (BOOKED, "EUR (12.50)", "-12.5000"),
        (BOOKED, "-12.50", "-12.5000"),
    ],
)
def test_a_mark_of_currency_and_parentheses_are_read_where_the_source_says_so(form: Format, text: str, value: str) -> None:
    assert told(money(text, form=form)) == [Decimal(value)]


@pytest.mark.parametrize(
    ("form", "text"),
    [(DOLLARS, "€5"), (DOLLARS, "$$5"), (DOLLARS, "$"), (DOLLARS, "($5)"), (BOOKED, "()"), (BOOKED, "(-5"), (PLAIN, "$5"), (PLAIN, "(5)")],
)
def test_other_marks_are_no_part_of_a_number(form: Format, text: str) -> None:
    assert told(money(text, form=form)) == ["bad"]
