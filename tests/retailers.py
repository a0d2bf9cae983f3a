"""Small files of retailers who are not ours, in the shapes of public data sets: by a seed, each with a known sum."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path


@dataclass(frozen=True)
class Shape:
    """A retailer's files as they lie in a folder, and what is true of them: lines that are sales, and their units and money."""

    source: str
    lines: int
    units: float
    amount: float


def weekly_totals(folder: Path) -> Shape:
    """Per store, brand and week the logarithm of what was sold, with price and promotion flag: no receipts, no customers."""
    chance, lines = random.Random(3), ["store,brand,week,logmove,feat,price"]
    units = amount = 0.0
    for week in range(40, 110):
        for store in (2, 5, 8):
            for brand in ("dominicks", "minute.maid", "tropicana", "florida"):
                feat = int(chance.random() < 0.15)
                sold = 64 * max(1, round(chance.gauss(30 + 9 * len(brand), 12) * (1 + 1.2 * feat)))
                price = round(1.5 + 0.1 * len(brand) - 0.4 * feat, 2)
                lines.append(f"{store},{brand},{week},{math.log(sold):.9f},{feat},{price}")
                units, amount = units + sold, amount + sold * price
    (folder / "oj.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Shape("dominicks-orange-juice", len(lines) - 1, units, amount)


def grocery_lines(folder: Path) -> Shape:
    """Lines of households with baskets and values after discounts; the products' names lie in a table beside."""
    chance = random.Random(5)
    products = {1_000 + number: f"KIND {number:02}" for number in range(40)}
    (folder / "products.csv").write_text(
        "product_id,department,product_type\n" + "".join(f"{code},GROCERY,{name}\n" for code, name in products.items()), encoding="utf-8"
    )
    names = ["household_id", "store_id", "basket_id", "product_id", "quantity", "sales_value", "retail_disc", "transaction_timestamp"]
    lines, units, amount = [",".join(names)], 0.0, 0.0
    likes = {household: chance.sample(sorted(products), 8) for household in range(1, 61)}
    for day in range(240):
        for household, liked in likes.items():
            if chance.random() > 0.12:
                continue
            when = datetime(2017, 1, 1, 9) + timedelta(days=day, minutes=chance.randrange(600))
            for product in sorted(set(chance.choices(liked, k=4))):
                quantity, value = chance.randint(1, 3), round(chance.uniform(0.5, 9), 2)
                basket = day * 1_000 + household
                lines.append(f"{household},{household % 2 + 300},{basket},{product},{quantity},{value},0.10,{when:%Y-%m-%dT%H:%M:%SZ}")
                units, amount = units + quantity, amount + value
    (folder / "transactions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Shape("complete-journey", len(lines) - 1, units, amount)


def purchases(folder: Path) -> Shape:
    """Customer number, day, quantity and value in fixed places, and nothing else."""
    chance, lines = random.Random(7), []
    units = amount = 0.0
    for customer in range(1, 161):
        day, every = date(1997, 1, 1) + timedelta(days=chance.randrange(60)), chance.choice((20, 45, 120))
        while day < date(1998, 6, 30):
            quantity = chance.randint(1, 5)
            value = round(quantity * chance.uniform(11, 16), 2)
            lines.append(f" {customer:05} {day:%Y%m%d} {quantity:2} {value:7.2f}")
            units, amount = units + quantity, amount + value
            day += timedelta(days=max(1, round(chance.expovariate(1 / every))))
    (folder / "CDNOW_master.txt").write_text("\r\n".join(lines) + "\r\n", encoding="ascii")
    return Shape("cdnow", len(lines), units, amount)


def store_days(folder: Path, stores: int = 12, days: int = 260) -> Shape:
    """Each store's sales of a day with open, promotion and holiday flags; closed days say zero."""
    chance = random.Random(11)
    lines = ['"Store","DayOfWeek","Date","Sales","Customers","Open","Promo","StateHoliday","SchoolHoliday"']
    sales, total = 0, 0
    for number in range(days):
        day = date(2014, 1, 1) + timedelta(days=number)
        promo, holiday = int(number // 7 % 2 == 0 and day.weekday() < 5), "a" if day.month == 5 and day.day == 1 else "0"
        for store in range(1, stores + 1):
            is_open = int(day.weekday() != 6 and (holiday == "0" or store == 3))  # one is at a station
            sold = is_open * round(chance.gauss(4_000 + 300 * (store % 40) + 1_500 * promo, 400))
            lines.append(f'{store},{day.isoweekday()},{day},{sold},{sold // 9},{is_open},{promo},"{holiday}",0')
            sales, total = sales + is_open, total + sold
    (folder / "train.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Shape("rossmann", sales, float(total), float(total))
