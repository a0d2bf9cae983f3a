"""The canonical form of a customer number, one for the door and for serving."""

from __future__ import annotations

import re

from lakehouse.errors import InputError

# What a column of numbers with gaps becomes when a program takes it for floating point.
_AS_FLOAT = re.compile(r"([0-9]+)(?:\.0*|,0{1,2})")
# Seventeen thousand, or a seventeen to three places: two people's, if both stood in one file.
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:\.000|,000)")
# What a spreadsheet makes of a long number: its last digits are gone, so many people would become one.
SHORTENED = r"[0-9](?:[.,][0-9]+[eE]\+?|[eE]\+)[0-9]+"
_SHORTENED = re.compile(SHORTENED)
EXACT_FLOAT = 2**53
_EXACT_DIGITS = len(str(EXACT_FLOAT))


class DamagedNumber(InputError):
    """A customer number that lost digits on its way, so that it could be several people's. The message does not hold it."""


def canonical(text: str) -> str | None:
    """The one form of a customer number: `17850`, `17850.0`, `17850,0` and ` 17850 ` are the same customer. None where there is no number.

    Leading zeros and letters' case are kept: `007` and `7` may be two people, and two people under one key can't be told apart
    again, while one person under two keys is only seen less well. Raises `DamagedNumber` for `1.23457E+13`, for `17.000`, which may
    be 17 or 17000, and for a float that is too large to have kept its last digits.
    """
    stripped = text.strip()
    if not stripped:
        return None
    if _THOUSANDS.fullmatch(stripped):
        raise DamagedNumber(
            "a customer number has three zeros behind a mark, so it may be a thousand of it. Write customer numbers as text"
        )
    whole = _AS_FLOAT.fullmatch(stripped)
    if whole is not None:
        if not stripped.endswith(".") and (len(whole[1]) > _EXACT_DIGITS or int(whole[1]) > EXACT_FLOAT):
            raise DamagedNumber("a customer number was written as a float too large to be exact. Write customer numbers as text")
        return whole[1]
    if _SHORTENED.fullmatch(stripped):
        raise DamagedNumber("a customer number was shortened by a spreadsheet (1.2E+13). Format that column as text and export again")
    return stripped
