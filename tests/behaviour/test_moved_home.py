"""A home that was moved or restored elsewhere keeps its models, the next ones too."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse.registry.loading import Registry
from tests.served import another_version
from tests.trained import Trained


@pytest.mark.timeout(120)
def test_a_model_that_is_registered_in_a_moved_home_lies_in_that_home(trained: Trained, tmp_path: Path) -> None:
    settings = trained.copy(tmp_path / "home")
    version = another_version(settings, "demand", models=tmp_path / "former" / "mlartifacts")
    assert Registry(settings).by_version("demand", version).folder.is_dir()
    assert not (tmp_path / "former").exists()
