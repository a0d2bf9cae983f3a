"""What the demand model sees of a product at a moment: one function for training and serving.

Everything is a ratio to the product's own recent mean, an age or a place in the year, so that nothing depends on one shop's units, money or
codes. Ages come from dates at the moment asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lakehouse.models.interface import Floats, Rows

WINDOWS = (1, 2, 3, 4, 6, 8, 13, 26, 52)
MONEY = (4, 13, 52)
YEAR_AGO_WEEKS = 4
NEEDS = (
    *(f"units_{weeks}w" for weeks in WINDOWS),
    *(f"units_year_ago_{week}" for week in range(1, YEAR_AGO_WEEKS + 1)),
    "units_year_ago_13w",
    *(f"revenue_{weeks}w" for weeks in MONEY),
    *(f"lines_{weeks}w" for weeks in MONEY),
    "first_sold",
    "last_sold",
)
INPUTS = (
    *(f"mean_{weeks}w" for weeks in WINDOWS),
    "steps_4w",
    "log_scale",
    "log_lines_4w",
    "log_lines_13w",
    "line_rate",
    "units_per_line_13w",
    "units_per_line_52w",
    "log_price",
    "price_change",
    "weeks_sold",
    "days_since_last",
    "year_ago_13w",
    "year_ago_growth",
    "horizon",
    "season_sine",
    "season_cosine",
    "year_ago_week",
    "year_ago_4w",
    "year_ago_lift",
    "year_ago_lift_4w",
)
FLOOR = 0.05
_LARGEST = 1e15  # DECIMAL(18,3) holds nothing larger; beyond it products of two values would overflow
_YEAR = 365.2425


@dataclass(frozen=True)
class DemandInputs:
    """`matrix`: one row per entity, week ahead and input, float32. `scale`: per entity, its recent mean in units a week, never below FLOOR."""

    matrix: NDArray[np.float32]
    scale: Floats


def demand_matrix(rows: Rows, horizon: int) -> DemandInputs:
    """The inputs for the weeks 1 to `horizon` from each row's moment. Missing counts are taken for 0, missing dates for unknown ages.

    A year-ago value is given only where the product was on sale by then: else its 0 would be taken for no demand.
    """
    today, age = rows.moment_days(), rows.ages("first_sold")
    weeks_sold = np.where(np.isnan(age), 52.0, np.maximum(age / 7, 1.0))
    units = {weeks: _units(rows, f"units_{weeks}w") for weeks in WINDOWS}
    mean = {weeks: units[weeks] / np.minimum(weeks, weeks_sold) for weeks in WINDOWS}
    scale = np.maximum((mean[4] + mean[8] + mean[13] + mean[26]) / 4, FLOOR)
    lines = {weeks: _units(rows, f"lines_{weeks}w") for weeks in MONEY}
    price = {weeks: _price(_units(rows, f"revenue_{weeks}w"), units[weeks]) for weeks in MONEY}
    seen_a_year = age >= 364
    year_ago = [np.where(seen_a_year, _units(rows, f"units_year_ago_{week}"), np.nan) for week in range(1, YEAR_AGO_WEEKS + 1)]
    year_ago_mean = np.where(age >= 364 + 91, _units(rows, "units_year_ago_13w") / 13, np.nan)
    year_ago_4w = np.mean(year_ago, axis=0)
    small = 0.1 * scale
    still = (
        *(mean[weeks] / scale for weeks in WINDOWS),
        np.abs(np.diff([units[1], units[2] - units[1], units[3] - units[2], units[4] - units[3]], axis=0)).mean(axis=0) / scale,
        np.log(scale),
        np.log1p(lines[4]),
        np.log1p(lines[13]),
        (lines[4] / 4 + 0.1) / (lines[13] / 13 + 0.1),
        units[13] / np.maximum(lines[13], 1) / scale,
        units[52] / np.maximum(lines[52], 1) / scale,
        np.log(price[13]),
        np.log(price[4] / price[52]),
        np.minimum(weeks_sold, 104),
        rows.ages("last_sold"),
        year_ago_mean / scale,
        (mean[13] + small) / (year_ago_mean + small),
    )
    matrix = np.empty((len(rows), horizon, len(INPUTS)), dtype=np.float32)
    for place, column in enumerate(still):
        matrix[:, :, place] = _bounded(column)[:, None]
    for week in range(1, horizon + 1):
        that_week = year_ago[week - 1] if week <= YEAR_AGO_WEEKS else np.full(len(rows), np.nan)
        angle = 2 * np.pi * (today + 7 * (week - 1) + 3) / _YEAR
        moving: Iterator[Floats] = iter(
            (
                np.full(len(rows), float(week)),
                np.sin(angle),
                np.cos(angle),
                that_week / scale,
                year_ago_4w / scale,
                (that_week + small) / (year_ago_mean + small),
                (year_ago_4w + small) / (year_ago_mean + small),
            )
        )
        for place, column in enumerate(moving, start=len(still)):
            matrix[:, week - 1, place] = _bounded(column)
    return DemandInputs(matrix, scale)


def _units(rows: Rows, name: str) -> Floats:
    return np.clip(np.nan_to_num(rows.numbers(name), nan=0.0), 0.0, _LARGEST)


def _price(revenue: Floats, units: Floats) -> Floats:
    return (revenue + 0.01) / (units + 0.01)


def _bounded(column: Floats) -> Floats:
    return np.clip(column, -1e9, 1e9)
