"""A file of which nothing is known: a draft of its entry in sources.yml, for somebody who knows it to correct.

Guessed are the delimiter, the encoding, which column is which (by its name), how times and numbers are written, and how a cancellation is
told. What could not be guessed stands in the draft as a remark.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from lakehouse.errors import InputError
from lakehouse.ingest import times

_BEGIN = 1 << 16  # bytes of a text that are looked at
_ROWS = 200
_FEWEST = 3  # lines that tell where fields of fixed width are
_NAMES = {  # ours, by what people call it; the first that fits takes the column
    "sold_at": r"invoice.?date|transaction.?(date|time).*|sold.?at|date.?time|timestamp|date|datum|day|week.*|time|zeit",
    "unit_price": r"unit.?price|price|preis|einzelpreis",
    "amount": r"amount|total|sales.?value|summe|umsatz|revenue|line.?total|sales|value",
    "quantity": r"quantity|qty|units|menge|anzahl|count|pieces",
    "customer": r"(customer|client|household|member|card|kunde)(.?(id|no|nr|number|key))?|kunden.?nr",
    "invoice": r"(invoice|receipt|basket|order|bon|beleg|transaction)(.?(id|no|nr|number))?",
    "product_code": r"stock.?code|(product|item|article|sku|artikel|brand|ean|upc)(.?(id|no|nr|code|number))?",
    "description": r"(product.?)?(description|name|title|bezeichnung|text)",
    "store": r"(store|shop|branch|filiale)(.?(id|no|nr|number))?",
    "country": r"country|land",
    "promotion": r"promo(tion)?|feat(ure)?|on.?offer|aktion",
    "holiday": r"(state.?)?holiday|feiertag",
}
_TIMES = (
    *("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d"),
    *("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y"),
    *("%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y", "%d-%b-%Y", "%d %b %Y", "%Y%m%d"),
)
_MISSING = {"product_code": ": of one kind of goods say it under constants", "quantity": "", "sold_at": ""}
_COMMA = re.compile(r"-?[0-9]{1,3}(\.[0-9]{3})*,[0-9]+|-?[0-9]+,[0-9]+")


@dataclass(frozen=True)
class _Sample:
    """Columns by their names, the first rows of each as text; `form` what of the format differs from the default."""

    ending: str
    form: dict[str, object]
    columns: dict[str, list[str]]
    typed_times: frozenset[str]


def draft(path: Path, name: str = "my-shop") -> str:
    """An entry of sources.yml, as YAML. Raises `InputError` for a file of which not even columns can be made out."""
    try:
        sample = _sample(path)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from None
    remarks = []
    if sample.form.get("kind") == "fixed":
        remarks.append("fields are told by their places, and what they are by their values: look at each, and give them names of your own")
    if len(sample.columns) < 2:
        raise InputError(f"{path.name} has no columns that can be told apart. Say in sources.yml how it is written, and check again")
    mapped = _mapped_by_values(sample.columns) if remarks else _mapped(list(sample.columns))
    given = {ours: theirs for theirs, ours in mapped.items()}
    remarks += [f"no column looks like {ours}{hint}" for ours, hint in _MISSING.items() if ours not in given]
    if not {"unit_price", "amount"} & given.keys():
        remarks.append("no column looks like unit_price or amount")
    entry: dict[str, object] = {"about": "a draft, guessed from the columns of a file"}
    numbers = [value for ours in ("quantity", "unit_price", "amount") if ours in given for value in sample.columns[given[ours]]]
    form = dict(sample.form)
    if any(_COMMA.fullmatch(value) for value in numbers):
        form |= {"decimal": ",", "thousands": "."}
    entry["formats"] = {sample.ending: form}
    entry["columns"] = mapped
    entry["optional"] = sorted(given.keys() & {"customer", "description", "country", "promotion", "holiday", "store"}) or None
    entry["ignore"] = [theirs for theirs in sample.columns if theirs not in mapped] or None
    if "sold_at" in given and given["sold_at"] not in sample.typed_times:
        written = _written(sample.columns[given["sold_at"]])
        entry["times"] = {"formats": [written]} if written else None
        if written and written.endswith("%z"):
            entry["times"] = {"formats": [written], "zone": "UTC"}
            remarks.append("times carry an offset: say the shop's zone, whose wall time is kept")
        if not written:
            remarks.append(f'the times in "{given["sold_at"]}" are written in no way that is known: say times.formats (or times.counted)')
        elif written in ("%d/%m/%Y", "%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S"):
            remarks.append("times are taken for day/month/year: is that so?")
    entry["currency"] = "XXX"
    remarks.append("currency is unknown: say it by ISO 4217")
    entry["cancellation"] = _cancellation(sample, given)
    kept = {key: value for key, value in entry.items() if value is not None}
    head = "".join(f"# {remark}\n" for remark in remarks)
    return head + yaml.safe_dump({name: kept}, sort_keys=False, allow_unicode=True, default_flow_style=False)


def _sample(path: Path) -> _Sample:
    ending = path.suffix.lstrip(".").lower()
    if ending == "parquet":
        return _of_parquet(path)
    if ending == "xlsx":
        return _of_sheet(path)
    raw = path.open("rb").read(_BEGIN)
    if b"\0" in raw:
        raise InputError(f"{path.name} is neither text nor Parquet nor a workbook (.xlsx)")
    encoding = "utf-8"
    try:
        text = raw[: raw.rfind(b"\n") + 1 or len(raw)].decode("utf-8-sig")
    except UnicodeDecodeError:
        encoding, text = "cp1252", raw.decode("cp1252", errors="replace")
    header = text.splitlines()[0] if text else ""
    if not any(mark in header for mark in ",;\t|"):
        return _of_places(text.splitlines()[:_ROWS], {"encoding": encoding} if encoding != "utf-8" else {}, ending)
    delimiter = max(",;\t|", key=header.count)
    rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))[: _ROWS + 1]
    form: dict[str, object] = {} if ending == "csv" else {"kind": "csv"}
    form |= {"encoding": encoding} if encoding != "utf-8" else {}
    form |= {"delimiter": delimiter} if delimiter != "," else {}
    return _Sample(ending, form, _columns(rows), frozenset())


def _of_places(lines: Sequence[str], form: dict[str, object], ending: str) -> _Sample:
    """Fields of fixed width: one ends wherever every line has a space, after something in some line."""
    kept = [line for line in lines if line.strip()]
    if len(kept) < _FEWEST:
        return _Sample(ending, form, {}, frozenset())
    length = max(map(len, kept), default=0)
    blank = [all(place >= len(line) or line[place] == " " for line in kept) for place in range(length)]
    ends = [place for place in range(1, length) if blank[place] and not blank[place - 1]] + [length]
    starts = [0, *ends[:-1]]
    names = [f"field_{number}" for number in range(1, len(ends) + 1)]
    values = {name: [line[start:end].strip() for line in kept] for name, start, end in zip(names, starts, ends, strict=True)}
    widths = [end - start for start, end in zip(starts, ends, strict=True)]
    return _Sample(ending, {"kind": "fixed", "header": names, "widths": widths, **form}, values, frozenset())


def _mapped_by_values(columns: dict[str, list[str]]) -> dict[str, str]:
    """Of fields without names: the one with times, the last with decimals for the amount, small numbers for the quantity, others for the customer."""
    found: dict[str, str] = {}
    free = [name for name, values in columns.items() if any(values)]

    def take(ours: str, pattern: str, names: Sequence[str]) -> None:
        for name in names:
            values = [value for value in columns[name] if value]
            if all(re.fullmatch(pattern, value) for value in values) and (ours != "sold_at" or _written(values)):
                found[name] = ours
                free.remove(name)
                return

    take("sold_at", r".*[0-9]{4}.*", free)
    take("amount", r"-?[0-9]+[.,][0-9]+", free[::-1])
    take("quantity", r"-?[0-9]{1,4}", free)
    take("customer", r"[0-9]{3,}", free)
    return {name: found[name] for name in columns if name in found}


def _of_parquet(path: Path) -> _Sample:
    try:
        file = pq.ParquetFile(path)
        table = next(file.iter_batches(batch_size=_ROWS), None)
    except pa.ArrowException:
        raise InputError(f"{path.name} is not a whole Parquet file") from None
    names = file.schema_arrow.names
    typed = frozenset(field.name for field in file.schema_arrow if pa.types.is_timestamp(field.type) or pa.types.is_date(field.type))
    values = {
        name: [] if table is None else [str(value) for value in table.column(name).to_pylist() if value is not None] for name in names
    }
    return _Sample("parquet", {}, values, typed)


def _of_sheet(path: Path) -> _Sample:
    from openpyxl import load_workbook

    workbook = load_workbook(path, read_only=True, data_only=True)
    try:
        rows = [
            [("" if cell is None else cell) for cell in row]
            for row in workbook.worksheets[0].iter_rows(max_row=_ROWS + 1, values_only=True)
        ]
    finally:
        workbook.close()
    typed = frozenset(
        str(name)
        for place, name in enumerate(rows[0] if rows else [])
        if any(hasattr(row[place], "year") for row in rows[1:] if place < len(row))
    )
    return _Sample("xlsx", {}, _columns([[str(cell) for cell in row] for row in rows]), typed)


def _columns(rows: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    header = [name.strip() for name in rows[0]] if rows else []
    return {
        name: [row[place].strip() for row in rows[1:] if place < len(row) and row[place].strip()]
        for place, name in enumerate(header)
        if name
    }


def _mapped(names: Sequence[str]) -> dict[str, str]:
    """Theirs to ours, each of ours once, in the order of the file."""
    found: dict[str, str] = {}
    for ours, pattern in _NAMES.items():
        fitting = [name for name in names if name not in found and re.fullmatch(pattern, name.strip().casefold().replace("_", " "))]
        if fitting:
            found[fitting[0]] = ours
    return {name: found[name] for name in names if name in found}


def _written(values: Sequence[str]) -> str | None:
    """The format that fits most values, the first of those that fit as many; none where it fits fewer than four of five."""
    column = pa.array(values, pa.string())
    fits = {text: len(values) - int(times.from_texts(column, (text,), "UTC", None).bad.sum()) for text in _TIMES}
    best = max(fits, key=lambda text: fits[text])
    return best if values and fits[best] >= 0.8 * len(values) else None


def _cancellation(sample: _Sample, given: dict[str, str]) -> dict[str, object] | None:
    invoices = sample.columns.get(given.get("invoice", ""), [])
    if any(re.fullmatch(r"[Cc][0-9]+", value) for value in invoices) and not all(value[:1] in "Cc" for value in invoices):
        return {"column": "invoice", "prefix": "C"}
    quantities = sample.columns.get(given.get("quantity", ""), [])
    return {"negative_quantity": True} if any(value.startswith("-") for value in quantities) else None
