"""The text of the sample's files: canonical CSV, with some lines spoiled."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.ingest.sample_customers import Customers
from lakehouse.ingest.sample_draws import Draws, Ints
from lakehouse.ingest.sample_fates import DIRT, FIRST_DIRT
from lakehouse.ingest.sample_products import Products, charge_lines
from lakehouse.ingest.sample_shop import DAY, Lines
from lakehouse.ingest.sample_words import COUNTRIES

HEADER = "store,invoice,product_code,description,quantity,sold_at,unit_price,customer,country,promotion"
_NO_QUANTITIES = ("two", "1 dozen", "?", '"3,5"', "12x", "-")
_NO_DATES = ("2023-02-30T10:15:00", "31/31/2023", "yesterday", "2023-13-01T09:00:00", "0")


class Writer:
    """Turns lines into the bytes of a file. Holds the texts of products, customers and times, made once."""

    def __init__(self, seed: int, products: Products, customers: Customers, stores: int, weeks: int, start: date) -> None:
        self._seed = seed
        charge_codes, charge_names = charge_lines()
        self._codes = pa.array([*products.codes, *charge_codes])
        self._names = pa.array([_quoted(name) for name in (*products.names, *charge_names, *products.other_names)])
        self._listed = len(self._codes)
        # The last entry is for nobody, whose number is -1.
        self._numbers = pa.array([*map(str, customers.numbers.tolist()), ""])
        self._countries = pa.array([*(COUNTRIES[country] for country in customers.country.tolist()), COUNTRIES[0]])
        self._stores = pa.array(["all"] if stores == 1 else [f"S{number + 1}" for number in range(stores)])
        self._days = pa.array([str(start + timedelta(days=day)) for day in range(weeks * 7)])
        self._times = pa.array([f"T{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}" for s in range(DAY)])
        self._cents = pa.array([f"{cents:02d}" for cents in range(100)])

    def file(self, lines: Lines, week: int) -> bytes:
        """The file of one week, header first."""
        draws = Draws(self._seed, 8, week)
        nobody = len(self._numbers) - 1
        person = pa.array(np.where(lines.customer < 0, nobody, lines.customer))
        days, times = self._days.take(pa.array(lines.second // DAY)), self._times.take(pa.array(lines.second % DAY))
        codes = self._codes.take(pa.array(lines.product))
        quantities = pa.array(lines.quantity).cast(pa.string())
        sold_at = pc.binary_join_element_wise(days, times, "")
        pounds = pa.array(lines.price // 100).cast(pa.string())
        prices = pc.binary_join_element_wise(pounds, self._cents.take(pa.array(lines.price % 100)), ".")
        spoiled = {kind: lines.fate == FIRST_DIRT + number for number, kind in enumerate(DIRT)}

        def swapped(texts: pa.StringArray, kind: str, new: tuple[str, ...] | pa.StringArray) -> pa.StringArray:
            where = spoiled[kind]
            count = int(where.sum())
            values = pa.array(new).take(pa.array(draws.below(len(new), count))) if isinstance(new, tuple) else new.filter(pa.array(where))
            return pc.replace_with_mask(texts, pa.array(where), values)

        quantities = swapped(quantities, "unparsable quantity", _NO_QUANTITIES)
        sold_at = swapped(sold_at, "bad date", _NO_DATES)
        sold_at = swapped(sold_at, "date in 1900", pc.binary_join_element_wise("1900-01-01", times, ""))
        sold_at = swapped(sold_at, "date in the far future", pc.binary_join_element_wise("2099-12-31", times, ""))
        codes = swapped(codes, "no product code", ("",))
        prices = swapped(prices, "zero price", ("0.00",))
        prices = swapped(prices, "negative price", pc.binary_join_element_wise("-", prices, ""))
        marks = pa.array(["", "C"]).take(pa.array(lines.cancels))
        invoices = pc.binary_join_element_wise(marks, pa.array(lines.receipt).cast(pa.string()), "")
        names = self._names.take(pa.array(self._name_places(lines)))
        promotion = pa.array(["false", "true"]).take(pa.array(lines.promotion))
        texts = pc.binary_join_element_wise(
            self._stores.take(pa.array(lines.store)),
            invoices,
            codes,
            names,
            quantities,
            sold_at,
            prices,
            self._numbers.take(person),
            self._countries.take(person),
            promotion,
            ",",
        )
        ragged = texts.filter(pa.array(spoiled["ragged line"])).to_pylist()
        torn = [text.rsplit(",", 3)[0] if short else f"{text},1," for text, short in zip(ragged, draws.below(2, len(ragged)), strict=True)]
        texts = pc.replace_with_mask(texts, pa.array(spoiled["ragged line"]), pa.array(torn, type=pa.string()))
        return "\n".join([HEADER, *texts.to_pylist(), ""]).encode()

    def _name_places(self, lines: Lines) -> Ints:
        return lines.product + np.where(lines.other_name, self._listed, 0)


def _quoted(text: str) -> str:
    return f'"{text}"' if "," in text else text
