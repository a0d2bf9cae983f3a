"""What of the code makes an unfinished run another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lakehouse.tables import opening


def notebook(folder: Path, source: str, output: str = "") -> None:
    (folder / "notebooks").mkdir(exist_ok=True)
    outputs = [{"output_type": "stream", "name": "stdout", "text": output}] if output else []
    cells = [
        {"cell_type": "markdown", "source": ["# Title"], "metadata": {}},
        {"cell_type": "code", "source": [source], "outputs": outputs, "execution_count": len(output), "metadata": {}},
    ]
    (folder / "notebooks" / "silver.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setattr(opening, "_ROOT", tmp_path)
    return opening.code_digest.__wrapped__


def test_a_notebook_that_was_looked_at_and_saved_is_the_same_code(digest, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    notebook(tmp_path, "silver.build(lake)")
    before = digest()
    notebook(tmp_path, "silver.build(lake)", output="a plot and a table")
    assert digest() == before


def test_a_cell_that_was_changed_is_other_code(digest, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    notebook(tmp_path, "silver.build(lake)")
    before = digest()
    notebook(tmp_path, "silver.build(lake, twice=True)")
    assert digest() != before
