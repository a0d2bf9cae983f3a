"""What happens to the sample's lines on their way to a file: cancelled, repeated, late, spoiled."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lakehouse.ingest.sample_customers import NOBODY
from lakehouse.ingest.sample_draws import MILLION, Draws, Ints
from lakehouse.ingest.sample_shop import DAY, Lines, Shop, joined

WEEK = 7 * DAY
UNHARMED, CANCELLED, REPEATED, LATE, FIRST_DIRT = range(5)
DIRT = (
    "unparsable quantity",
    "bad date",
    "date in 1900",
    "date in the far future",
    "no product code",
    "ragged line",
    "zero price",
    "negative price",
)
# In parts of a million sales. Slightly above the shares that files show (2 % cancellations, 1 % repeats, .5 % late, .2 % of each dirt),
# since cancellations and repeats are lines too; cancellations are of sales with a customer alone.
_CANCELLED, _REPEATED, _LATE, _DIRT = 26_500, 10_450, 5_300, 2_090
_PARTLY = 300_000  # of a million cancellations
_LATEST = 5  # weeks
_DELAYS = (0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 9, 11, 14, 17, 20)  # days until a cancellation
_DELAY_SAME_DAY = 5400  # seconds


@dataclass(frozen=True)
class Arrivals:
    """What one week's file holds, receipts numbered, in order of time but for late lines, which stand where their time puts them: first."""

    lines: Lines
    late: int


class Journey:
    """Carries what belongs into a later file: late lines and cancellations still to come."""

    def __init__(self, seed: int, shop: Shop, weeks: int, dirt: bool) -> None:
        self._seed, self._shop, self._weeks, self._dirt = seed, shop, weeks, dirt
        self._late: dict[int, list[Lines]] = {}
        self._cancellations: dict[int, list[Lines]] = {}
        self._receipts = 500_000

    def week(self, week: int) -> Arrivals:
        draws = Draws(self._seed, 7, week)
        sales = self._with_fates(draws, self._shop.week(week))
        self._keep(self._cancellations, self._cancel(draws, sales.take(sales.fate == CANCELLED)))
        lines = self._numbered(sales, self._cancellations.pop(week, []))
        late = lines.fate == LATE
        self._hold_back(draws, lines.take(late), week)
        arrived = self._late.pop(week, [])
        both = joined([*arrived, lines.take(~late)]).in_order()
        copies = 1 + (both.fate == REPEATED)
        return Arrivals(both.take(np.repeat(np.arange(len(both)), copies)), sum(len(part) for part in arrived))

    def _with_fates(self, draws: Draws, sales: Lines) -> Lines:
        throw = draws.below(MILLION, len(sales))
        ends = np.cumsum([_CANCELLED, _REPEATED, _LATE, *(_DIRT if self._dirt else 0 for _ in DIRT)])
        fates = np.array([CANCELLED, REPEATED, LATE, *range(FIRST_DIRT, FIRST_DIRT + len(DIRT)), UNHARMED], dtype=np.int64)
        fate = fates[np.searchsorted(ends, throw, side="right")]
        is_charge = sales.product >= len(self._shop.products)
        spared = is_charge | ((fate == CANCELLED) & (sales.customer == NOBODY))
        last = (sales.second // WEEK == self._weeks - 1) & (fate == LATE)
        return replace(sales, fate=np.where(spared | last, UNHARMED, fate))

    def _cancel(self, draws: Draws, sales: Lines) -> Lines:
        """A cancellation for each sale: of all or of a part of it, later that day or on a later day before the sample ends."""
        count = len(sales)
        partly = draws.chance(_PARTLY, count)
        quantity = np.where(partly, 1 + draws.below(sales.quantity, count), sales.quantity)
        day = sales.second // DAY + draws.pick(_DELAYS, count)
        shortly = sales.second + 60 + draws.below(_DELAY_SAME_DAY, count)
        on_that_day = day * DAY + 9 * 3600 + draws.below(10 * 3600, count)
        same_day = (day == sales.second // DAY) | (day >= self._weeks * 7)
        second = np.where(same_day, shortly, on_that_day)
        return replace(
            sales,
            second=second,
            quantity=-quantity,
            promotion=self._shop.on_promotion(sales.product, second),
            cancels=np.ones(count, dtype=np.int64),
            fate=np.full(count, UNHARMED, dtype=np.int64),
        )

    def _hold_back(self, draws: Draws, lines: Lines, week: int) -> None:
        arrives = np.minimum(week + draws.between(1, _LATEST, len(lines)), self._weeks - 1)
        for later in np.unique(arrives).tolist():
            self._late.setdefault(later, []).append(lines.take(arrives == later))

    @staticmethod
    def _keep(by_week: dict[int, list[Lines]], lines: Lines) -> None:
        weeks = lines.second // WEEK
        for week in np.unique(weeks).tolist():
            by_week.setdefault(week, []).append(lines.take(weeks == week))

    def _numbered(self, sales: Lines, cancellations: list[Lines]) -> Lines:
        """Receipts numbered in the order of their time through the whole sample; every cancelled line has a receipt of its own."""
        cancelled = joined([sales.take(np.zeros(0, dtype=np.int64)), *cancellations])
        visits = int(sales.receipt.max(initial=-1)) + 1
        own: Ints = visits + np.arange(len(cancelled))
        lines = joined([sales, replace(cancelled, receipt=own)])
        _, first, inverse = np.unique(lines.receipt, return_index=True, return_inverse=True)
        order = np.lexsort((first, lines.second[first]))
        rank = np.empty(len(first), dtype=np.int64)
        rank[order] = np.arange(len(first))
        numbered = replace(lines, receipt=self._receipts + rank[inverse])
        self._receipts += len(first)
        return numbered
