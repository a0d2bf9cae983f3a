"""Customer numbers: one canonical form, and no form that could be two people's."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lakehouse.privacy.numbers import DamagedNumber, canonical

ALWAYS = settings(max_examples=60, deadline=None)  # how long an example takes says nothing here
SPACES = st.text(alphabet=" \t\r\n\u00a0\u2003", max_size=3)
DIGITS = st.text(alphabet="0123456789", min_size=1, max_size=15)


@pytest.mark.parametrize(
    "form", ["17850", "17850.0", "17850.00", "17850.", "17850,0", "17850,00", "17850.000", " 17850 ", "\t17850.0\n", "\u00a017850"]
)
def test_the_forms_that_programs_give_a_number_are_one_customer(form: str) -> None:
    assert canonical(form) == "17850"


@ALWAYS
@given(number=DIGITS, before=SPACES, after=SPACES, tail=st.sampled_from(["", ".", ".0", ".00", ",0", ",00"]))
def test_spaces_and_a_float_s_tail_never_make_another_customer(number: str, before: str, after: str, tail: str) -> None:
    assert canonical(f"{before}{number}{tail}{after}") == number


@ALWAYS
@given(text=st.text(max_size=20))
@example("5.0.0")
@example("1e5")
def test_the_canonical_form_of_a_canonical_form_is_itself(text: str) -> None:
    try:
        once = canonical(text)
    except DamagedNumber:
        return
    assert once is None or canonical(once) == once


@ALWAYS
@given(one=DIGITS, other=DIGITS)
def test_two_numbers_never_become_one(one: str, other: str) -> None:
    assert (canonical(f"{one}.0") == canonical(other)) == (one == other)


@pytest.mark.parametrize("text", ["", "   ", "\t\n"])
def test_where_nothing_is_written_there_is_no_customer(text: str) -> None:
    assert canonical(text) is None


@pytest.mark.parametrize("text", ["007", "A-17850", "a-17850", "17850.5", "1785O"])
def test_what_may_tell_two_people_apart_is_kept(text: str) -> None:
    assert canonical(text) == text


@pytest.mark.parametrize(
    "text", ["1.23457E+13", "1,23457E+13", "1.23457e13", "1e+20", "9007199254740993.0", "98765432109876543.0", "17.000", "17,000"]
)
def test_a_number_that_lost_digits_is_nobody_s_and_is_not_quoted(text: str) -> None:
    with pytest.raises(DamagedNumber) as refused:
        canonical(text)
    assert text not in str(refused.value)


def test_a_long_number_written_as_text_is_whole() -> None:
    assert canonical("98765432109876543") == "98765432109876543"
