"""What of the code makes an unfinished run another one, and which commit a model says that it was made by."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from lakehouse.tables import revision


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
    monkeypatch.setattr(revision, "_ROOT", tmp_path)
    # Within a process code does not change; here it does.
    monkeypatch.setattr(revision, "code_digest", revision.code_digest.__wrapped__)
    return revision.code_digest


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


def git(folder: Path, *words: str) -> str:
    own = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *own, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def committed(digest, tmp_path: Path) -> str:  # type: ignore[no-untyped-def]
    """The commit of a checkout that holds a module, a notebook and a page."""
    (tmp_path / "lakehouse").mkdir()
    (tmp_path / "lakehouse" / "gold.py").write_text("DAYS = 7\n")
    (tmp_path / "README.md").write_text("# A shop\n")
    notebook(tmp_path, "silver.build(lake)")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "All of it")
    return git(tmp_path, "rev-parse", "HEAD")


def test_a_model_made_by_code_as_it_was_committed_names_the_commit(committed: str) -> None:
    assert revision.commit() == committed


def test_a_notebook_that_was_saved_and_a_page_that_was_edited_are_not_other_code_than_the_commit_s(committed: str, tmp_path: Path) -> None:
    notebook(tmp_path, "silver.build(lake)", output="a plot and a table")
    (tmp_path / "README.md").write_text("# Another shop\n")
    assert revision.commit() == committed


@pytest.mark.parametrize("file", ["gold.py", "new.py"])
def test_code_that_the_commit_does_not_hold_is_told_by_a_mark_that_each_edit_changes(committed: str, tmp_path: Path, file: str) -> None:
    edits = []
    for days in (8, 9):
        (tmp_path / "lakehouse" / file).write_text(f"DAYS = {days}\n")
        edits.append(revision.commit())
        assert edits[-1] == f"{committed}+{revision.code_digest()[:12]}"
    assert edits[0] != edits[1]


def test_code_that_was_removed_is_told_too(committed: str, tmp_path: Path) -> None:
    (tmp_path / "lakehouse" / "gold.py").unlink()
    assert revision.commit().startswith(f"{committed}+")


def test_what_is_installed_within_somebody_else_s_checkout_does_not_pass_for_their_commit(
    committed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages"
    (installed / "lakehouse").mkdir(parents=True)
    (installed / "lakehouse" / "gold.py").write_text("DAYS = 7\n")
    monkeypatch.setattr(revision, "_ROOT", installed)
    assert revision.commit() == f"unknown+{revision.code_digest()[:12]}"


def test_without_a_checkout_the_commit_is_unknown_and_the_code_is_not(digest, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    notebook(tmp_path, "silver.build(lake)")
    assert revision.commit() == f"unknown+{digest()[:12]}"


def test_people_see_the_mark_behind_a_shortened_commit() -> None:
    assert revision.short("0123456789abcdef+fedcba987654") == "0123456789ab+fedcba987654"
    assert revision.short("0123456789abcdef") == "0123456789ab"
