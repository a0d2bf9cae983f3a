"""A Papermill engine that runs a notebook inside this process: milliseconds instead of seconds each, for tests and replays.

Each notebook gets a fresh namespace. Outputs are kept as a kernel's would be: streams, displays, the value of a cell's last line, figures,
errors with their traceback. Two things differ from a kernel: no deadline ends it, and it shares the process's imported modules.
"""

from __future__ import annotations

import atexit
import io
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.pylabtools import print_figure
from matplotlib import rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from nbformat import NotebookNode
from papermill.engines import Engine, papermill_engines
from traitlets.config import Config

from jobs.kept import Kept, cut
from lakehouse import scratch

if TYPE_CHECKING:
    from papermill.engines import NotebookExecutionManager

NAME = "zeromargin-in-process"


class InProcessEngine(Engine):  # type: ignore[misc]  # Papermill has no types
    """Runs the cells one after another in one shell, up to the first error."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: NotebookExecutionManager, kernel_name: str, **kwargs: object) -> None:
        with _shell() as shell, _written_at_the_end(nb_man):
            for index, cell in enumerate(nb_man.nb.cells):
                if cell.cell_type != "code":
                    continue
                nb_man.cell_start(cell, index)
                try:
                    error = _run(shell, cell)
                    if error is not None:
                        nb_man.cell_exception(cell, cell_index=index, exception=error)
                finally:
                    nb_man.cell_complete(cell, cell_index=index)
                if isinstance(error, KeyboardInterrupt):
                    raise error
                if error is not None:
                    return


@contextmanager
def _written_at_the_end(manager: NotebookExecutionManager) -> Iterator[None]:
    """Keeps Papermill from writing the whole notebook twice per cell. Where this process is killed, the executed copy lacks what its cells did."""
    place, manager.output_path = manager.output_path, None
    try:
        yield
    finally:
        manager.output_path = place


class _Publisher(DisplayPublisher):
    """Keeps what a cell displays."""

    def publish(self, data: dict[str, object], metadata: dict[str, object] | None = None, **_: object) -> None:  # type: ignore[override]
        assert isinstance(self.shell, _Shell)
        self.shell.kept.append(_output("display_data", data=data, metadata=metadata or {}))


class _ValueHook(DisplayHook):
    """Keeps the value of a cell's last line, in all its representations, where a terminal would print it."""

    def write_output_prompt(self) -> None:
        pass

    def write_format_data(self, format_dict: dict[str, object], md_dict: dict[str, object] | None = None) -> None:
        assert isinstance(self.shell, _Shell)
        self.shell.kept.append(
            _output("execute_result", data=format_dict, metadata=md_dict or {}, execution_count=self.shell.execution_count)
        )

    def log_output(self, format_dict: dict[str, object]) -> None:
        pass

    def finish_displayhook(self) -> None:
        self._is_active = False

    def flush(self) -> None:
        """Forgets nothing itself: the shell is thrown away with what it keeps, and a collection of the whole process costs more than a stage."""


class _Shell(InteractiveShell):
    """An InteractiveShell whose values, displays and tracebacks are kept, as a notebook's outputs, instead of printed."""

    displayhook_class = _ValueHook
    display_pub_class = _Publisher

    def __init__(self, **options: object) -> None:
        self.kept: list[NotebookNode] = []
        self.traceback: list[str] = []
        super().__init__(**options)  # type: ignore[no-untyped-call]

    def _showtraceback(self, etype: type[BaseException], evalue: BaseException, stb: list[str]) -> None:
        self.traceback = list(stb)


