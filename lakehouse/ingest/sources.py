"""Sources: how a retailer's files look, as conf/base/sources.yml says it."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from typing import Literal, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, Field, ValidationError, ValidationInfo, field_validator, model_validator

from lakehouse.errors import SettingsError, UnknownName
from lakehouse.ingest.times import TimeFormat
from lakehouse.settings import Section, conf_file

FILE = "sources.yml"
TEXTS = ("store", "invoice", "line", "product_code", "description", "country", "status")
FIELDS = (*TEXTS, "quantity", "unit_price", "amount", "sold_at", "customer", "promotion")
KINDS = ("csv", "parquet", "xlsx")
# Read to recognise lines and cancellations, kept nowhere.
_READ_ONLY = {"line", "status"}
_NOT_IDENTITY = {"customer", "status"}


class Format(Section):
    """How the files of one ending are written."""

    kind: Literal["csv", "parquet", "xlsx"]
    encoding: tuple[str, ...] = Field(default=("utf-8",), min_length=1)
    delimiter: str = Field(default=",", pattern=r"^[\x00-\x7f]$")
    decimal: Literal[".", ","] = "."
    thousands: str | None = Field(default=None, pattern=r"^[^0-9+\-]$")
    header: tuple[str, ...] | None = None
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


class Times(Section):
    """How times are written, and in which zone. Shop wall time is what is kept."""

    formats: tuple[str, ...] = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d")
    zone: str | None = None
    given_in: str | None = None

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
    """How a cancelled line is recognised: one of the three ways."""

    column: Literal["invoice", "line", "product_code", "description", "status"] | None = None
    prefix: str | None = Field(default=None, min_length=1)
    values: tuple[str, ...] | None = Field(default=None, min_length=1)
    negative_quantity: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [self.prefix is not None, self.values is not None, self.negative_quantity]
        if sum(ways) != 1 or (self.column is None) != self.negative_quantity:
            raise ValueError("expected {column, prefix}, {column, values} or {negative_quantity: true}")
        return self


class Source(Section):
    """One retailer's files."""

    name: str
    about: str
    formats: Mapping[str, Format] = Field(min_length=1)
    columns: Mapping[str, str]
    constants: Mapping[str, str] = {}
    optional: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    times: Times = Times()
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    products: Products = Products()
    cancellation: Cancellation | None = None
    missing_customer: tuple[str, ...] = ()
    identity: str
    line_identity: tuple[str, ...] = ()
    repeats: Literal["drop", "keep"] = "drop"
    covers: Literal["day", "week"] = "day"

    @field_validator("columns", "constants", "optional", "line_identity")
    @classmethod
    def _known_fields(cls, value: Mapping[str, str] | tuple[str, ...], info: ValidationInfo) -> Mapping[str, str] | tuple[str, ...]:
        ours = value.values() if info.field_name == "columns" and isinstance(value, Mapping) else value
        for field in ours:
            if field not in FIELDS:
                raise _Unknown("field", field, FIELDS, str(info.field_name))
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for needed in ("product_code", "quantity", "sold_at"):
            if needed not in self.fields:
                raise ValueError(f"no column is mapped to {needed}, and no constant gives it")
        if not {"unit_price", "amount"} & self.mapped:
            raise ValueError("no column is mapped to unit_price or amount")
        wrong = self.constants.keys() - {"store", "product_code", "description", "quantity", "country", "promotion"}
        if wrong:
            raise ValueError(f"constants can't give {', '.join(sorted(wrong))}")
        twice = self.constants.keys() & self.mapped
        if twice:
            raise ValueError(f"{', '.join(sorted(twice))} is both a constant and a column")
        never = {"product_code", "quantity", "sold_at"} & set(self.optional)
        if never or not ({"unit_price", "amount"} & self.mapped) - set(self.optional):
            raise ValueError("product_code, quantity, sold_at and one of unit_price and amount can't be optional")
        for named, where in ((self.optional, "optional"), (self.line_identity, "line_identity")):
            missing = set(named) - self.fields
            if missing:
                raise ValueError(f"{where} names {', '.join(sorted(missing))}, which no column is mapped to")
        if self.repeats == "keep" and self.line_identity:
            raise ValueError("with repeats: keep every line is itself, so line_identity says nothing")
        if self.cancellation is not None and self.cancellation.column is not None and self.cancellation.column not in self.fields:
            raise ValueError(f"cancellation looks at {self.cancellation.column}, which no column is mapped to")
        return self

    @property
    def mapped(self) -> frozenset[str]:
        """Ours, that columns are mapped to."""
        return frozenset(self.columns.values())

    @property
    def fields(self) -> frozenset[str]:
        """Ours, that lines can have a value of."""
        return self.mapped | self.constants.keys()

    @property
    def identity_fields(self) -> tuple[str, ...]:
        """Ours, in the order of `FIELDS`, whose values make a line's id; the customer only where there is no invoice."""
        named = set(self.line_identity) or self.fields
        without = _NOT_IDENTITY if "invoice" in self.fields else _NOT_IDENTITY - {"customer"}
        return tuple(field for field in FIELDS if field in named - without)


