"""A shop whose runs compute features too."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from lakehouse.features import build
from lakehouse.features.build import FeatureReport
from lakehouse.medallion import gold, silver
from lakehouse.tables import Lake, StageLake, opening, runs
from tests.empty import create_tables
from tests.once import once
from tests.shop import Line, Shop

PRODUCTS, CUSTOMERS = build.TABLES
WORK: dict[str, Callable[[StageLake], object]] = {"silver": silver.build, "gold": gold.build, "features": build.build}


@dataclass
class FeaturedShop(Shop):
    """Lines landed now are known from the newest snapshot's moment on, as the door says it."""

    made: object = None  # what the function said that prepared it

    def land_now(self, *lines: Line) -> str:
        published = self.lake.snapshot()
        return self.land(*lines, moment=None if published is None else published.moment.isoformat())

    def publish(self, as_of: str | None = None) -> FeatureReport:
        """A run of silver and features, published."""
        with self.run(as_of) as run:
            with StageLake(self.lake.settings, "silver", run.id) as stage:
                silver.build(stage)
                stage.finish()
            with StageLake(self.lake.settings, "features", run.id) as stage:
                report = build.build(stage)
                stage.publish(after=())
                stage.finish()
        return report


def refined(lake: Lake, as_of: str | None = None, until: str = "features", from_bronze: bool = False) -> None:
    """A run of the table stages that it has not done yet, published at its end; one that ends before features is left open, as if broken off."""
    with lake.lease("test run") as held:
        run = opening.begin_or_resume(lake, as_of, held.token, from_bronze=from_bronze)
        done = {stage.name for stage in runs.stage_runs(lake.ops, run.id) if stage.state == "done"}
        for name in list(WORK)[: list(WORK).index(until) + 1]:
            if name in done:
                continue
            with StageLake(lake.settings, name, run.id) as stage:
                WORK[name](stage)
                if name == "features":
                    stage.publish(after=())
                stage.finish()
        if until == "features":
            runs.end(lake.ops, run.id)


def derived(lake: Lake) -> dict[str, str]:
    """The content digests of every table that the table stages make, as it is published."""
    return {name: lake.digest(name).digest for name, table in lake.catalog.items() if table.kind == "derived" and table.stage in WORK}


def opened(lake: Lake, name: str) -> FeaturedShop:
    """A shop in a fresh home beside this one's, on the same endpoint."""
    other = Lake(lake.settings.model_copy(update={"home": lake.home.with_name(name)}), endpoint=lake.endpoint)
    create_tables(other)
    return FeaturedShop(other)


def prepared(lake: Lake, factory: pytest.TempPathFactory, make: Callable[[FeaturedShop], object]) -> FeaturedShop:
    """The shop that `make` makes, in this lake's home. It is made once per engine, and copied for each test."""

    def made(folder: Path) -> tuple[Path, object]:
        first = Lake(lake.settings.model_copy(update={"home": folder / "home"}), endpoint=lake.endpoint)
        create_tables(first)
        said = make(FeaturedShop(first))
        first.close()
        return first.home, said

    home, said = once(factory, f"{lake.settings.engine} {make.__module__}.{make.__qualname__}", made)
    lake.ops.dispose()  # it has the database of the home that goes
    shutil.rmtree(lake.home)
    shutil.copytree(home, lake.home)
    return FeaturedShop(lake, made=said)


def rows(lake: Lake, name: str, columns: Sequence[str]) -> list[tuple[object, ...]]:
    """The columns of a feature table's rows, moments as naive times, sorted."""
    found = lake.read(name).select(*columns).toArrow().to_pylist()
    return sorted((tuple(_naive(row[column]) for column in columns) for row in found), key=_order)


def _naive(value: object) -> object:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def _order(row: tuple[object, ...]) -> list[tuple[bool, object]]:
    return [(value is not None, value) for value in row]
