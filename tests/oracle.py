"""Feature rows said naively: at each moment of the grid, look at every line again. Slow, and short enough to be seen to be right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

DAY = timedelta(days=1)
Values = dict[str, object]
Rows = list[tuple[tuple[str, ...], datetime, Values]]


@dataclass(frozen=True)
class Sold:
    """A line of silver. `kind`: sale, return or charge."""

    kind: str
    store: str
    product: str
    customer: str | None
    quantity: Decimal
    amount: Decimal
    sold_at: datetime
    known_at: datetime


def product_rows(lines: Sequence[Sold], moments: Sequence[datetime]) -> Rows:
    """Rows of features.product_sales, sorted by entity and moment."""
    return _rows(_by(lines, lambda line: (line.store, line.product)), moments, _product)


def customer_rows(lines: Sequence[Sold], moments: Sequence[datetime]) -> Rows:
    """Rows of features.customer_history, sorted by entity and moment."""
    return _rows(_by([line for line in lines if line.customer], lambda line: (str(line.customer),)), moments, _customer)


def _by(lines: Sequence[Sold], entity: Callable[[Sold], tuple[str, ...]]) -> Mapping[tuple[str, ...], list[Sold]]:
    found: dict[tuple[str, ...], list[Sold]] = {}
    for line in lines:
        if line.kind != "charge":
            found.setdefault(entity(line), []).append(line)
    return found


def _rows(
    lines: Mapping[tuple[str, ...], list[Sold]], moments: Sequence[datetime], values_at: Callable[[list[Sold], datetime], Values]
) -> Rows:
    found: Rows = []
    for entity, theirs in sorted(lines.items()):
        last: Values | None = None
        for moment in sorted(moments):
            usable = [line for line in theirs if line.sold_at < moment and line.known_at < moment]
            values = values_at(usable, moment)
            if usable and values != last:
                found.append((entity, moment, values))
                last = values
    return found


def _product(lines: list[Sold], moment: datetime) -> Values:
    def units(far: int, near: int = 0) -> Decimal:
        return sum((line.quantity for line in _between(lines, moment, far, near)), Decimal(0))

    sales = [line for line in lines if line.kind == "sale"]
    return {
        **{f"units_{weeks}w": units(7 * weeks) for weeks in (1, 2, 3, 4, 6, 8, 13, 26, 52)},
        # Forecast week n begins n - 1 weeks after the moment; a year before that are 52 weeks.
        **{f"units_year_ago_{week}": units(7 * (53 - week), 7 * (52 - week)) for week in (1, 2, 3, 4)},
        "units_year_ago_13w": units(7 * 65, 7 * 52),
        **{f"revenue_{weeks}w": _money(_between(lines, moment, 7 * weeks)) for weeks in (4, 13, 52)},
        **{f"lines_{weeks}w": len(_between(sales, moment, 7 * weeks)) for weeks in (4, 13, 52)},
        "first_sold": min((line.sold_at.date() for line in sales), default=None),
        "last_sold": max((line.sold_at.date() for line in sales), default=None),
    }


def _customer(lines: list[Sold], moment: datetime) -> Values:
    sales, returns = ([line for line in lines if line.kind == kind] for kind in ("sale", "return"))
    bought = {line.product: {one.sold_at.date() for one in sales if one.product == line.product} for line in sales}
    recent = sorted(bought, key=lambda product: (-max(bought[product]).toordinal(), -len(bought[product]), product))[:100]
    return {
        **{f"spend_{weeks}w": _money(_between(lines, moment, 7 * weeks)) for weeks in (4, 13, 52)},
        "units_52w": sum((line.quantity for line in _between(sales, moment, 364)), Decimal(0)),
        "units_returned_52w": -sum((line.quantity for line in _between(returns, moment, 364)), Decimal(0)),
        "lines_52w": len(_between(sales, moment, 364)),
        **{f"days_{weeks}w": len({line.sold_at.date() for line in _between(sales, moment, 7 * weeks)}) for weeks in (13, 52)},
        "products_ever": len(bought),
        "first_bought": min((line.sold_at.date() for line in sales), default=None),
        "last_bought": max((line.sold_at.date() for line in sales), default=None),
        "recent_products": recent,
        "recent_times": [len(bought[product]) for product in recent],
        "recent_last": [(max(bought[product]) - datetime(1970, 1, 1).date()).days for product in recent],
    }


def _between(lines: Iterable[Sold], moment: datetime, far: int, near: int = 0) -> list[Sold]:
    return [line for line in lines if moment - far * DAY <= line.sold_at < moment - near * DAY]


def _money(lines: Iterable[Sold]) -> Decimal:
    return sum((line.amount for line in lines), Decimal(0))
