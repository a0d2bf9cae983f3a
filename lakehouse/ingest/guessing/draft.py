"""The draft: an entry of sources.yml with remarks."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from lakehouse.errors import InputError, SettingsError
from lakehouse.ingest import sources
from lakehouse.ingest.checking import Settle, Understood, check
from lakehouse.ingest.guessing import clocks, marks, names
from lakehouse.ingest.guessing.beginning import Beginning
from lakehouse.ingest.guessing.files import beginning
from lakehouse.ingest.guessing.roles import Roles, returns, told

_OPTIONAL = {"customer", "description", "country", "promotion", "holiday", "store"}
_MOST = 20_000  # lines that the draft is tried on
_OLDEST = datetime(1970, 1, 1)
_CLOSED = {"0", "false", "no", "n", "f", "closed"}
_NOBODY = {"null", "none", "nil", "nan", "na", "n/a", "#n/a", "0", "-", "?", "unknown", "guest", "anonymous"}
_MARKED = {"€": "EUR", "£": "GBP", **{code: code for code in ("EUR", "USD", "GBP", "CHF")}}
_HOLIDAYS = 8  # words for them that a file has at most
_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # names of columns may hold anything, and a remark is one line
_NO = {"false", "no", "n", "f", "0"}
_YES_OR_NO = {"true", "yes", "y", "t", "1"} | _NO


def draft(path: Path, name: str = "my-shop", oldest: datetime = _OLDEST, settle: Settle | None = None) -> str:
    """An entry of sources.yml, as YAML; `settle` as for `checking.check`. Raises `InputError` for a file of which not even columns can be made out."""
    try:
        found = beginning(path)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from None
    roles = told(found)
    remarks = [*found.remarks, *roles.remarks]
    entry = _entry(found, roles, remarks)
    remarks += _tried(path, entry, roles.constants, oldest, settle)
    head = "".join(f"# {_BREAKS.sub(' ', remark)}\n" for remark in remarks)
    text = yaml.safe_dump({name: entry}, sort_keys=False, allow_unicode=True, default_flow_style=False, width=160)
    constants = ", ".join(f"{ours}: {json.dumps(value)}" for ours, value in roles.constants.items())
    return head + text + (f"  # constants: {{{constants}}}  # take away the first mark where this is so\n" if constants else "")


def _entry(found: Beginning, roles: Roles, remarks: list[str]) -> dict[str, object]:
    given = roles.given
    numbers = {
        ours: found.texts[given[ours]] for ours in ("quantity", "unit_price", "amount") if ours in given and found.texts[given[ours]]
    }
    written = marks.guessed(numbers, roles.logarithms) if numbers else marks.Marks({}, None)
    remarks += [written.remark] if written.remark else []
    clocked = _times(found, given, remarks)
    weekly = clocked is not None and _tells_weeks(clocked)
    by_last_day = names.is_last_of_week(given.get("sold_at", ""))
    if by_last_day:
        clocked = (clocked or {}) | {"by_last_day": True}
    entry: dict[str, object] = {
        "about": "a draft, guessed from the columns of a file",
        "formats": {found.ending: {**found.form, **written.form}},
        "columns": roles.columns,
        "values": _holidays(found, given, remarks),
        "skip": _closed(found, given, remarks),
        "logarithms": list(roles.logarithms) or None,
        "optional": sorted(given.keys() & _OPTIONAL) or None,
        "ignore": _ignored(found, roles, remarks) or None,
        "times": clocked,
        "currency": _currency(found, str(written.form.get("currency_mark")), remarks),
        "cancellation": _cancellation(found, given, remarks) if "quantity" not in roles.logarithms else None,
        "repeats": None if "invoice" in given else "keep",
        "missing_customer": _nobody(found, given, remarks),
        "covers": "week"
        if weekly or by_last_day or (any(names.is_weekly(theirs) for theirs in roles.columns) and found.is_named)
        else None,
    }
    if entry["repeats"]:
        remarks.append(
            "no column tells receipts apart, so two equal sales can't be told from one that stands there twice: each line counts (repeats: keep). Where"
            " files overlap, say repeats: drop, or line_identity"
        )
    if entry["covers"]:
        day = f'its last day, which "{given["sold_at"]}" says (by_last_day)' if by_last_day else "the week's first day"
        remarks.append(f"lines are taken for totals of a week (covers): is each dated by {day}?")
    return {key: value for key, value in entry.items() if value is not None}


def _currency(found: Beginning, mark: str, remarks: list[str]) -> str:
    """The one that a column says, or a mark that is no other's, else one that stands for none."""
    for theirs in found.columns if found.is_named else ():
        said = sorted({value.strip().upper() for value in found.written(theirs)}) if names.is_currency(theirs) else []
        if not said:
            continue
        if len(said) == 1 and re.fullmatch("[A-Z]{3}", said[0]):
            remarks.append(f'"{theirs}" says {said[0]} in all lines that were looked at: is it the currency of the whole file?')
            return said[0]
        remarks.append(
            f'"{theirs}" is not read: which currency is {said[0]} by ISO 4217? Nothing is loaded until currency says it'
            if len(said) == 1
            else f'"{theirs}" SAYS SEVERAL CURRENCIES ({", ".join(said[:_HOLIDAYS])}), and a lake has one: amounts are added up as they are. Take the'
            " lines of the others out of the file, or convert them"
        )
        return "XXX"
    if mark in _MARKED:
        return _MARKED[mark]
    remarks.append("no file says its currency: say it by ISO 4217, or nothing is loaded")
    return "XXX"


