"""The sample shop at work: one week's lines, before any accident happens to them on the way to a file."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import date, timedelta

import numpy as np

from lakehouse.ingest.sample_customers import (
    ALL_KINDS,
    NOBODY,
    TASTES,
    WALK_IN_KIND,
    Customers,
    People,
    Visits,
    affinities,
    make_customers,
    pick_stores,
)
from lakehouse.ingest.sample_draws import Bools, Draws, Ints, pick_by_row
from lakehouse.ingest.sample_products import Products, Promotions, make_products, make_promotions
from lakehouse.ingest.sample_words import CHARGES

DAY = 86_400  # seconds
# Lines without a customer for each line with one, such that they are a fifth of all lines, cancellations included.
_WALK_IN_LINES = (24, 100)
_CHEAP = 150  # pence; of such things people take twice as many
_OTHER_NAME = 150_000  # of a million lines of a product that has one
_HOME_STORE = 850_000
_POSTAGE_ABROAD, _POSTAGE_AT_HOME, _CARRIAGE = 700_000, 25_000, 80_000
_POSTAGE_PENCE = (395, 495, 1200, 1500, 1800)
_WEEKDAYS = (0,) * 4 + (1,) * 4 + (2,) * 5 + (3,) * 6 + (4,) * 7 + (5,) * 9 + (6,) * 3
_HOURS = (8, 9, 9, 10, 10, 10, 11, 11, 11, 11, 12, 12, 12, 12, 13, 13, 13, 14, 14, 15, 15, 16, 16, 16, 17, 17, 17, 18, 18, 19)


@dataclass(frozen=True)
class Lines:
    """One entry per line; all columns are of one length.

    `second` counts from the sample's first midnight; `product` goes on past the products into the charges; `receipt` numbers visits within
    the week until receipts get their numbers; `price` is in pence; `promotion`, `other_name` and `cancels` are 1 or 0; `fate` is what
    happens to the line on its way (sample_fates).
    """

    second: Ints
    receipt: Ints
    product: Ints
    quantity: Ints
    price: Ints
    customer: Ints
    store: Ints
    promotion: Ints
    other_name: Ints
    cancels: Ints
    fate: Ints

    def __len__(self) -> int:
        return len(self.second)

    def columns(self) -> dict[str, Ints]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def take(self, which: Ints | Bools) -> Lines:
        return replace(self, **{name: column[which] for name, column in self.columns().items()})

    def in_order(self) -> Lines:
        return self.take(np.lexsort((self.product, self.receipt, self.second)))


def joined(parts: list[Lines]) -> Lines:
    """All lines of the parts, one part after the other. There is at least one part."""
    columns = [part.columns() for part in parts]
    return replace(parts[0], **{name: np.concatenate([one[name] for one in columns]) for name in columns[0]})


class Shop:
    """Asked for its weeks one after the other, each once; holds products, promotions and customers, and no past lines."""

    def __init__(self, seed: int, products: int, customers: int, stores: int, weeks: int, start: date) -> None:
        self._seed, self._stores, self._start = seed, stores, start
        self.products: Products = make_products(seed, 1, products, weeks, start)
        self.promotions: Promotions = make_promotions(seed, 2, self.products, weeks)
        self.customers: Customers = make_customers(seed, 3, customers, weeks, stores)
        self._likes = affinities(seed, 4, self.products)
        self._people = People(seed, 5, self.customers, self.products, self._likes)

    def week(self, week: int) -> Lines:
        """What is sold in one week, a receipt holding a product once."""
        draws = Draws(self._seed, 6, week)
        monday = self._start + timedelta(weeks=week)
        levels = self.products.levels(week, monday)
        weights = self._likes * self.products.popularity * levels
        visits, habit_visit, habit_product = self._people.week(draws, week, (monday.timetuple().tm_yday - 1) // 7)
        size = pick_by_row(draws, tuple(kind.basket for kind in ALL_KINDS), visits.kind)
        walk_ins = _walk_ins(draws, (int(size.sum()) + len(habit_visit)) * _WALK_IN_LINES[0] // _WALK_IN_LINES[1])
        visits, size = _both(visits, walk_ins[0]), np.concatenate([size, walk_ins[1]])
        visit = np.repeat(np.arange(len(visits)), size)
        product = draws.weighted_rows(weights, visits.taste[visit])
        visit, product = np.concatenate([visit, habit_visit]), np.concatenate([product, habit_product])
        visit, product = self._add_partners(draws, visit, product, monday, week)
        lift, discount = self.promotions.running(week, len(self.products))
        visit, product = _add_lift(draws, visit, product, visits.taste, lift)
        quantity = self._quantities(draws, visits.kind[visit], product)
        visit, product, quantity = _merged(visit, product, quantity, len(self.products))
        lines = self._lines(draws, week, visits, visit, product, quantity, discount)
        return joined([lines, self._charges(draws, lines)])

    def on_promotion(self, product: Ints, second: Ints) -> Ints:
        """1 for each of these products that was on promotion at that time, 0 for the others."""
        found = np.zeros(len(product), dtype=np.int64)
        weeks = second // (7 * DAY)
        for week in np.unique(weeks).tolist():
            lift, _ = self.promotions.running(week, len(self.products))
            now = weeks == week
            found[now] = lift[product[now]] > 100
        return found

    def _add_partners(self, draws: Draws, visit: Ints, product: Ints, monday: date, week: int) -> tuple[Ints, Ints]:
        open_to = np.minimum(self.products.seasons(monday), 1000) * self.products.alive(week)
        visits, found = [visit], [product]
        for column in range(self.products.partners.shape[1]):
            partner = self.products.partners[product, column]
            chance = self.products.partner_chance[product, column] * open_to[partner] // 1000
            taken = draws.chance(chance, len(product))
            visits.append(visit[taken])
            found.append(partner[taken])
        return np.concatenate(visits), np.concatenate(found)

    def _quantities(self, draws: Draws, kind: Ints, product: Ints) -> Ints:
        units = pick_by_row(draws, tuple(kind.units for kind in ALL_KINDS), kind)
        return units * np.where(self.products.price[product] < _CHEAP, 2, 1)

    def _lines(self, draws: Draws, week: int, visits: Visits, visit: Ints, product: Ints, quantity: Ints, discount: Ints) -> Lines:
        count = len(visits)
        second = (week * 7 + draws.pick(_WEEKDAYS, count)) * DAY + draws.pick(_HOURS, count) * 3600 + draws.below(3600, count)
        anywhere = pick_stores(draws, self._stores, count)
        at_home = (visits.customer != NOBODY) & draws.chance(_HOME_STORE, count)
        store = np.where(at_home, self.customers.store[visits.customer], anywhere)
        price = self.products.prices(week)[product] * (100 - discount[product]) // 100
        other = self.products.has_other_name[product] & draws.chance(_OTHER_NAME, len(product))
        none = np.zeros(len(product), dtype=np.int64)
        return Lines(
            second=second[visit],
            receipt=visit,
            product=product,
            quantity=quantity,
            price=price,
            customer=visits.customer[visit],
            store=store[visit],
            promotion=(discount[product] > 0).astype(np.int64),
            other_name=other.astype(np.int64),
            cancels=none,
            fate=none,
        )

    def _charges(self, draws: Draws, lines: Lines) -> Lines:
        """Postage for receipts that are sent, most of those abroad; carriage for some of the wholesale ones."""
        _, first = np.unique(lines.receipt, return_index=True)
        heads = lines.take(first.astype(np.int64))
        known = heads.customer != NOBODY
        abroad = known & (self.customers.country[heads.customer] > 0)
        posted = known & draws.chance(np.where(abroad, _POSTAGE_ABROAD, _POSTAGE_AT_HOME), len(heads))
        wholesale = known & (self.customers.kind[heads.customer] == 0)
        carried = wholesale & ~posted & draws.chance(_CARRIAGE, len(heads))
        prices = draws.pick(_POSTAGE_PENCE, len(heads))
        sent = posted | carried
        charge = np.where(posted, 0, len(CHARGES) - 1) + len(self.products)
        none, one = np.zeros(len(heads), dtype=np.int64), np.ones(len(heads), dtype=np.int64)
        return replace(heads, product=charge, quantity=one, price=prices, promotion=none, other_name=none).take(sent)


def _walk_ins(draws: Draws, lines: int) -> tuple[Visits, Ints]:
    """Visits of people without a customer number, who pick `lines` products among them, and how many each picks."""
    size = draws.pick(ALL_KINDS[WALK_IN_KIND].basket, lines)
    ends = np.minimum(np.cumsum(size), lines)
    size = np.diff(ends, prepend=0)
    size = size[size > 0]
    count = len(size)
    nobody = np.full(count, NOBODY, dtype=np.int64)
    return Visits(nobody, np.full(count, WALK_IN_KIND, dtype=np.int64), draws.below(TASTES, count)), size


def _both(one: Visits, other: Visits) -> Visits:
    return Visits(
        np.concatenate([one.customer, other.customer]),
        np.concatenate([one.kind, other.kind]),
        np.concatenate([one.taste, other.taste]),
    )


def _add_lift(draws: Draws, visit: Ints, product: Ints, taste: Ints, lift: Ints) -> tuple[Ints, Ints]:
    """For each line of a product on promotion, as many more as its lift says, in baskets of people of the same taste.

    A basket gets them in proportion to its lines, so that the kinds of customers stay mixed as they were.
    """
    more = lift[product] - 100
    copies = more // 100 + (draws.below(100, len(product)) < more % 100)
    taste_of_line = taste[visit]
    by_taste = np.argsort(taste_of_line, kind="stable")
    counts = np.bincount(taste_of_line, minlength=TASTES).astype(np.int64)
    starts = np.cumsum(counts) - counts
    source = np.repeat(np.arange(len(product)), copies)
    wanted = taste_of_line[source]
    host = visit[by_taste[starts[wanted] + draws.below(counts[wanted], len(source))]]
    return np.concatenate([visit, host]), np.concatenate([product, product[source]])


def _merged(visit: Ints, product: Ints, quantity: Ints, products: int) -> tuple[Ints, Ints, Ints]:
    """What one receipt holds of one product becomes one line."""
    key = visit * products + product
    order = np.argsort(key, kind="stable")
    key, quantity = key[order], quantity[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    if not len(starts):
        return visit, product, quantity
    return key[starts] // products, key[starts] % products, np.add.reduceat(quantity, starts)
