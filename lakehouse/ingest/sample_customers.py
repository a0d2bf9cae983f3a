"""The people of the sample shop: distinct kinds of customers, what they like, when they come, and what they are in the habit of buying."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lakehouse.ingest.sample_draws import Bools, Draws, Ints, pick_by_row
from lakehouse.ingest.sample_products import NEVER, Products
from lakehouse.ingest.sample_words import COUNTRIES, FAMILIES, STYLES, Bump, season

Stay = Literal["always", "leaves", "short"]

TASTES = 12
HABITS = 10
NOBODY = -1
SHORT_STAY = 6  # weeks, at the most
_LIKED_FAMILIES = 4
_HABIT_CHANGES = 4_000  # of a million habits, each week
_FORGOTTEN = 120_000  # of a million purchases that are due
# Permille of the mean time between two visits, and of a habit's cycle.
_REGULAR = (700, 800, 850, 900, 950, 1000, 1000, 1050, 1100, 1150, 1200, 1300)
_LOOSE = (250, 400, 550, 650, 750, 850, 950, 1050, 1200, 1400, 1700, 2250)


@dataclass(frozen=True)
class Kind:
    """A type of customer. `share`: of a hundred; `gap`: days between visits; `basket`: products picked by taste on a visit;
    `units`: of a product; `rest` and `bumps`: the season of their visits, as of families."""

    name: str
    share: int
    gap: int
    jitter: tuple[int, ...]
    basket: tuple[int, ...]
    units: tuple[int, ...]
    habits: int
    stay: Stay
    rest: int
    bumps: tuple[Bump, ...]


_YEAR_END = (Bump(48, 8, 600),)
KINDS = (
    Kind("wholesale", 6, 19, _REGULAR, (3, 4, 5, 6, 6, 8, 10, 12), (2, 3, 3, 4, 4, 5, 6, 8), 8, "always", 900, (Bump(44, 9, 700),)),
    Kind("regular", 20, 13, _REGULAR, (1, 1, 1, 2, 2, 3, 4, 5), (1, 1, 1, 1, 1, 2, 2), 10, "always", 950, _YEAR_END),
    Kind("occasional", 34, 42, _LOOSE, (1, 2, 2, 3, 3, 4, 5, 6), (1, 1, 1, 1, 2, 2), 4, "always", 900, _YEAR_END),
    Kind("gift buyer", 18, 50, _LOOSE, (2, 3, 4, 5, 6, 8), (1, 1, 1, 1, 1, 2), 0, "always", 250, (Bump(48, 6, 4500), Bump(10, 4, 900))),
    Kind("one-time", 12, 24, _LOOSE, (1, 1, 2, 2, 3, 4), (1, 1, 1, 2), 0, "short", 1000, ()),
    Kind("lapsed", 10, 13, _REGULAR, (1, 2, 2, 3, 3, 4, 6), (1, 1, 1, 1, 2, 2), 8, "leaves", 1000, ()),
)
WALK_IN = Kind("walk-in", 0, 0, (), (1, 1, 1, 2, 2, 3, 4, 5), (1, 1, 1, 1, 1, 2, 2), 0, "always", 1000, ())
ALL_KINDS = (*KINDS, WALK_IN)
WALK_IN_KIND = len(KINDS)


@dataclass(frozen=True)
class Customers:
    """One entry per customer. Weeks count from the sample's first; nobody comes before `joined` or from `left` on."""

    numbers: Ints
    kind: Ints
    taste: Ints
    joined: Ints
    left: Ints
    country: Ints
    store: Ints

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True)
class Visits:
    """One entry per receipt of a week: who (`NOBODY` for a walk-in), and what decides what they buy. No order of time."""

    customer: Ints
    kind: Ints
    taste: Ints

    def __len__(self) -> int:
        return len(self.customer)


