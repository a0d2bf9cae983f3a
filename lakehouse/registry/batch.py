"""Batch predictions: each champion, or its baseline, asked about everybody at the run's moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lakehouse.errors import TamperedModel
from lakehouse.features import popular
from lakehouse.features.popular import PopularProduct
from lakehouse.models.bundle import Answering, read_bundle
from lakehouse.models.demand import DemandModel, baseline
from lakehouse.models.interface import Rows
from lakehouse.models.items import History, popularity_of
from lakehouse.models.recommendations import POPULAR_NOW, RecommendationsModel, histories
from lakehouse.models.segments import SegmentsModel
from lakehouse.privacy.secrets import verify_key
from lakehouse.registry import aliases
from lakehouse.registry.gate import decide, evaluation_of
from lakehouse.registry.loading import Registered, Registry, is_whole, newest_approved, open_registered, versions
from lakehouse.registry.recipes import recipe
from lakehouse.tables import Lake
from lakehouse.tables.staging import arrow_schema, write_parts

if TYPE_CHECKING:
    import pandas as pd

IN_THE_RUN = "of this run"  # the version of a model that a back-test has trained, which is registered nowhere
BASELINE, NO_CHAMPION, UNSEGMENTED = "baseline", "no champion", "unsegmented"
POPULAR = 1100  # products in the popular list: as many as may be excluded and asked for together
PART = 10_000  # customers whose recommendations are held at once
KEYS = {"forecasts": "demand", "segments": "segments", "recommendations": "recommendations"}


@dataclass(frozen=True)
class Answerer:
    """Who answers for a model, or nobody: then the baseline does."""

    version: str = BASELINE
    digest: str | None = None
    model: Answering | None = None

    @property
    def fallback(self) -> str | None:
        return NO_CHAMPION if self.model is None else None


@dataclass(frozen=True)
class BatchReport:
    """Rows written by table, and the version that answered by model."""

    rows: dict[str, int]
    versions: dict[str, str]


def predict(lake: Lake) -> BatchReport:
    """Writes predictions.* at the run's moment; what the same version predicted for that moment before is replaced.

    Raises `TamperedModel` for a champion whose folder is not what was signed. A back-test writes nothing.
    """
    answerers = {name: _answerer(lake, name) for name in KEYS.values()}
    made = {"forecasts": _forecasts, "segments": _segments, "recommendations": _recommendations}
    rows = {f"predictions.{table}": _written(lake, table, answerers[KEYS[table]], make) for table, make in made.items()}
    return BatchReport(rows, {name: who.version for name, who in answerers.items()})


def _written(lake: Lake, table: str, who: Answerer, make: Callable[[Lake, Answerer], Iterator[pd.DataFrame]]) -> int:
    """Writes what is made, part by part; of a back-test aside. Returns how many rows there are."""
    import pyarrow as pa

    assert lake.run is not None
    name, moment = f"predictions.{table}", lake.run.moment
    columns = [column for column in lake.catalog[name].columns if column.name != "_run"]
    kinds = arrow_schema(columns)
    facts = {"version": who.version, "digest": who.digest, "fallback": who.fallback, "as_of": moment}
    parts = (pa.Table.from_pandas(part.assign(**facts), kinds, preserve_index=False) for part in make(lake, who))
    if lake.run.back_test:
        return write_parts(_aside(lake, name), parts, kinds)
    rows = lake.written(parts, columns)
    if rows.rows:
        lake.writer.replace(name, rows, where=f"version = '{who.version}' AND as_of = TIMESTAMP'{moment:%Y-%m-%d %H:%M:%S}'")
    return rows.rows


def predicted(lake: Lake, table: str, report: BatchReport) -> pd.DataFrame:
    """The rows of one table (forecasts, segments, recommendations) that `predict` has just written, wherever it did."""
    import pandas as pd

    assert lake.run is not None
    name = f"predictions.{table}"
    if lake.run.back_test:
        return pd.read_parquet(_aside(lake, name))
    when = f"version = '{report.versions[KEYS[table]]}' AND as_of = TIMESTAMP'{lake.run.moment:%Y-%m-%d %H:%M:%S}'"
    found: pd.DataFrame = lake.read(name).where(when).toArrow().to_pandas()
    return found


def _aside(lake: Lake, name: str) -> Path:
    """Where a back-test puts what it would have predicted."""
    assert lake.run is not None
    return lake.home / "runs" / lake.run.id / f"{name}.parquet"


def _answerer_then(lake: Lake, name: str) -> Answerer:
    """Who answers in a back-test: what it has trained itself, if the gate would have let that through, else the newest version that it had let
    through by the moment. Today's champion knows what came after."""
    assert lake.run is not None
    folder = lake.home / "runs" / lake.run.id / "models" / name
    if folder.is_dir():
        made = read_bundle(folder, verify_key(lake.settings))
        if decide(evaluation_of(made.manifest)).approved:
            return Answerer(IN_THE_RUN, made.digest, made.model)
    until = lake.run.moment
    whole = (one for one in versions(lake.settings, name) if is_whole(lake.settings, one))
    return _who(lake, newest_approved(whole, lambda moment: moment <= until))