def _ignored(found: Beginning, roles: Roles, remarks: list[str]) -> list[str]:
    """The columns that are not read, with a remark on each that may change what the others mean."""
    ignored = [theirs for theirs in found.columns if theirs not in roles.columns]
    for theirs in ignored if found.is_named else ():
        if question := names.unread(theirs):
            remarks.append(f'"{theirs}" is not read: {question}')
        elif "product_code" in roles.constants and names.told_by(theirs) == "id":
            remarks.append(f'"{theirs}" is not read: if it tells goods apart, map it to product_code')
    return ignored


def _times(found: Beginning, given: Mapping[str, str], remarks: list[str]) -> dict[str, object] | None:
    theirs = given.get("sold_at")
    if theirs is None or theirs in found.times or not found.columns[theirs]:
        return None
    values = found.texts[theirs] or found.columns[theirs]
    if "year" in given:
        remarks.append(f'"{theirs}" is taken for the weeks of "{given["year"]}" by ISO 8601, dated by their Mondays: is it so?')
        return {"counted": {"unit": "week", "of_year": True}}
    if (serial := clocks.serial_days(values)) and not names.is_weekly(theirs):
        remarks.append(
            f'"{theirs}" is taken for days as spreadsheets number them, from {serial.first:%Y-%m-%d} to {serial.last:%Y-%m-%d}: is it so?'
        )
        time_of_day = {"time_of_day": True} if serial.has_time else {}
        return {"counted": {"unit": "day", "number": 0, "day": clocks.SERIAL_ZERO, **time_of_day}}
    if all(re.fullmatch(r"[0-9]{1,5}(\.0+)?", value) for value in values):
        unit = "week" if names.is_weekly(theirs) else "day"
        first = min(int(float(value)) for value in values)
        remarks.append(
            f'{unit}s are numbered in "{theirs}": say under times.counted which day it was that {unit} {first} began; 2000-01-03 is made up'
        )
        return {"counted": {"unit": unit, "number": first, "day": datetime(2000, 1, 3).date()}}
    written = clocks.written(values)
    if written is None:
        since_1970 = clocks.is_seconds(values)
        why = (
            "are counted from 1970, which is not read: write them as dates"
            if since_1970
            else "are written in no way that is known: say times.formats (or times.counted)"
        )
        remarks.append(f'the times in "{theirs}" {why}')
        return None
    if written.or_else:
        parts, fitting = written.open_parts, " and ".join((written.formats[0], *written.or_else))
        why = ", and no day above 12 settles it" if "month" in parts else "; the former makes the days lie closest together"
        remarks.append(f"{' AND '.join(parts).upper()} ARE AMBIGUOUS: {fitting} fit as well{why}. Which is so?")
    alone = next((one for one in found.columns if one not in given.values() and names.told_by(one) in ("time", "hour")), None)
    if alone is not None and not re.search("%[HI]", written.formats[0]):
        remarks.append(f'the time of day stands in a column of its own, "{alone}", and is not read')
    if not written.has_offset:
        return {"formats": list(written.formats)}
    remarks.append("times carry an offset: say the shop's zone, whose wall time is kept")
    return {"formats": list(written.formats), "zone": "UTC"}


def _tells_weeks(clocked: Mapping[str, Any]) -> bool:
    """Whether what is told is a week and no day."""
    return clocked.get("counted", {}).get("unit") == "week" or not set(clocks.WEEKS).isdisjoint(clocked.get("formats", ()))


def _cancellation(found: Beginning, given: Mapping[str, str], remarks: list[str]) -> dict[str, object] | None:
    quantities = found.written(given.get("quantity", ""))
    has_minus = any("-" in (value[0], value[-1]) and re.search("[0-9]", value) for value in quantities)
    if words := returns(found.written(given.get("status", ""))):
        told = "" if has_minus else ", whose quantities and amounts are written without a minus (unsigned)"
        remarks.append(f'"{given["status"]}" is taken to tell returns ({", ".join(words)}){told}: does it?')
        return {"column": "status", "values": words, **({} if has_minus else {"unsigned": True})}
    invoices = found.columns.get(given.get("invoice", ""), [])
    if any(re.fullmatch(r"[Cc][0-9]+", value) for value in invoices) and not all(value[:1] in "Cc" for value in invoices):
        return {"column": "invoice", "prefix": "C"}
    return {"negative_quantity": True} if has_minus else None


