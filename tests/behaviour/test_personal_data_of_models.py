"""A customer number goes through the door, through training, predictions, registry and answers, and is found nowhere behind the door."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.runner import run as run_stages
from lakehouse.privacy.vault import open_vault
from lakehouse.tables import Lake
from tests.scan import places, places_in_tables
from tests.served import process
from tests.trained import PLANTED, Trained


@pytest.mark.slow
def test_the_planted_number_is_in_no_table_model_notebook_log_or_answer(trained: Trained, tmp_path: Path) -> None:
    settings = trained.copy(tmp_path / "home")
    with process(settings.home, tmp_path / "serve.log") as running:
        for path, body in (("/v1/segment", {}), ("/v1/recommend", {"k": 5})):
            answer = running.post(path, {"customer": PLANTED, **body}).json()
            assert answer["fallback"] is None, "the planted customer must have come all the way, or the scan proves nothing"
        assert running.ended() == 0
        said = running.log.read_text()
    run_stages(settings, ["silver"])

    assert PLANTED not in said
    assert places(settings.home, PLANTED) == []
    with open_vault(settings) as vault:
        key = vault.look_up("canonical", PLANTED)
    assert key is not None
    with Lake(settings) as lake:
        assert places_in_tables(lake, PLANTED) == []
        assert lake.read("bronze.answers", version=lake.head("bronze.answers")).where(f"parameters LIKE '%{key}%'").count() == 2
    # The key is in the same places: the scan does see into them.
    layers = {place.split("/")[0] for place in places(settings.home / "tables", key)}
    assert layers >= {"bronze", "silver", "gold", "features", "predictions"}
