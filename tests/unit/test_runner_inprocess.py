from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import nbformat
import pytest
from IPython.core.pylabtools import print_figure
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jobs.execute import execute
from jobs.inprocess import drawn_once, environment
from tests.pages import page


def outputs(path: Path) -> list[tuple[str, str]]:
    """Kind and text of every output of an executed notebook."""
    notebook = nbformat.read(path, as_version=4)
    shown = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            kind = "image" if "image/png" in data else output.output_type
            shown.append((kind, output.get("text") or data.get("text/plain") or output.get("evalue", "")))
    return shown


def test_cells_see_the_parameters_and_each_other(tmp_path: Path) -> None:
    notebook = page(tmp_path / "a.ipynb", "twice = run * 2", "print(twice)\ntwice")

    assert execute(notebook, tmp_path / "out.ipynb", {"run": "ab"}, in_process=True) is None
    assert outputs(tmp_path / "out.ipynb") == [("stream", "abab\n"), ("execute_result", "'abab'")]


def test_a_notebook_sees_nothing_of_the_one_before(tmp_path: Path) -> None:
    execute(page(tmp_path / "a.ipynb", "leftover = 1"), tmp_path / "1.ipynb", {}, in_process=True)

    failure = execute(page(tmp_path / "b.ipynb", "leftover"), tmp_path / "2.ipynb", {}, in_process=True)

    assert failure is not None
    assert failure.error == "NameError"


def test_a_failure_names_the_cell_its_line_and_the_message_and_later_cells_do_not_run(tmp_path: Path) -> None:
    notebook = page(tmp_path / "a.ipynb", "print('before')", "# why\nnumber = 'seven'\nint(number)", "print('after')")

    failure = execute(notebook, tmp_path / "out.ipynb", {"run": "r"}, in_process=True)

    assert failure is not None
    assert (failure.error, failure.line) == ("ValueError", "int(number)")
    assert "seven" in failure.message
    assert outputs(tmp_path / "out.ipynb")[0] == ("stream", "before\n")
    assert ("stream", "after\n") not in outputs(tmp_path / "out.ipynb")
    assert outputs(tmp_path / "out.ipynb")[-1][0] == "error"


def test_a_syntax_error_is_a_failure(tmp_path: Path) -> None:
    failure = execute(page(tmp_path / "a.ipynb", "1 +"), tmp_path / "out.ipynb", {}, in_process=True)

    assert failure is not None
    assert failure.error == "SyntaxError"


def test_plots_and_frames_are_kept_as_a_kernel_keeps_them(tmp_path: Path) -> None:
    notebook = page(
        tmp_path / "a.ipynb",
        "import pandas as pd\npd.DataFrame({'units': [3]})",
        "from matplotlib import pyplot\npyplot.plot([1, 2]);",
    )

    assert execute(notebook, tmp_path / "out.ipynb", {}, in_process=True) is None

    found = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    frame = next(output for cell in found.cells for output in cell.get("outputs", []) if "text/html" in output.get("data", {}))
    assert "<table" in frame.data["text/html"]
    assert "image" in [kind for kind, _ in outputs(tmp_path / "out.ipynb")]


def test_the_process_is_left_as_it_was(tmp_path: Path) -> None:
    before = (sys.modules["__main__"], list(sys.path), sys.displayhook, sys.excepthook)

    execute(page(tmp_path / "a.ipynb", "import sys; sys.path.insert(0, 'x')", "1/0"), tmp_path / "out.ipynb", {}, in_process=True)

    assert (sys.modules["__main__"], list(sys.path), sys.displayhook, sys.excepthook) == before


def test_the_environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZM_TEST_KEPT", "old")

    with environment({"ZM_TEST_KEPT": "new", "ZM_TEST_NEW": "x"}):
        assert (os.environ["ZM_TEST_KEPT"], os.environ["ZM_TEST_NEW"]) == ("new", "x")

    assert os.environ["ZM_TEST_KEPT"] == "old"
    assert "ZM_TEST_NEW" not in os.environ


def bars(axes: Axes) -> None:
    axes.barh(["a long name of a product", "b"], [1, 2])
    axes.set_title("above all of it")


def lines(axes: Axes) -> None:
    axes.plot([1, 2, 3], [10_000, 20_000, 15_000], label="sold")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    axes.tick_params(axis="x", rotation=90)


def squares(axes: Axes) -> None:
    shown = axes.imshow([[1, 2, 3], [4, 5, 6]])
    assert isinstance(axes.figure, Figure)
    axes.figure.colorbar(shown)


@pytest.mark.parametrize(("fill", "layout", "draws"), [(bars, None, 1), (lines, None, 1), (squares, None, 1), (bars, "constrained", 2)])
def test_a_figure_is_drawn_once_and_is_what_a_kernel_shows(
    monkeypatch: pytest.MonkeyPatch, fill: Callable[[Axes], None], layout: Literal["constrained"] | None, draws: int
) -> None:
    figures = [pyplot.figure(figsize=(6, 2), layout=layout) for _ in range(2)]
    for figure in figures:
        fill(figure.add_subplot())
    drawn: list[Figure] = []
    real = Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda self, renderer: (drawn.append(self), real(self, renderer)))

    found = drawn_once(figures[0])

    assert len(drawn) == draws
    assert found == print_figure(figures[1], base64=True)
    pyplot.close("all")