def make_customers(seed: int, path: int, count: int, weeks: int, stores: int) -> Customers:
    draws = Draws(seed, path)
    # Laid out by share and then shuffled: a small shop too has some of each kind.
    shares = np.cumsum([kind.share for kind in KINDS])
    kind = np.searchsorted(shares, (np.arange(count) * 100 + 50) // count, side="right").astype(np.int64)[draws.order(count)]
    stay = np.array([("always", "leaves", "short").index(k.stay) for k in KINDS], dtype=np.int64)[kind]
    later = draws.below(weeks, count)
    joined = np.where(draws.chance(450_000, count) | (stay == 2), later, 0)
    joined = np.where(stay == 1, later // 4, joined)
    leaves = np.maximum(joined + SHORT_STAY + 2, weeks * draws.between(25, 85, count) // 100)
    left = np.select([stay == 1, stay == 2], [leaves, joined + draws.between(1, SHORT_STAY, count)], NEVER)
    abroad = draws.between(1, len(COUNTRIES) - 1, count)
    return Customers(
        numbers=draws.order(count) + 12_001,
        kind=kind,
        taste=draws.below(TASTES, count),
        joined=joined,
        left=left,
        country=np.where(draws.chance(150_000, count), abroad, 0),
        store=pick_stores(draws, stores, count),
    )


def pick_stores(draws: Draws, stores: int, size: int) -> Ints:
    """Stores from 0 on, the first the busiest."""
    return draws.weighted(1000 // (np.arange(stores, dtype=np.int64) + 1), size)


def affinities(seed: int, path: int, products: Products) -> Ints:
    """How much more each taste likes each product than its popularity says: tastes by products."""
    draws = Draws(seed, path)
    families, styles = draws.order(len(FAMILIES)), draws.order(TASTES) % len(STYLES)
    liked = np.ones((TASTES, len(products)), dtype=np.int64)
    for taste in range(TASTES):
        # Neighbouring tastes share families, so that liking one thing tells something, not everything.
        mine = families[(taste * 2 + np.arange(_LIKED_FAMILIES)) % len(FAMILIES)]
        liked[taste, np.isin(products.family, mine)] *= 12
        liked[taste, products.style == styles[taste]] *= 5
    return liked


class People:
    """The customers in motion: when each comes next and what is due. Called once for every week, in order."""

    def __init__(self, seed: int, path: int, customers: Customers, products: Products, likes: Ints) -> None:
        self._customers, self._products = customers, products
        draws = Draws(seed, path)
        count = len(customers)
        staple = np.array([family.staple for family in FAMILIES], dtype=np.int64)[products.family]
        # Never nothing at all: a very small shop may have no staples for some taste.
        self._habit_likes = likes * products.popularity * np.maximum(staple, 1)
        self._gap = np.array([kind.gap for kind in KINDS], dtype=np.int64)[customers.kind]
        self._jitters = tuple(kind.jitter for kind in KINDS)
        # Thousandths of a day of the customer's own time, which runs faster in season.
        whole = self._gap * 1000
        # Who is new comes within the first week; the others are somewhere between two visits.
        new = (customers.joined > 0) | (customers.left <= customers.joined + SHORT_STAY)
        self._wait = np.where(new, draws.below(7000, count), draws.below(whole, count))
        slots = np.array([kind.habits for kind in KINDS], dtype=np.int64)[customers.kind]
        self._has_habit = np.arange(HABITS) < slots[:, None]
        self._habit = np.zeros((count, HABITS), dtype=np.int64)
        self._due = np.zeros((count, HABITS), dtype=np.int64)
        self._renew(draws, self._has_habit, 0)

    def week(self, draws: Draws, week: int, year_week: int) -> tuple[Visits, Ints, Ints]:
        """The visits of a week; for each purchase out of habit its visit, and its product."""
        dead = ~self._products.alive(week)
        self._renew(draws, self._has_habit & dead[self._habit], week)
        bored = draws.chance(_HABIT_CHANGES, self._habit.size).reshape(self._habit.shape)
        self._renew(draws, self._has_habit & bored, week)
        customer = self._come(draws, week, year_week)
        visits = Visits(customer, self._customers.kind[customer], self._customers.taste[customer])
        return visits, *self._buy_habits(draws, customer, week)

    def _come(self, draws: Draws, week: int, year_week: int) -> Ints:
        who = self._customers
        pace = np.array([season(kind.bumps, kind.rest, year_week) for kind in KINDS], dtype=np.int64)[who.kind]
        here = (who.joined <= week) & (week < who.left)
        self._wait -= np.where(here, 7 * pace, 0)
        rounds = []
        while len(coming := np.flatnonzero(here & (self._wait <= 0))):
            rounds.append(coming)
            self._wait[coming] += self._gap[coming] * pick_by_row(draws, self._jitters, who.kind[coming])
        return np.concatenate([*rounds, np.zeros(0, dtype=np.int64)])

    def _buy_habits(self, draws: Draws, customer: Ints, week: int) -> tuple[Ints, Ints]:
        """What is due by the end of the week is bought on the customer's first visit of it."""
        _, first = np.unique(customer, return_index=True)
        people = customer[first]
        due = self._has_habit[people] & (self._due[people] <= week * 7 + 7)
        due &= ~draws.chance(_FORGOTTEN, due.size).reshape(due.shape)
        row, slot = np.nonzero(due)
        product = self._habit[people[row], slot]
        cycle = self._products.cycle[product] * draws.between(850, 1150, len(product)) // 1000
        self._due[people[row], slot] = week * 7 + 3 + cycle
        return first[row].astype(np.int64), product

    def _renew(self, draws: Draws, which: Bools, week: int) -> None:
        row, slot = np.nonzero(which)
        likes = self._habit_likes * self._products.alive(week)
        product = draws.weighted_rows(likes, self._customers.taste[row])
        self._habit[row, slot] = product
        self._due[row, slot] = np.maximum(week, self._customers.joined[row]) * 7 + draws.below(self._products.cycle[product], len(row))
