"""The door: lines as they were written become lines of bronze, each judged for itself. Pure; no customer number leaves it but in `customers`.

Reasons for which a line is refused:

    ragged_line           it has not as many fields as the header, or its quotation marks don't match (or it is longer than a line can be)
    bad_text              its bytes are not text in the source's encoding, or a text of it holds a zero byte
    bad_quantity          bad_price, bad_amount: there is something that is no number, has more digits than are kept, or would be kept as
                          zero though it is none (0.0004 units, a price of 0.00004)
    bad_time              it is no time in any of the source's formats
    bad_code              the code of a product or store, or the number of a receipt, lost digits on its way (4.00638E+12), or a cell holds a date
                          or a yes in its place
    bad_customer          the customer number lost digits on its way (1.23457E+13), may be several people's (17.000), holds a zero byte, or is such a cell
    bad_promotion         bad_holiday: neither yes nor no
    missing_product_code  missing_quantity, missing_price, missing_time; missing_invoice and missing_store where the file has that column
    too_old               sold before door.oldest
    in_the_future         sold more than a day after the wall clock at landing
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.ingest import amounts, times
from lakehouse.ingest.amounts import MONEY_SCALE, QUANTITY_SCALE, Scaled
from lakehouse.ingest.raw import BAD_CODE, BAD_CUSTOMER, RawBatch, number_texts, stripped
from lakehouse.ingest.source_parts import Cancellation, Format, Products
from lakehouse.ingest.sources import CODES, FLAGS, NUMBERS, TEXTS, Source
from lakehouse.ingest.times import Ints, Mask, Parsed
from lakehouse.privacy.numbers import SHORTENED, DamagedNumber, canonical

# Reasons that leave the line's numbers and its time as good as they are: these are kept, so that whoever corrects it need not say them again.
FUTURE = "in_the_future"
LEGIBLE = frozenset({"too_old", FUTURE, BAD_CODE, BAD_CUSTOMER})
GRACE = timedelta(days=1)  # by which a shop's clock may be ahead of ours
_YES, _NO = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
_NEEDED = ("product_code",)
_NEEDED_IF_THERE = ("invoice", "store")
_LOST_DIGITS = rf"^(?:{SHORTENED}|[0-9]{{16,}}\.0)$"  # the latter: a float too large to be exact
_EPOCH = datetime(1970, 1, 1)
_DAYS = {"day": 1, "week": 7}
WALL = pa.timestamp("us", tz="UTC")  # shop wall time, carried as UTC


@dataclass(frozen=True)
class Limits:
    """What the door goes by besides the source: lines sold before `oldest` or after `now` and a day are refused, and none may be used before
    `moment`, the newest snapshot's."""

    oldest: datetime
    now: datetime
    moment: datetime | None


@dataclass(frozen=True)
class Judged:
    """Lines of one batch, one entry per line everywhere. `columns` are bronze's (without digest, line id and customer); `customers` canonical
    numbers; `identity` what line ids are made of, but for the customer; `broken` which lines break which rule; `skipped` how many more there
    were that the source says are no sales."""

    numbers: Ints
    columns: Mapping[str, pa.Array]
    customers: pa.Array
    identity: Mapping[str, pa.Array]
    broken: Mapping[str, Mask]
    skipped: int


@dataclass
class _Rules:
    broken: dict[str, Mask] = field(default_factory=dict)

    def add(self, name: str, lines: Mask) -> None:
        if lines.any():
            self.broken[name] = self.broken[name] | lines if name in self.broken else lines


