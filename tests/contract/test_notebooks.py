"""Every notebook of the repository keeps the contract, and the check sees each way of breaking it."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from jobs.contract import broken, main
from jobs.parameters import declared
from jobs.pipeline import NOTEBOOKS, STAGES, Stage
from tests.pages import PARAMETERS, page

PAGES = sorted(NOTEBOOKS.glob("*.ipynb"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_notebook_of_ours_keeps_the_contract(path: Path) -> None:
    assert broken(path) == []


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_takes_the_run_and_its_day_and_nothing_else(stage: Stage) -> None:
    assert {name: parameter.default for name, parameter in declared(stage.notebook).items()} == {"run": "", "as_of": ""}


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (("def f():\n    return 1",), "defines f"),
        (("class C:\n    pass",), "defines C"),
        (("f = lambda: 1",), "defines a lambda"),
        (("for i in range(2):\n    async def g():\n        pass",), "defines g"),
        (("%matplotlib inline",), "not plain Python"),
        (("\n".join(f"a{i} = {i}" for i in range(39)),), "41 lines of code"),
    ],
)
def test_code_that_belongs_into_the_library_is_refused(tmp_path: Path, cells: tuple[str, ...], words: str) -> None:
    assert any(words in sentence for sentence in broken(page(tmp_path / "page.ipynb", *cells)))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ('run = ""', "parameter run has no comment"),
        ('run = "#"', "parameter run has no comment"),
        ('run = ""  #', "parameter run has no comment"),
        ("run = str()  # id of the run", "parameter run has a default that is not a literal"),
        ("import os", "is not one assignment"),
        ("run = other = 1  # two", "is not one assignment"),
        ('api_token = ""  # of the service', "parameter api_token looks like a secret"),
    ],
)
def test_a_parameter_that_says_too_little_or_too_much_is_refused(tmp_path: Path, parameters: str, words: str) -> None:
    assert any(words in sentence for sentence in broken(page(tmp_path / "page.ipynb", parameters=parameters)))


def test_a_page_as_it_should_be_is_not_complained_about(tmp_path: Path) -> None:
    lines = "\n".join(f"a{i} = {i}" for i in range(38))

    assert broken(page(tmp_path / "page.ipynb", f"# a comment is no code\n\n{lines}")) == []


@pytest.mark.parametrize(("title", "words"), [("no title", "is not a title"), ("# Only a title", "does not say what it is for")])
def test_a_page_without_a_title_and_a_purpose_is_refused(tmp_path: Path, title: str, words: str) -> None:
    assert any(words in sentence for sentence in broken(page(tmp_path / "page.ipynb", title=title)))


def test_outputs_left_in_are_refused(tmp_path: Path) -> None:
    path = page(tmp_path / "page.ipynb", "1")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].execution_count = 1
    nbformat.write(notebook, path)

    assert any("holds outputs" in sentence for sentence in broken(path))


def test_a_second_parameters_cell_and_none_are_refused(tmp_path: Path) -> None:
    path = page(tmp_path / "page.ipynb", PARAMETERS)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, path)
    assert any("2 cells tagged parameters" in sentence for sentence in broken(path))

    for cell in notebook.cells:
        cell.metadata["tags"] = []
    nbformat.write(notebook, path)
    assert any("0 cells tagged parameters" in sentence for sentence in broken(path))


def test_a_stage_without_a_declared_result_is_refused(tmp_path: Path) -> None:
    assert any("does not declare a result" in sentence for sentence in broken(page(tmp_path / "silver.ipynb", "1")))
    assert broken(page(tmp_path / "silver.ipynb", "lake.finish(rows=1)")) == []


def test_a_file_that_is_no_notebook_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.ipynb").write_text("{}")

    assert any("is not a notebook" in sentence for sentence in broken(tmp_path / "page.ipynb"))


def test_the_check_ends_with_1_when_something_is_broken_and_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = page(tmp_path / "good.ipynb", "1"), page(tmp_path / "bad.ipynb", "def f(): pass")

    assert (main([str(good)]), main([str(good), str(bad)]), main([])) == (0, 1, 2)
    assert f"{bad}: cell" in capsys.readouterr().err