def _nobody(found: Beginning, given: Mapping[str, str], remarks: list[str]) -> list[str] | None:
    """Texts in place of customers that say there is none, in one way of writing each."""
    if "customer" not in given:
        return None
    values = {value.removesuffix(".0") for value in found.written(given["customer"])}
    words = list({word.casefold(): word for word in sorted(values, reverse=True) if word.casefold() in _NOBODY}.values())[::-1]
    if not words:
        return None
    listed = ", ".join(f'"{word}"' for word in words)
    remarks.append(f'{listed} in "{given["customer"]}" are taken for no customer (missing_customer): are they?')
    return words


def _closed(found: Beginning, given: Mapping[str, str], remarks: list[str]) -> dict[str, list[str]] | None:
    if "status" not in given or returns(found.written(given["status"])):
        return None
    values = sorted(
        {value.removesuffix(".0") for value in found.written(given["status"]) if value.removesuffix(".0").casefold() in _CLOSED}
    )
    remarks.append(f'"{given["status"]}" is taken to say whether the shop was open: lines of a closed one are skipped')
    return {"status": values or ["0"]}


def _holidays(found: Beginning, given: Mapping[str, str], remarks: list[str]) -> dict[str, dict[str, str]] | None:
    """Words that say which holiday it was, where a few letters do. The one that most lines have says that there was none, whatever the language."""
    theirs = given.get("holiday", "")
    counted = Counter(found.written(theirs))
    words = sorted(word for word in counted if word.casefold() not in _YES_OR_NO)
    if not 0 < len(words) <= _HOLIDAYS or not all(re.fullmatch(r"[^\W\d_][\w .'-]{0,23}", word) for word in words):
        return None
    lines = max(len(found.written(name)) for name in found.columns)  # an empty field says nothing of a holiday
    is_said = any(word.casefold() in _NO for word in counted)
    nothing = [word for word in words if 2 * counted[word] > lines and not is_said]
    kinds = ", ".join(f'"{word}"' for word in words if word not in nothing)
    remarks += [f'{kinds} in "{theirs}" are taken for holidays (values): are they?'] if kinds else []
    remarks += [f'"{word}" in "{theirs}", which most lines have, is taken for no holiday (values): is it?' for word in nothing]
    return {"holiday": {word: "no" if word in nothing else "yes" for word in words}}


def _tried(path: Path, entry: Mapping[str, object], constants: Mapping[str, str], oldest: datetime, settle: Settle | None) -> list[str]:
    """What the draft makes of its own file."""
    needed = {**entry, "currency": "EUR", **({"constants": constants} if constants else {})}  # which one is nothing to how it is read
    try:
        found = check(path, sources.parse("my-shop", needed), oldest, _MOST, settle)
    except SettingsError as error:
        return [f"not tried on the file, as something is missing: {str(error).partition(': ')[2].partition('. The keys')[0]}"]
    except InputError as error:
        return [f"tried on the file, this does not read it: {error}"]
    constant = " (with the constants at the end)" if constants else ""
    return [f"tried on this file{constant}: {', '.join(_counted(found))}", *(f"  {line}" for line in _outcome(found))]


def _counted(found: Understood) -> list[str]:
    skipped = [f"{found.skipped:,} skipped as no sales"] if found.skipped else []
    of = "all" if found.whole else "the first"
    return [
        f"{of} {found.lines:,} lines read",
        f"{found.accepted:,} accepted",
        *skipped,
        f"{found.lines - found.accepted - found.skipped:,} refused",
    ]


def _outcome(found: Understood) -> list[str]:
    words = {
        "bad_code": ": shortened by a spreadsheet (4.00638E+12); format that column as text and export again",
        "bad_holiday": ": say under values what its words mean",
        "bad_promotion": ": say under values what its words mean",
    }
    lines = [
        f"refused for {reason} {count:,}, such as {', '.join(found.examples[reason])}{words.get(reason, '')}"
        for reason, count in found.refused.items()
    ]
    lines += found.remarks
    if found.repeats or found.quarantined:
        lines.append(
            f"of the accepted lines silver would keep {found.kept:,}, leave out {found.repeats:,} as repeats, send {found.quarantined:,} to quarantine"
        )
    lines += [f"the row rule {rule} can't be told without an engine" for rule in found.unjudged]
    lines += [f"quarantined for {rule} {count:,}, such as {', '.join(found.examples[rule])}" for rule, count in found.broken.items()]
    if found.first is not None and found.last is not None:
        lines.append(
            f"sold from {found.first:%Y-%m-%d %H:%M} to {found.last:%Y-%m-%d %H:%M}, {found.products:,} products, {found.amount:,.2f} in all"
        )
    lines += [
        f"{one.where} is read as quantity {one.quantity:f}, unit price {one.unit_price or 0:f}, amount {one.amount:f}"
        for one in found.sample
    ]
    return lines