def _answerer(lake: Lake, name: str) -> Answerer:
    assert lake.run is not None
    if lake.run.back_test:
        return _answerer_then(lake, name)
    registry = Registry(lake.settings)
    found = registry.by_alias(name, aliases.CHAMPION) if registry.is_there else None
    return _who(lake, found)


def _who(lake: Lake, found: Registered | None) -> Answerer:
    if found is None:
        return Answerer()
    try:
        return Answerer(found.version, found.digest, open_registered(lake.settings, found).model)
    except TamperedModel as error:
        raise TamperedModel(f"{error}. Have {found.name} trained anew: zeromargin run {found.name}") from error


def _forecasts(lake: Lake, who: Answerer) -> Iterator[pd.DataFrame]:
    """One row per store, active product and week ahead."""
    assert lake.run is not None
    asked = recipe("demand").ask(lake, lake.run.moment)
    rows, weeks = Rows.of_frame(asked), lake.settings.models.demand.horizon_weeks
    found = who.model.predict(rows) if isinstance(who.model, DemandModel) else baseline(rows, weeks)
    for week in range(found.mean.shape[1]):
        first = (lake.run.moment + timedelta(days=7 * week)).date()
        part = asked[["store", "product_code"]].assign(week=week + 1, week_start=first)
        yield part.assign(**{name: getattr(found, name)[:, week] for name in ("mean", "median", "low", "high")})


def _segments(lake: Lake, who: Answerer) -> Iterator[pd.DataFrame]:
    """One row per customer."""
    assert lake.run is not None
    asked = recipe("segments").ask(lake, lake.run.moment)
    names = [segment.name for segment in who.model.predict(Rows.of_frame(asked))] if isinstance(who.model, SegmentsModel) else UNSEGMENTED
    yield asked[["customer_key"]].assign(segment=names)


def _recommendations(lake: Lake, who: Answerer) -> Iterator[pd.DataFrame]:
    """One row per customer and rank. Where there is no champion everybody is told what is popular; that is put beside the online
    store too, for whoever answers in its place."""
    import pandas as pd

    assert lake.run is not None
    asked = recipe("recommendations").ask(lake, lake.run.moment)
    rows = Rows.of_frame(asked)
    known, days, k = histories(rows), rows.moment_days(), lake.settings.models.recommendations.k
    liked = _popular(lake, known, days)
    if not lake.run.back_test:
        popular.write(lake.home, liked)
    columns = ["customer_key", "rank", "product_code", "score", "reason"]
    found: list[tuple[str, int, str, float, str]] = []
    for number, (key, history, day) in enumerate(zip(asked["customer_key"], known, days, strict=True), 1):
        if isinstance(who.model, RecommendationsModel):
            ranked = who.model.rank(history, float(day), k)
            told = [(who.model.items.codes[one.place], one.score, one.reason) for one in ranked]
        else:
            told = [(one.product, one.score, POPULAR_NOW) for one in liked[:k]]
        found += [(key, rank, *one) for rank, one in enumerate(told, 1)]
        if number % PART == 0:
            yield pd.DataFrame(found, columns=columns)
            found = []
    yield pd.DataFrame(found, columns=columns)


def tell_popular(lake: Lake, moment: datetime) -> None:
    """Puts what was popular at a moment beside the online store, in place of what is there."""
    rows = Rows.of_frame(recipe("recommendations").ask(lake, moment))
    popular.write(lake.home, _popular(lake, histories(rows), rows.moment_days()))


def _popular(lake: Lake, known: list[History], days: np.ndarray) -> list[PopularProduct]:
    scores = popularity_of(known, float(days[0]) if len(days) else 0.0)
    best = sorted(scores, key=lambda code: (-scores[code], code))[:POPULAR]
    rows = lake.read("gold.products").select("product_code", "name").toArrow().to_pylist()
    names = {row["product_code"]: row["name"] for row in rows}
    return [PopularProduct(code, names.get(code), scores[code]) for code in best]