def judge(batch: RawBatch, source: Source, form: Format, limits: Limits) -> Judged:
    """Every line that could be read, as bronze keeps it, and what is wrong with it."""
    rules = _Rules()
    marks = dict.fromkeys(NUMBERS, form.decimal)
    given = {name: _said(stripped(column), source.values.get(name), marks.get(name, ".")) for name, column in batch.columns.items()}
    for name, value in source.constants.items():
        written = value.replace(".", form.decimal) if name in NUMBERS else value
        given[name] = pa.repeat(pa.scalar(written), len(batch.numbers))
    skip = _skipped(given, source, form, len(batch.numbers))
    numbers, lines = batch.numbers[~skip], int(np.count_nonzero(~skip))
    if skip.any():
        given = {name: column.filter(pa.array(~skip)) for name, column in given.items()}
    for name in (*_NEEDED, *(name for name in _NEEDED_IF_THERE if name in given)):
        rules.add(f"missing_{name}", given[name].is_null().to_numpy(zero_copy_only=False))
    nothing = pa.nulls(lines, pa.string())
    texts = {name: given.get(name, nothing) for name in TEXTS}
    if "store" not in given:
        texts["store"] = pa.repeat(pa.scalar("all"), lines)

    for name in TEXTS:
        rules.add("bad_text", _has_zero_byte(texts[name]))
    for name in CODES:
        rules.add(BAD_CODE, _matches(texts[name], _LOST_DIGITS))

    quantity = _number(given, "quantity", source, form, rules)
    cancels = _is_cancellation(texts, quantity, source.cancellation)
    is_unsigned = source.cancellation is not None and source.cancellation.unsigned
    back: Mask = cancels.to_numpy(zero_copy_only=False) & is_unsigned
    quantity = amounts.taken_back(quantity, back)
    price, amount = _money(given, quantity, source, form, rules, back)
    sold = _sold_at(given, source, form)
    rules.add("missing_time", sold.missing)
    rules.add("bad_time", sold.bad)
    dated = ~(sold.missing | sold.bad)
    rules.add("too_old", dated & (sold.micros < _micros(limits.oldest)))
    rules.add(FUTURE, dated & (sold.micros > _micros(limits.now + GRACE)))
    customers = _customers(given.get("customer", nothing), source, rules)
    promotion, holiday = (_flags(given.get(name, nothing), name, rules) for name in FLAGS)

    known = sold.micros if limits.moment is None else np.maximum(sold.micros, _micros(limits.moment))
    columns = {
        **{name: texts[name] for name in ("store", "invoice", "product_code", "description", "country")},
        "source": pa.repeat(pa.scalar(source.name), lines),
        "quantity": amounts.decimals(quantity.units, QUANTITY_SCALE),
        "unit_price": amounts.decimals(price.units, MONEY_SCALE, ~price.missing),
        "amount": amounts.decimals(amount.units, MONEY_SCALE),
        "sold_at": _wall(sold.micros),
        "covers": pa.repeat(pa.scalar(source.covers), lines),
        "is_product": _is_product(texts["product_code"], source.products),
        "is_cancellation": cancels,
        "promotion": promotion,
        "holiday": holiday,
        "_known_at": _wall(known),
    }
    exact = {"quantity": quantity.units, "unit_price": price.units, "amount": amount.units, "sold_at": sold.micros}
    flags = {"promotion": promotion.cast(pa.string()), "holiday": holiday.cast(pa.string())}
    identity = {**texts, **{name: pa.array(units) for name, units in exact.items()}, **flags}
    return Judged(numbers, columns, customers, identity, rules.broken, int(np.count_nonzero(skip)))


def reasons_of(broken: Mapping[str, Mask], lines: int) -> pa.Array:
    """Per line the sorted names of the rules that it breaks."""
    names = sorted(broken)
    hits = np.array([broken[name] for name in names], dtype=bool).reshape(len(names), lines)
    offsets = np.concatenate([[0], np.cumsum(hits.sum(axis=0))]).astype(np.int32)
    which = np.nonzero(hits.T)[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(names, pa.string()).take(pa.array(which)))


def any_of(broken: Mapping[str, Mask], lines: int) -> Mask:
    """Which lines break a rule."""
    found = np.zeros(lines, dtype=bool)
    for hit in broken.values():
        found |= hit
    return found


def _said(column: pa.Array, values: Mapping[str, str] | None, decimal: str) -> pa.Array:
    """Values of the file as the source says that they are meant, whatever is not listed as it is; numbers as the source writes them."""
    if values is None:
        return column
    texts = number_texts(column)
    if not pa.types.is_string(column.type):
        texts = pc.replace_substring(texts, ".", decimal)
    meant = pa.array(values.values(), pa.string()).take(pc.index_in(texts, pa.array(values.keys(), pa.string())))
    return pc.coalesce(meant, texts)


def _skipped(given: Mapping[str, pa.Array], source: Source, form: Format, lines: int) -> Mask:
    """Which lines are no sales, by what the source says of one of their values."""
    found = np.zeros(lines, dtype=bool)
    for name, listed in source.skip.items():
        column = given.get(name)
        if column is None:
            continue
        if name in NUMBERS:
            wanted = amounts.scaled(pa.array(listed), MONEY_SCALE, Format(kind="csv")).units
            has = amounts.scaled(column, MONEY_SCALE, form, name in source.logarithms)
            found |= ~(has.missing | has.bad) & np.isin(has.units, wanted)
        else:
            found |= pc.is_in(number_texts(column), pa.array(listed)).to_numpy(zero_copy_only=False)
    return found


def _has_zero_byte(column: pa.Array) -> Mask:
    """Which texts hold a zero byte: a sign of torn or binary data, on which programs and databases disagree where the text ends."""
    found: Mask = pc.fill_null(pc.match_substring(column.cast(pa.string()), "\0"), False).to_numpy(zero_copy_only=False)
    return found


def _matches(column: pa.Array, pattern: str) -> Mask:
    found: Mask = pc.fill_null(pc.match_substring_regex(column.cast(pa.string()), pattern), False).to_numpy(zero_copy_only=False)
    return found


