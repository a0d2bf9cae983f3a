"""What the files of each source that landed don't tell, which parts are switched off for that, and what is kept and used by nothing yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lakehouse.ingest import sources
from lakehouse.ingest.told import Told, told
from lakehouse.settings import conf_file
from lakehouse.tables import Lake

UNUSED = "kept in silver, not used by forecasts yet"
NO_CUSTOMER, ONE_PRODUCT, NO_RECEIPT = "no line names its customer", "there is one product only", "no line has the number of a receipt"

NOT_DESCRIBED = "sources.yml does not describe it any more"
UNDER_ANOTHER_NAME = ("its repeats, and its customers, in files that come under another name",)


@dataclass(frozen=True)
class SwitchedOff:
    """Parts that a source's files can't have, and why."""

    source: str
    parts: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        return f"Switched off for source {self.source}, since {self.reason}: {', '.join(self.parts)}"


@dataclass(frozen=True)
class Unused:
    """What a source's files tell and nothing asks for."""

    source: str
    fields: tuple[str, ...]

    def __str__(self) -> str:
        return f"Source {self.source} tells {' and '.join(self.fields)}: {UNUSED}"


def parts(lake: Lake) -> tuple[list[SwitchedOff], list[Unused]]:
    """By what has landed, source by source: what is switched off (nothing for one that tells all), and the flags that nothing asks for."""
    landed = told(lake)
    described = conf_file(sources.FILE, lake.settings.profile)
    off = [SwitchedOff(one.source, lacking, reason) for one in landed for reason, lacking in _missing(one)]
    off += [SwitchedOff(one.source, UNDER_ANOTHER_NAME, NOT_DESCRIBED) for one in landed if one.source not in described]
    flags = [Unused(one.source, tuple(name for name in ("promotion", "holiday") if name in one.fields)) for one in landed]
    return off, [one for one in flags if one.fields]


def _missing(one: Told) -> Iterator[tuple[str, tuple[str, ...]]]:
    with_customers = "customer_key" in one.fields
    if not with_customers:
        yield NO_CUSTOMER, ("segments", "recommendations", "gold.customers", "gold.customer_days")
    if "product_code" in one.single:
        yield ONE_PRODUCT, ("recommendations", "forecasts by product") if with_customers else ("forecasts by product",)
    if "invoice" not in one.fields:
        yield NO_RECEIPT, ("gold.baskets", "baskets of customers")
    if "store" not in one.fields:
        yield "no line names its store", ("forecasts by store",)
    if one.is_weekly:
        yield "a line is the total of a week", ("sales by day (each week's lie on its first)",)
    elif not one.has_hours:
        yield "no line tells the time of day", ("the order of sales within a day",)
    if with_customers and "country" not in one.fields:
        yield "no line names a country", ("countries of customers",)
    if "description" not in one.fields:
        yield "no line names its product in words", ("names in gold.products",)
