"""What the lines of each source tell that landed, from the statistics in bronze's log: no line is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from lakehouse.errors import OtherCurrency
from lakehouse.ingest import sources
from lakehouse.ingest.sources import Source
from lakehouse.tables import Lake, delta, home_id
from lakehouse.tables.catalog import BRONZE

_COLUMNS = ("store", "invoice", "product_code", "description", "customer_key", "country", "promotion", "holiday")
_BOUNDS = ("source", "store", "product_code", "covers", "sold_at")
Statistics = Mapping[str, object]  # of one file of bronze


@dataclass(frozen=True)
class Told:
    """One source's `lines` in bronze, refused ones among them. `fields`: bronze's columns that some line has a value of, `single` those that have
    the same in all. `is_weekly`: weekly totals are among them; `has_hours`: some line was sold at another time than midnight."""

    source: str
    lines: int
    fields: frozenset[str]
    single: frozenset[str]
    is_weekly: bool
    has_hours: bool


def told(lake: Lake) -> list[Told]:
    """By source, in order of name; nothing where nothing has landed."""
    if not delta.exists(lake.path(BRONZE)):
        return []
    files: dict[str, list[Statistics]] = {}
    for file in delta.statistics(lake.path(BRONZE), _COLUMNS, _BOUNDS):
        if file["min.source"] is not None and file["min.source"] == file["max.source"]:  # corrections of several sources may share a file
            files.setdefault(str(file["min.source"]), []).append(file)
    return [_of(source, found) for source, found in sorted(files.items())]


def refuse_other_currency(lake: Lake, source: Source) -> None:
    """Raises `OtherCurrency` where lines have landed in another currency: amounts are added up as they are. It is noted when a file lands, since an
    entry may be changed or removed; a lake from before goes by the entries of what it holds."""
    described, noted = sources.every(lake.settings.profile), home_id.currency(lake.ops)
    for one in told(lake):
        other = described.get(one.source)
        currency = noted or (other.currency if isinstance(other, Source) else source.currency)
        if currency != source.currency:
            raise OtherCurrency(
                f"source {source.name} is in {source.currency}, and this lake holds {one.lines:,} lines of source {one.source} in {currency}:"
                " they would be added up as if they were one. Expected one currency in a lake: give this source a home of its own (--home), or load"
                " it converted"
            )


def _of(source: str, files: Iterable[Statistics]) -> Told:
    found = list(files)
    lines = sum(_number(file, "num_records") or 0 for file in found)
    return Told(
        source,
        lines,
        frozenset(name for name in _COLUMNS if any(_has(file, name) for file in found)),
        frozenset(
            name for name in ("store", "product_code") if len({file[f"{end}.{name}"] for file in found for end in ("min", "max")}) == 1
        ),
        any("week" in (file["min.covers"], file["max.covers"]) for file in found),
        any(_is_within_a_day(file["min.sold_at"]) or _is_within_a_day(file["max.sold_at"]) for file in found),
    )


def _has(file: Statistics, column: str) -> bool:
    """Whether some line of the file has a value; where that was not counted, yes."""
    if column == "store" and (file["min.store"], file["max.store"]) == ("all", "all"):  # what stands for no store
        return False
    missing = _number(file, f"null_count.{column}")
    return missing is None or missing != file["num_records"]


def _number(file: Statistics, name: str) -> int | None:
    found = file[name]
    return found if isinstance(found, int) else None


def _is_within_a_day(moment: object) -> bool:
    return isinstance(moment, datetime) and (moment.hour, moment.minute, moment.second) != (0, 0, 0)