class _Unknown(ValueError):
    """A name within an entry that nothing has; carried through pydantic to become an `UnknownName`."""

    def __init__(self, kind: str, found: str, known: tuple[str, ...], where: str) -> None:
        super().__init__(f"{found} is unknown")
        self.kind, self.found, self.known, self.where = kind, found, known, where


def named(profile: str) -> dict[str, Source]:
    """Every source of sources.yml by name, each checked. Raises `SettingsError` or `UnknownName` for what is wrong in it."""
    return {name: parse(name, entry) for name, entry in conf_file(FILE, profile).items()}


def find(name: str, profile: str) -> Source:
    """The source of that name. Raises `UnknownName` with the nearest one."""
    entries = conf_file(FILE, profile)
    if name not in entries:
        raise UnknownName("source", name, entries)
    return parse(name, entries[name])


def parse(name: str, entry: object) -> Source:
    """One entry of sources.yml. Raises `SettingsError` for a wrong value, `UnknownName` for a key that entries don't have."""
    if not isinstance(entry, Mapping):
        raise SettingsError(f'source "{name}" of {FILE} is a {type(entry).__name__}, expected an entry. Keys: {", ".join(_keys(Source))}')
    tree = {"identity": name, **entry, "name": name}
    formats = tree.get("formats")
    if isinstance(formats, Mapping):
        tree["formats"] = {ending: _with_kind(str(ending), written) for ending, written in formats.items()}
    try:
        return Source.model_validate(tree)
    except ValidationError as error:
        raise _explained(name, error) from None


def _with_kind(ending: str, written: object) -> object:
    if written is None:
        written = {}
    return {"kind": ending, **written} if isinstance(written, Mapping) and ending in KINDS else written


def _explained(name: str, error: ValidationError) -> SettingsError | UnknownName:
    found = error.errors(include_url=False, include_input=False)
    # A misspelt key is also a missing one; its own spelling says more.
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    path = [str(part) for part in first["loc"]]
    where = f'source "{name}" of {FILE}'
    if first["type"] == "extra_forbidden":
        parents, leaf = path[:-1], path[-1]
        return UnknownName("key", leaf, _keys(_section(parents)), where=", ".join([where, *parents]))
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, _Unknown):
        return UnknownName(cause.kind, cause.found, cause.known, where=f"{where}, {cause.where}")
    text = first["msg"].removeprefix("Value error, ")
    return SettingsError(f"{where}{''.join(f', {part}' for part in path)}: {text}. The keys are explained at the top of conf/base/{FILE}")


def _section(parents: list[str]) -> type[BaseModel]:
    sections: dict[str, type[BaseModel]] = {
        "formats": Format,
        "times": Times,
        "products": Products,
        "cancellation": Cancellation,
    }
    return sections[parents[0]] if parents else Source


def _keys(model: type[BaseModel]) -> list[str]:
    return [key for key in model.model_fields if key != "name"]