def _number(given: Mapping[str, pa.Array], name: str, source: Source, form: Format, rules: _Rules) -> Scaled:
    found = amounts.scaled(given[name], QUANTITY_SCALE if name == "quantity" else MONEY_SCALE, form, name in source.logarithms)
    told = name.removeprefix("unit_")
    rules.add(f"missing_{told}", found.missing)
    rules.add(f"bad_{told}", found.bad)
    return found


def _money(
    given: Mapping[str, pa.Array], quantity: Scaled, source: Source, form: Format, rules: _Rules, back: Mask
) -> tuple[Scaled, Scaled]:
    """Unit price and amount: as read, the one from the other where a source says only one; amounts of the lines `back` are below zero."""
    if "unit_price" in given:
        price = _number(given, "unit_price", source, form, rules)
    if "amount" in given:
        amount = amounts.taken_back(_number(given, "amount", source, form, rules), back)
    else:
        amount = amounts.times(quantity, price)
        rules.add("bad_amount", amount.bad)
    if "unit_price" not in given:
        price = amounts.per_unit(amount, quantity)
        rules.add("bad_price", price.bad)
    return price, amount


def _sold_at(given: Mapping[str, pa.Array], source: Source, form: Format) -> Parsed:
    written = _written(given, source, form)
    return times.first_of_weeks(written) if source.times.by_last_day else written


def _written(given: Mapping[str, pa.Array], source: Source, form: Format) -> Parsed:
    column, zone, given_in, counted = given["sold_at"], source.times.zone, source.times.given_in, source.times.counted
    if counted is not None and counted.day is None:
        return times.from_weeks(column, given["year"])
    if counted is not None and counted.day is not None:
        if pa.types.is_string(column.type) and form.decimal != ".":
            column = pc.replace_substring(column, form.decimal, ".")
        return times.from_counted(column, _DAYS[counted.unit], counted.number, counted.day, counted.time_of_day)
    if pa.types.is_string(column.type):
        return times.from_texts(column, source.times.formats, zone, given_in)
    return times.from_moments(column, zone, given_in)


def _customers(column: pa.Array, source: Source, rules: _Rules) -> pa.Array:
    """Canonical numbers, null where there is none; computed once per distinct text."""
    nobody = {text.casefold() for text in source.missing_customer}
    encoded = pc.dictionary_encode(column.cast(pa.string()))
    found: list[str | None] = []
    damaged: list[bool] = []
    for text in encoded.dictionary.to_pylist():
        try:
            number = canonical(text)
        except DamagedNumber:
            number = None
            damaged.append(True)
        else:
            damaged.append(False)
        found.append(None if number is None or {number.casefold(), text.casefold()} & nobody else number)
    bad = pa.array(damaged, pa.bool_()).take(encoded.indices)
    rules.add(BAD_CUSTOMER, pc.fill_null(bad, False).to_numpy(zero_copy_only=False) | _has_zero_byte(column))
    return pa.array(found, pa.string()).take(encoded.indices)


def _flags(column: pa.Array, name: str, rules: _Rules) -> pa.Array:
    if pa.types.is_boolean(column.type):
        return column
    if not pa.types.is_string(column.type):
        column = column.cast(pa.float64(), safe=False).cast(pa.string())
    lowered = pc.utf8_lower(column)
    yes, no = (pc.is_in(lowered, pa.array(words)) for words in (_YES, _NO))
    bad = pc.and_(column.is_valid(), pc.invert(pc.or_(yes, no)))
    rules.add(f"bad_{name}", bad.to_numpy(zero_copy_only=False))
    return pc.if_else(pc.or_(yes, no), yes, pa.scalar(None, pa.bool_()))


def _is_product(codes: pa.Array, rule: Products) -> pa.Array:
    matching = pc.match_substring_regex(codes, f"^(?:{rule.matching})$") if rule.matching is not None else codes.is_valid()
    if not rule.but_not:
        return matching
    return pc.and_(matching, pc.invert(pc.is_in(pc.utf8_upper(codes), pa.array([code.upper() for code in rule.but_not]))))


def _is_cancellation(texts: Mapping[str, pa.Array], quantity: Scaled, rule: Cancellation | None) -> pa.Array:
    if rule is None:
        return pa.repeat(pa.scalar(False), len(quantity.units))
    if rule.negative_quantity or rule.column is None:
        return pa.array(quantity.units < 0)
    said = texts[rule.column]
    if rule.prefix is not None:
        found = pc.starts_with(said, rule.prefix, ignore_case=True)
    else:
        found = pc.is_in(pc.utf8_lower(said), pa.array([value.lower() for value in rule.values or ()]))
    return pc.fill_null(found, False)


def _wall(micros: Ints) -> pa.Array:
    return pa.array(micros).cast(WALL)


def _micros(moment: datetime) -> int:
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * times.SECOND + since.microseconds
