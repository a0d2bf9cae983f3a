"""Sources: how a retailer's files look, as conf/base/sources.yml says it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, Field, ValidationError, ValidationInfo, field_validator, model_validator

from lakehouse.errors import InputError, SettingsError, UnknownName
from lakehouse.ingest.source_parts import Beside, Cancellation, Counted, Format, Products, Times
from lakehouse.settings import Section, conf_file

FILE = "sources.yml"
TEXTS = ("store", "invoice", "line", "product_code", "description", "country", "status")
CODES = ("store", "invoice", "product_code")  # those of TEXTS that must be whole
LONGEST_NAME = 32  # of a source: what Delta's log says of a file's texts ends there, and a file's source is read from it
FLAGS = ("promotion", "holiday")
NUMBERS = ("quantity", "unit_price", "amount")
FIELDS = (*TEXTS, *NUMBERS, "sold_at", "year", "customer", *FLAGS)
KINDS = ("csv", "parquet", "xlsx", "fixed")
_NOT_IDENTITY = {"customer", "status", "year"}


class Source(Section):
    """One retailer's files."""

    name: str
    about: str
    formats: Mapping[str, Format] = Field(min_length=1)
    columns: Mapping[str, str]
    constants: Mapping[str, str] = {}
    values: Mapping[str, Mapping[str, str]] = {}
    skip: Mapping[str, tuple[str, ...]] = {}
    logarithms: tuple[Literal["quantity", "unit_price", "amount"], ...] = ()
    beside: Beside | None = None
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

    @field_validator("currency")
    @classmethod
    def _is_money(cls, value: str) -> str:
        if value in ("XXX", "XTS"):  # what ISO 4217 has for no currency, and for tests
            raise ValueError(f"{value} stands for no currency. Expected the one of prices and amounts, such as EUR")
        return value

    @field_validator("columns", "constants", "optional", "line_identity", "values", "skip")
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
        if not {"unit_price", "amount"} & self.fields:
            raise ValueError("no column is mapped to unit_price or amount, and no constant gives one")
        wrong = self.constants.keys() - {"store", "product_code", "description", "quantity", "unit_price", "country", *FLAGS}
        if wrong:
            raise ValueError(f"constants can't give {', '.join(sorted(wrong))}")
        twice = self.constants.keys() & self.mapped
        if twice:
            raise ValueError(f"{', '.join(sorted(twice))} is both a constant and a column")
        never = {"product_code", "quantity", "sold_at"} & set(self.optional)
        if never or not ({"unit_price", "amount"} & self.fields) - set(self.optional):
            raise ValueError("product_code, quantity, sold_at and one of unit_price and amount can't be optional")
        for named, where in (
            (self.optional, "optional"),
            (self.line_identity, "line_identity"),
            (self.values, "values"),
            (self.skip, "skip"),
            (self.logarithms, "logarithms"),
        ):
            missing = set(named) - self.fields
            if missing:
                raise ValueError(f"{where} names {', '.join(sorted(missing))}, which no column is mapped to")
        if self.repeats == "keep" and self.line_identity:
            raise ValueError("with repeats: keep every line is itself, so line_identity says nothing")
        if no_part := set(self.line_identity) - set(self.identity_fields):
            raise ValueError(
                f"line_identity names {' and '.join(sorted(no_part))}: a status, a year, and the customer of a receipt are no part of what a line is."
                " Leave them out; if nothing is left, say repeats: keep"
            )
        if self.cancellation is not None and self.cancellation.column is not None and self.cancellation.column not in self.fields:
            raise ValueError(f"cancellation looks at {self.cancellation.column}, which no column is mapped to")
        return self

    @model_validator(mode="after")
    def _has_weeks(self) -> Self:
        if self.times.by_last_day and self.covers != "week":
            raise ValueError("times.by_last_day is said of weekly totals, which is covers: week")
        is_by_number = self.times.counted is not None and self.times.counted.of_year
        if self.times.by_last_day and (is_by_number or any("%V" in text and "%u" not in text for text in self.times.formats)):
            raise ValueError(
                "weeks that are told by their number have their Monday, and no last day that stands there. Leave times.by_last_day out"
            )
        return self

    @model_validator(mode="after")
    def _has_years(self) -> Self:
        of_year = self.times.counted is not None and self.times.counted.of_year
        if of_year and ("year" not in self.mapped or "year" in self.optional):
            raise ValueError("times.counted says of_year, and no column is mapped to year, or one that a file may lack")
        if "year" in self.fields and not of_year:
            raise ValueError("year is read where times.counted says of_year alone. Ignore that column")
        return self

    @model_validator(mode="after")
    def _can_be_looked_up(self) -> Self:
        if self.beside is not None and not set(self.beside.key.values()) <= self.mapped - set(self.optional):
            raise ValueError("the key of the table beside must be a column that every file has")
        wrong_numbers = [value for name in self.skip.keys() & set(NUMBERS) for value in self.skip[name] if not _is_number(value)]
        if wrong_numbers:
            raise ValueError(f'skip expects numbers there, found "{wrong_numbers[0]}"')
        if self.beside is not None and (again := set(self.beside.columns.values()) & self.fields):
            raise ValueError(f"{', '.join(sorted(again))} is in the lines and in the table beside them. Take it from one of them")
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


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


class _Unknown(ValueError):
    """A name within an entry that nothing has; carried through pydantic to become an `UnknownName`."""

    def __init__(self, kind: str, found: str, known: tuple[str, ...], where: str) -> None:
        super().__init__(f"{found} is unknown")
        self.kind, self.found, self.known, self.where = kind, found, known, where


def every(profile: str) -> dict[str, Source | InputError]:
    """Every source of sources.yml by name, or what is wrong with its entry: nobody else's files are to wait for it. Raises `SettingsError` where
    the file itself can't be read."""
    return {name: _parsed(name, entry) for name, entry in conf_file(FILE, profile).items()}


def _parsed(name: str, entry: object) -> Source | InputError:
    try:
        return parse(name, entry)
    except InputError as error:
        return error


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
    if len(name) > LONGEST_NAME:
        raise SettingsError(
            f'source "{name}" of {FILE} has a name of {len(name)} characters, expected {LONGEST_NAME} at most. Give it a shorter one'
        )
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
    """The part that a key is in; `formats` has one more level, the ending."""
    parts: dict[str, type[BaseModel]] = {
        "formats": Format,
        "times": Times,
        "counted": Counted,
        "products": Products,
        "cancellation": Cancellation,
        "beside": Beside,
    }
    return next((parts[parent] for parent in reversed(parents) if parent in parts), Source)


def _keys(model: type[BaseModel]) -> list[str]:
    return [key for key in model.model_fields if key != "name"]
