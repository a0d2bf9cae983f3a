"""The parts of a source's description, each checked for itself."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from lakehouse.ingest.times import TimeFormat
from lakehouse.settings import Section


class Format(Section):
    """How the files of one ending are written."""

    kind: Literal["csv", "parquet", "xlsx", "fixed"]
    encoding: tuple[str, ...] = Field(default=("utf-8",), min_length=1)
    delimiter: str = Field(default=",", pattern=r"^[\x00-\x7f]$")
    decimal: Literal[".", ","] = "."
    thousands: str | None = Field(default=None, pattern=r"^[^0-9+\-]$")
    minus: Literal["front", "behind", "parentheses"] = "front"
    currency_mark: str | None = Field(default=None, pattern=r"^[^0-9+\-.,()\s]{1,5}$")
    header: tuple[str, ...] | None = None
    above: int = Field(default=0, ge=0)
    widths: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    widths_in: Literal["characters", "bytes"] = "characters"
    sheets: tuple[str, ...] | None = None

    @field_validator("encoding", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("encoding")
    @classmethod
    def _keeps_ascii(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        ascii_bytes = bytes(range(128))
        for name in value:
            try:
                kept = ascii_bytes.decode(name) == ascii_bytes.decode("ascii")
            except (LookupError, UnicodeDecodeError):
                kept = False
            if not kept:
                raise ValueError(f'"{name}" is not an encoding that keeps ASCII as it is, such as utf-8, latin-1 or cp1252')
        return value

    @model_validator(mode="after")
    def _marks_differ(self) -> Self:
        if self.delimiter in '"\r\n':
            raise ValueError("a quotation mark or the end of a line can't be the delimiter")
        if self.thousands == self.decimal:
            raise ValueError("decimal and thousands are the same mark")
        return self

    @model_validator(mode="after")
    def _widths_of_all(self) -> Self:
        if (self.kind == "fixed") != (self.widths is not None) or (self.widths is not None and len(self.widths) != len(self.header or ())):
            raise ValueError("kind: fixed, and no other, needs widths (characters) and a header with a name for each")
        if self.widths_in != "characters" and self.widths is None:
            raise ValueError("widths_in says nothing without widths")
        return self


class Times(Section):
    """How times are written, and in which zone. Shop wall time is what is kept, and of a week its first day: `by_last_day` where they tell its last."""

    formats: tuple[str, ...] = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d")
    zone: str | None = None
    given_in: str | None = None
    counted: Counted | None = None
    by_last_day: bool = False

    @field_validator("zone", "given_in")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                zoneinfo.ZoneInfo(value)
            except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError(f'"{value}" is not a time zone, such as Europe/London or UTC') from None
        return value

    @model_validator(mode="after")
    def _needs_zone(self) -> Self:
        offsets = [text for text in self.formats if TimeFormat.of(text).has_offset]
        if self.zone is None and (offsets or self.given_in):
            raise ValueError("times with an offset or in another zone are converted to the shop's, so times.zone must name it")
        return self


class Counted(Section):
    """Times that are numbers: of weeks or days, `number` standing for the day `day`, or of the weeks of a year that a column says (`of_year`).
    `time_of_day`: the fraction of a day's number is the time."""

    unit: Literal["day", "week"]
    number: int = 1
    day: date | None = None
    of_year: bool = False
    time_of_day: bool = False

    @model_validator(mode="after")
    def _can_be_counted(self) -> Self:
        if self.time_of_day and self.unit != "day":
            raise ValueError("time_of_day needs unit: day")
        if self.of_year and self.unit != "week":
            raise ValueError("of_year needs unit: week")
        if self.of_year == (self.day is not None):
            raise ValueError("expected day, the one that number is, or of_year: true, and not both")
        return self


class Beside(Section):
    """A table that lies beside the files of sales, in the same folder: one line for each value of `key`, read for what lines lack."""

    file: str = Field(pattern=r"^[^/\\]+$")
    encoding: tuple[str, ...] = Field(default=("utf-8",), min_length=1)
    delimiter: str = Field(default=",", pattern=r"^[\x00-\x7f]$")
    key: Mapping[str, Literal["product_code", "store"]] = Field(min_length=1, max_length=1)
    columns: Mapping[str, Literal["description", "country"]] = Field(min_length=1)


class Products(Section):
    """Which product codes are products: those that match as a whole, but not those listed (in any case)."""

    matching: str | None = None
    but_not: tuple[str, ...] = ()

    @field_validator("matching")
    @classmethod
    def _is_expression(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                pc.match_substring_regex(pa.array([""]), value)
            except pa.ArrowInvalid:
                raise ValueError(f'"{value}" is not a regular expression (RE2)') from None
        return value


class Cancellation(Section):
    """How a cancelled line is recognised: one of the three ways. `unsigned`: its quantity and amount are written without a minus."""

    column: Literal["invoice", "line", "product_code", "description", "status"] | None = None
    prefix: str | None = Field(default=None, min_length=1)
    values: tuple[str, ...] | None = Field(default=None, min_length=1)
    negative_quantity: bool = False
    unsigned: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [self.prefix is not None, self.values is not None, self.negative_quantity]
        if sum(ways) != 1 or (self.column is None) != self.negative_quantity:
            raise ValueError("expected {column, prefix}, {column, values} or {negative_quantity: true}")
        if self.unsigned and self.negative_quantity:
            raise ValueError("unsigned says nothing where the minus is what tells a cancellation")
        return self
