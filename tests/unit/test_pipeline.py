from __future__ import annotations

import pytest

from jobs.pipeline import STAGES, Stage, chosen, stage_names
from lakehouse.errors import UnknownName
from lakehouse.tables import catalog, lineage


def test_the_stages_are_these_in_this_order() -> None:
    assert stage_names() == ("silver", "gold", "quality", "features", "demand", "segments", "recommendations", "predictions")


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_writes_exactly_the_tables_that_the_catalog_gives_it(stage: Stage) -> None:
    logs = {"bronze.answers"} if stage.name == "silver" else set()
    assert set(stage.writes) == {table.name for table in catalog.load().values() if table.stage == stage.name} | logs


def test_a_stage_reads_only_bronze_and_what_stages_before_it_wrote() -> None:
    written = {"bronze.sales"}
    for stage in STAGES:
        assert set(stage.reads) <= written, stage.name
        written |= set(stage.writes)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_every_stage_has_its_notebook(stage: Stage) -> None:
    assert stage.notebook.is_file()


def test_stages_asked_for_in_any_order_run_in_the_pipelines() -> None:
    assert [stage.name for stage in chosen(["gold", "silver"])] == ["silver", "gold"]


def test_no_stage_asked_for_means_all() -> None:
    assert chosen() == STAGES


def test_a_misspelt_stage_is_told_the_nearest_one() -> None:
    with pytest.raises(UnknownName, match='stage "silvr" is unknown. Did you mean "silver"'):
        chosen(["silvr"])


def test_what_a_table_is_made_of_is_what_its_stage_reads_or_has_written() -> None:
    writes = {name: stage for stage in STAGES for name in stage.writes if name != "bronze.answers"}
    assert lineage.MADE_OF.keys() == writes.keys()
    for name, others in lineage.MADE_OF.items():
        assert set(others) <= {*writes[name].reads, *writes[name].writes}, name
        assert name not in lineage.behind(name)
