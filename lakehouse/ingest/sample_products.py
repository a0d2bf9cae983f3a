"""The goods of the sample shop: what is sold from when until when, at which price, with which trend, and when it is on promotion."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from math import isqrt

import numpy as np

from lakehouse.ingest.sample_draws import MILLION, Bools, Draws, Ints
from lakehouse.ingest.sample_words import CHARGES, FAMILIES, STYLES, describe, season

NEVER = 1_000_000  # a week that does not come
YEAR = 52
PROMOTION_STARTS = 18_000  # of a million products that could have one, each week
REPEATED_NEXT_YEAR = 750_000  # of a million promotions
REST_AFTER_PROMOTION = 4  # weeks
_CHARM = (25, 45, 65, 75, 85, 95)
_GROWTH = (-45, -30, -20, -10, -5, 0, 0, 5, 10, 15, 25, 40, 60, 90)  # percent a year
_LETTERS = ("", "", "", "A", "B", "C", "S")


@dataclass(frozen=True)
class Products:
    """One entry per product that is ever sold; weeks count from the sample's first."""

    codes: tuple[str, ...]
    names: tuple[str, ...]
    other_names: tuple[str, ...]
    has_other_name: Bools
    family: Ints
    style: Ints
    born: Ints
    gone: Ints  # the first week without it
    popularity: Ints
    growth: Ints  # percent a year
    drift: Ints  # products by blocks of four weeks, permille
    shift: Ints  # weeks by which its season is earlier
    price: Ints  # pence
    raised: Ints  # the week from which a higher price holds
    raised_price: Ints
    cycle: Ints  # days until somebody who has the habit of it buys it again
    partners: Ints  # products by two: what is bought with it
    partner_chance: Ints  # the same shape, in parts of a million

    def __len__(self) -> int:
        return len(self.codes)

    def alive(self, week: int) -> Bools:
        return (self.born <= week) & (week < self.gone)

    def prices(self, week: int) -> Ints:
        """List prices in pence."""
        return np.where(week >= self.raised, self.raised_price, self.price)

    def seasons(self, monday: date) -> Ints:
        """Permille of its normal sales that each product's season allows in the week of that Monday."""
        week = (monday.timetuple().tm_yday - 1) // 7
        table = np.array([[season(f.bumps, f.rest, w) for w in range(YEAR + 1)] for f in FAMILIES], dtype=np.int64)
        return table[self.family, (week + self.shift) % YEAR]

    def levels(self, week: int, monday: date) -> Ints:
        """Permille of each product's popularity in one week: season, trend, drift, and a slow start for what is new."""
        trend = np.maximum(100, 1000 + self.growth * 10 * week // YEAR)
        start = np.where(self.born > 0, np.minimum(8, week - self.born + 2) * 125, 1000)
        level = self.seasons(monday) * trend // 1000 * self.drift[:, week // 4] // 1000 * start // 1000
        return np.where(self.alive(week), np.maximum(level, 1), 0)


@dataclass(frozen=True)
class Promotions:
    """One entry per promotion. `lift` is in hundredths: 250 means that it sells two and a half times as much."""

    product: Ints
    week: Ints
    weeks: Ints
    discount: Ints  # percent
    lift: Ints

    def running(self, week: int, products: int) -> tuple[Ints, Ints]:
        """Lift (100 without a promotion) and discount (0 without) of every product in one week."""
        lift, discount = np.full(products, 100, dtype=np.int64), np.zeros(products, dtype=np.int64)
        now = (self.week <= week) & (week < self.week + self.weeks)
        lift[self.product[now]] = self.lift[now]
        discount[self.product[now]] = self.discount[now]
        return lift, discount


def first_weeks_of_months(start: date, weeks: int) -> list[int]:
    """The weeks, after the first, whose Monday is the first of its month."""
    mondays = [start + timedelta(weeks=week) for week in range(weeks)]
    return [week for week in range(1, weeks) if mondays[week].month != mondays[week - 1].month]


def make_products(seed: int, path: int, count: int, weeks: int, start: date) -> Products:
    """`count` products at first; each month a hundredth of them is new and a hundredth goes."""
    draws = Draws(seed, path)
    born, gone = _lives(draws, count, first_weeks_of_months(start, weeks))
    total = len(born)
    family = draws.order(total) % len(FAMILIES)
    style = draws.below(len(STYLES), total)
    # Zipf-Mandelbrot with exponent 1.5; the rank is stretched so that the shape does not depend on the number of products.
    rank = draws.order(total) * 300 // total
    popularity = np.array([MILLION * 10 // isqrt(100 * (int(r) + 8) ** 3) for r in rank], dtype=np.int64)
    price = _charm(draws, family)
    raised_price = np.maximum(price + 5, price * draws.between(104, 112, total) // 100 // 5 * 5)
    raised = np.where(draws.chance(600_000, total), draws.below(max(weeks, 1), total), NEVER)
    steps = draws.between(880, 1136, total * (weeks // 4 + 1)).reshape(total, -1)
    partners = _partners(draws, family, style)
    names = _names(family, style)
    return Products(
        codes=_codes(draws, total),
        names=tuple(name for name, _ in names),
        other_names=tuple(other for _, other in names),
        has_other_name=draws.chance(80_000, total),
        family=family,
        style=style,
        born=born,
        gone=gone,
        popularity=popularity,
        growth=draws.pick(_GROWTH, total),
        drift=_walk(steps),
        shift=draws.between(-2, 2, total),
        price=price,
        raised=raised,
        raised_price=raised_price,
        cycle=draws.between(20, 70, total),
        partners=partners,
        partner_chance=np.stack([draws.between(150_000, 350_000, total), draws.between(40_000, 120_000, total)], axis=1),
    )


def make_promotions(seed: int, path: int, products: Products, weeks: int) -> Promotions:
    """Promotions of one or two weeks. Most come back after a year; a deeper discount lifts more; none follows another at once."""
    free_from = np.maximum(products.born + 8 * (products.born > 0), 0)
    found: list[tuple[Ints, ...]] = []
    again: dict[int, list[tuple[Ints, ...]]] = {}
    for week in range(weeks):
        draws = Draws(seed, path, week)
        free = products.alive(week) & (free_from <= week)
        chosen = np.flatnonzero(draws.chance(PROMOTION_STARTS, len(products)) & free)
        length = draws.between(1, 2, len(chosen))
        discount = draws.pick((10, 15, 20, 25, 30, 40), len(chosen))
        lift = np.clip(90 + discount * 7 + draws.between(-30, 60, len(chosen)), 150, 400)
        batch: tuple[Ints, ...] = (chosen, length, discount, lift)
        for earlier in again.pop(week, []):
            still = free[earlier[0]] & ~np.isin(earlier[0], chosen)
            batch = tuple(np.concatenate([ours, theirs[still]]) for ours, theirs in zip(batch, earlier, strict=True))
        free_from[batch[0]] = week + batch[1] + REST_AFTER_PROMOTION
        kept = draws.chance(REPEATED_NEXT_YEAR, len(batch[0]))
        again.setdefault(week + YEAR, []).append(tuple(part[kept] for part in batch))
        inside = np.minimum(np.minimum(batch[1], weeks - week), products.gone[batch[0]] - week)
        found.append((batch[0], np.full(len(batch[0]), week, dtype=np.int64), inside, batch[2], batch[3]))
    return Promotions(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def charge_lines() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Codes and names of what is on receipts without being a product."""
    return tuple(code for code, _ in CHARGES), tuple(name for _, name in CHARGES)


def _lives(draws: Draws, count: int, months: list[int]) -> tuple[Ints, Ints]:
    born, gone = [0] * count, [NEVER] * count
    for month, week in enumerate(months, start=1):
        # Rounded so that small shops get their hundredth over the months.
        change = count * month // 100 - count * (month - 1) // 100
        living = [product for product, end in enumerate(gone) if end == NEVER]
        for place in draws.order(len(living))[:change]:
            gone[living[int(place)]] = week
        born += [week] * change
        gone += [NEVER] * change
    return np.array(born, dtype=np.int64), np.array(gone, dtype=np.int64)


def _charm(draws: Draws, family: Ints) -> Ints:
    low = np.array([f.low for f in FAMILIES], dtype=np.int64)[family]
    span = np.array([f.high - f.low for f in FAMILIES], dtype=np.int64)[family]
    # The product of two even draws leans towards the cheap end.
    along = draws.below(1001, len(family)) * draws.below(1001, len(family)) // 1000
    pounds: Ints = (low + span * along // 1000) // 100
    return pounds * 100 + draws.pick(_CHARM, len(family))


def _walk(steps: Ints) -> Ints:
    """A product's level wanders by at most an eighth every four weeks, between a third and three times where it began."""
    walk = np.empty_like(steps)
    level = np.full(len(steps), 1000, dtype=np.int64)
    for block in range(steps.shape[1]):
        walk[:, block] = level
        level = np.clip(level * steps[:, block] // 1000, 333, 3000)
    return walk


def _names(family: Ints, style: Ints) -> list[tuple[str, str]]:
    seen: dict[tuple[int, int], int] = {}
    names = []
    for pair in zip(family.tolist(), style.tolist(), strict=True):
        number = seen.get(pair, 0)
        seen[pair] = number + 1
        names.append(describe(*pair, number))
    return names


def _codes(draws: Draws, total: int) -> tuple[str, ...]:
    numbers = draws.order(90_000)[:total] + 10_000
    letters = draws.below(len(_LETTERS), total)
    return tuple(f"{number}{_LETTERS[letter]}" for number, letter in zip(numbers.tolist(), letters.tolist(), strict=True))


def _partners(draws: Draws, family: Ints, style: Ints) -> Ints:
    """Two partners each: one of the sister family, one of the same; of the same style where there is one."""
    index = {f.name: number for number, f in enumerate(FAMILIES)}
    sisters = [index[f.sister] for f in FAMILIES]
    everything = list(range(len(family)))
    alike: dict[tuple[int, int], list[int]] = {}
    related: dict[int, list[int]] = {}
    for place, (its_family, its_style) in enumerate(zip(family.tolist(), style.tolist(), strict=True)):
        alike.setdefault((its_family, its_style), []).append(place)
        related.setdefault(its_family, []).append(place)
    chosen = draws.words(2 * len(family)).reshape(-1, 2).tolist()
    partners = np.empty((len(family), 2), dtype=np.int64)
    for place, (its_family, its_style) in enumerate(zip(family.tolist(), style.tolist(), strict=True)):
        for column, wanted in enumerate((sisters[its_family], its_family)):
            pools = (alike.get((wanted, its_style), []), related.get(wanted, []), everything)
            pool = next(pool for pool in pools if pool not in ([], [place]))
            pick = chosen[place][column] % len(pool)
            partners[place, column] = pool[pick] if pool[pick] != place else pool[pick - 1]
    return partners