def register() -> str:
    """Makes the engine known to Papermill; returns the name under which it is."""
    papermill_engines.register(NAME, InProcessEngine)
    return NAME


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """The process's environment with `values` in it, and as it was afterwards."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _shell() -> Iterator[_Shell]:
    """A shell with an empty namespace; `__main__`, the search path, hooks and a shell of the caller's own are put back at the end."""
    caller: InteractiveShell | None = InteractiveShell.instance() if InteractiveShell.initialized() else None
    if caller is not None:
        type(caller).clear_instance()
    main, path, hooks = sys.modules["__main__"], list(sys.path), (sys.displayhook, sys.excepthook)
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.autocall = 0
    folder = scratch.folder(Path(tempfile.gettempdir()), "zm-ipython-")
    shell = _Shell.instance(config=config, ipython_dir=str(folder))
    assert shell.display_formatter is not None
    shell.display_formatter.formatters["image/png"].for_type(Figure, drawn_once)
    try:
        yield shell
    finally:
        atexit.unregister(shell.atexit_operations)
        shell.atexit_operations()  # type: ignore[no-untyped-call]
        _Shell.clear_instance()
        sys.modules["__main__"], sys.path[:] = main, path
        sys.displayhook, sys.excepthook = hooks
        if caller is not None:
            for ancestor in type(caller)._walk_mro():
                ancestor._instance = caller  # type: ignore[assignment]
        shutil.rmtree(folder, ignore_errors=True)


def _run(shell: _Shell, cell: NotebookNode) -> BaseException | None:
    """Runs one cell and fills its outputs in; the error that ended it, if one did."""
    printed = {"stdout": io.StringIO(), "stderr": io.StringIO()}
    shell.kept, shell.traceback = [], []
    cell.execution_count = shell.execution_count
    with redirect_stdout(printed["stdout"]), redirect_stderr(printed["stderr"]):
        done = shell.run_cell(cell.source, store_history=True)  # type: ignore[no-untyped-call]
        _show_figures()
    error: BaseException | None = done.error_before_exec or done.error_in_exec
    cell.outputs = list(_kept(printed, shell.kept))
    if error is not None:
        name, text = type(error).__name__, cut(str(error))
        traceback = [cut(line) for line in shell.traceback or [f"{name}: {text}"]]
        cell.outputs.append(_output("error", ename=name, evalue=text, traceback=traceback))
    return error


def _kept(printed: Mapping[str, io.StringIO], shown: Iterable[NotebookNode]) -> Iterator[NotebookNode]:
    """The outputs of a cell, of much of it the beginning and the end."""
    kept = Kept()
    for name, sink in printed.items():
        if text := kept.printed(sink.getvalue()):
            yield _output("stream", name=name, text=text)
    for output in shown:
        if (data := kept.shown(output.data)) is not None:
            output.data = data
            yield output
    if last := kept.last():
        yield _output("stream", name="stdout", text=last)


def _output(kind: str, **fields: object) -> NotebookNode:
    return NotebookNode(output_type=kind, **fields)  # type: ignore[no-untyped-call]


def drawn_once(figure: Figure) -> str | None:
    """The figure as a kernel's inline backend draws it, as wide and high as what is in it, in base64. To learn that size, the backend draws all of
    it a first time, which takes as long as the picture; where nothing is laid out while drawing, it can be asked beforehand."""
    size: Bbox | str = "tight"
    if figure.get_layout_engine() is None and isinstance(figure.canvas, FigureCanvasAgg):
        renderer = figure.canvas.get_renderer()  # type: ignore[no-untyped-call]
        size = figure.get_tightbbox(renderer).padded(rcParams["savefig.pad_inches"])
    picture: str | None = print_figure(figure, bbox_inches=size, base64=True)  # type: ignore[no-untyped-call]
    return picture


def _show_figures() -> None:
    """Shows the figures that a cell left open, as a kernel's inline backend does. pyplot is for the main thread alone."""
    if "matplotlib.pyplot" not in sys.modules or threading.current_thread() is not threading.main_thread():
        return
    from IPython.display import display
    from matplotlib import pyplot

    for number in pyplot.get_fignums():
        display(pyplot.figure(number))  # type: ignore[no-untyped-call]
    pyplot.close("all")
