"""The batch predictions that a run published: who is asked about, how often, and who answers where nobody may."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from lakehouse.errors import TamperedModel
from lakehouse.models.segments import SegmentsModel
from lakehouse.registry import aliases, batch, tracking, training
from lakehouse.registry.batch import BatchReport
from lakehouse.registry.loading import DIGEST, Registry
from lakehouse.settings import Settings
from lakehouse.tables import Lake, catalog, handles
from tests.retrained import MODELS, stage
from tests.served import serving
from tests.trained import Trained

Row = dict[str, object]
TABLES = ("forecasts", "segments", "recommendations")
ACTIVE = timedelta(weeks=26)


def rows(settings: Settings, name: str) -> list[Row]:
    """All rows at the head of a table, without an engine."""
    found: list[Row] = handles.open_table(str(settings.home / "tables" / Path(*name.split(".")))).to_pyarrow_table().to_pylist()
    return found


def known_lines(settings: Settings, moment: datetime) -> list[Row]:
    """The lines of silver that features at a moment may use."""
    lines = rows(settings, "silver.sales")
    return [line for line in lines if _naive(line["sold_at"]) < moment and _naive(line["_known_at"]) < moment]


def _naive(value: object) -> datetime:
    assert isinstance(value, datetime)
    return value.replace(tzinfo=None)


@pytest.fixture(scope="module")
def moment(trained: Trained) -> datetime:
    return trained.report.moment


@pytest.mark.parametrize("table", TABLES)
def test_there_is_one_row_per_key_of_the_catalog(trained: Trained, table: str) -> None:
    key = catalog.table(f"predictions.{table}").key
    counted = Counter(tuple(row[column] for column in key) for row in rows(trained.settings, f"predictions.{table}"))
    assert counted
    assert [one for one, count in counted.items() if count > 1] == []


def test_every_product_sold_in_the_half_year_before_is_forecast_for_four_weeks_and_no_other(trained: Trained, moment: datetime) -> None:
    lines = known_lines(trained.settings, moment)
    active = {
        (line["store"], line["product_code"]) for line in lines if line["kind"] == "sale" and _naive(line["sold_at"]) >= moment - ACTIVE
    }
    found = [(row["store"], row["product_code"], row["week"]) for row in rows(trained.settings, "predictions.forecasts")]
    assert sorted(found) == sorted((store, product, week) for store, product in active for week in (1, 2, 3, 4))


def test_the_weeks_begin_at_the_moment_one_after_another(trained: Trained, moment: datetime) -> None:
    begins = {row["week"]: row["week_start"] for row in rows(trained.settings, "predictions.forecasts")}
    assert begins == {week: date(2024, 5, 6) + timedelta(weeks=week - 1) for week in (1, 2, 3, 4)}
    assert moment == datetime(2024, 5, 6)


def test_quantiles_are_in_order_and_nothing_is_below_zero(trained: Trained) -> None:
    for row in rows(trained.settings, "predictions.forecasts"):
        low, median, high, mean = (row[part] for part in ("low", "median", "high", "mean"))
        assert 0 <= low <= median <= high and mean >= 0  # type: ignore[operator]


def test_every_customer_known_by_the_moment_has_one_segment(trained: Trained, moment: datetime) -> None:
    known = {line["customer_key"] for line in known_lines(trained.settings, moment) if line["customer_key"] and line["kind"] != "charge"}
    found = [row["customer_key"] for row in rows(trained.settings, "predictions.segments")]
    assert sorted(map(str, found)) == sorted(map(str, known))


def test_segments_bear_the_names_of_the_champion(trained: Trained) -> None:
    with Lake(trained.settings) as lake:
        champion = training.champion(lake, "segments")
    assert champion is not None and isinstance(champion.model, SegmentsModel)
    names = {one.name for one in champion.model.segments} | {champion.model.lapsed.name}
    assert {row["segment"] for row in rows(trained.settings, "predictions.segments")} <= names


def test_every_customer_is_recommended_twenty_products_each_once_the_best_first(trained: Trained) -> None:
    lists: dict[object, list[Row]] = {}
    for row in sorted(rows(trained.settings, "predictions.recommendations"), key=lambda row: (str(row["customer_key"]), row["rank"])):
        lists.setdefault(row["customer_key"], []).append(row)
    assert set(lists) == {row["customer_key"] for row in rows(trained.settings, "predictions.segments")}
    for found in lists.values():
        assert [row["rank"] for row in found] == list(range(1, 21))
        assert len({row["product_code"] for row in found}) == 20
        assert [row["score"] for row in found] == sorted((row["score"] for row in found), reverse=True)  # type: ignore[type-var]


@pytest.mark.parametrize(("table", "name"), list(zip(TABLES, MODELS, strict=True)))
def test_each_row_says_which_version_answered(trained: Trained, table: str, name: str) -> None:
    champion = Registry(trained.settings).by_alias(name, "champion")
    assert champion is not None
    told = {(row["version"], row["digest"], row["fallback"]) for row in rows(trained.settings, f"predictions.{table}")}
    assert told == {("1", champion.digest, None)}


@dataclass(frozen=True)
class Leaderless:
    """A copy of the home whose models lost their aliases, and which was asked again, twice."""

    settings: Settings
    report: BatchReport

    def answered(self, table: str) -> list[Row]:
        return [row for row in rows(self.settings, f"predictions.{table}") if row["version"] == "baseline"]


@pytest.fixture(scope="module")
def leaderless(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Leaderless:
    settings = trained.copy(tmp_path_factory.mktemp("leaderless") / "home")
    for name in MODELS:
        aliases.withdraw(tracking.connect(settings), name, "champion")
    with stage(settings, "predictions") as lake:
        batch.predict(lake)
        report = batch.predict(lake)
        lake.publish(after=())
    return Leaderless(settings, report)


def test_without_a_champion_the_baseline_answers_and_is_marked(leaderless: Leaderless) -> None:
    assert leaderless.report.versions == dict.fromkeys(MODELS, "baseline")
    for table in TABLES:
        assert {(row["digest"], row["fallback"]) for row in leaderless.answered(table)} == {(None, "no champion")}


def test_the_baseline_of_demand_is_the_mean_of_the_last_four_weeks(leaderless: Leaderless, moment: datetime) -> None:
    sold: Counter[object] = Counter()
    for line in known_lines(leaderless.settings, moment):
        if line["kind"] in ("sale", "return") and _naive(line["sold_at"]) >= moment - timedelta(weeks=4):
            sold[line["product_code"]] += line["quantity"]  # type: ignore[operator]
    for row in leaderless.answered("forecasts"):
        expected = max(float(sold[row["product_code"]]) / 4, 0.0)
        assert [row["mean"], row["median"]] == [pytest.approx(expected)] * 2


def test_the_baseline_of_demand_has_the_interval_of_a_poisson_distribution(leaderless: Leaderless) -> None:
    lumpy = [row for row in leaderless.answered("forecasts") if float(str(row["mean"])) > 0]
    assert lumpy
    for row in lumpy:
        mean, low, high = (float(str(row[part])) for part in ("mean", "low", "high"))
        assert high - mean == pytest.approx(1.2816 * mean**0.5)
        assert low == pytest.approx(max(2 * mean - high, 0.0))


def test_the_baseline_of_demand_is_the_same_in_a_batch_and_over_http(leaderless: Leaderless) -> None:
    expected: dict[tuple[str, str], list[list[object]]] = {}
    for row in sorted(leaderless.answered("forecasts"), key=lambda row: int(str(row["week"]))):
        figures = [pytest.approx(row[part]) for part in ("mean", "median", "low", "high")]
        expected.setdefault((str(row["store"]), str(row["product_code"])), []).append([str(row["week_start"]), *figures])
    with serving(leaderless.settings) as client:
        for (store, product), weeks in expected.items():
            answer = client.post("/v1/forecast", json={"product": product, "store": store, "weeks": 4}).json()
            assert answer["model"]["version"] == "baseline"
            assert [list(week.values()) for week in answer["forecast"]] == weeks


def test_without_a_champion_nobody_has_a_segment(leaderless: Leaderless, trained: Trained) -> None:
    assert {row["segment"] for row in leaderless.answered("segments")} == {"unsegmented"}
    assert len(leaderless.answered("segments")) == len(rows(trained.settings, "predictions.segments"))


def test_without_a_champion_everybody_is_recommended_what_most_bought_of_late(leaderless: Leaderless, moment: datetime) -> None:
    last: dict[tuple[object, object], datetime] = {}
    for line in known_lines(leaderless.settings, moment):
        if line["kind"] == "sale" and line["customer_key"]:
            bought = (line["customer_key"], line["product_code"])
            last[bought] = max(last.get(bought, datetime.min), _naive(line["sold_at"]))
    scores: Counter[str] = Counter()
    for (_, product), day in last.items():
        scores[str(product)] += 0.5 ** ((moment.date() - day.date()).days / 14)
    popular = sorted(scores, key=lambda product: (-scores[product], product))[:20]
    lists: dict[object, list[object]] = {}
    for row in sorted(leaderless.answered("recommendations"), key=lambda row: row["rank"]):  # type: ignore[arg-type, return-value]
        lists.setdefault(row["customer_key"], []).append(row["product_code"])
    assert set(lists) == {row["customer_key"] for row in leaderless.answered("segments")}
    assert {tuple(found) for found in lists.values()} == {tuple(popular)}


def test_predicting_twice_replaces_what_the_same_version_had_said_of_the_moment(leaderless: Leaderless) -> None:
    assert len(leaderless.answered("forecasts")) == leaderless.report.rows["predictions.forecasts"]


def test_what_another_version_had_said_of_the_moment_is_kept(leaderless: Leaderless, trained: Trained) -> None:
    kept = [row for row in rows(leaderless.settings, "predictions.forecasts") if row["version"] == "1"]
    assert len(kept) == len(rows(trained.settings, "predictions.forecasts"))


def test_a_champion_that_was_tampered_with_answers_nothing_and_the_stage_says_so(trained: Trained, tmp_path: Path) -> None:
    settings = trained.copy(tmp_path / "home")
    champion = Registry(settings).by_alias("demand", "champion")
    assert champion is not None
    (champion.folder / "mean.txt").write_bytes(b"another model")
    with (
        stage(settings, "predictions") as lake,
        pytest.raises(TamperedModel, match=r"mean.txt has SHA-256.*Have demand trained anew: zeromargin run demand"),
    ):
        batch.predict(lake)


def test_a_champion_that_somebody_registered_by_hand_answers_nothing_and_the_stage_says_so(trained: Trained, tmp_path: Path) -> None:
    settings = trained.copy(tmp_path / "home")
    tracking.connect(settings).delete_model_version_tag("demand", "1", DIGEST)
    with stage(settings, "predictions") as lake, pytest.raises(TamperedModel, match="not registered by zeromargin"):
        batch.predict(lake)
