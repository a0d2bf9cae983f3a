"""How a stage's notebook runs in a kernel: with this very Python, talking over sockets of the file system, not over TCP."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines
from papermill.log import logger
from traitlets import default

if TYPE_CHECKING:
    from papermill.engines import NotebookExecutionManager

NAME = "zeromargin-kernel"
START_S = 120
KEPT = 1_000_000  # characters that a cell prints: the executed copy is opened by people, and written anew after each cell


class PrivateKernelManager(AsyncKernelManager):
    """Its messages carry table contents and are not encrypted, so they stay off the network: its sockets lie in a folder of mode 0700."""

    @default("transport")
    def _ipc(self) -> str:
        return "ipc"

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name="Python 3",
            language="python",
            env={},
            metadata={},
        )


class KernelEngine(Engine):  # type: ignore[misc]  # Papermill has no types
    """A Papermill engine: the cells one after another in a private kernel, their texts kept up to `KEPT`."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: NotebookExecutionManager, kernel_name: str, **_: object) -> None:
        _Client(nb_man, kernel_manager_class=PrivateKernelManager, startup_timeout=START_S, kernel_name=kernel_name, log=logger).execute()


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        content = msg["content"]
        if msg["msg_type"] == "stream":
            printed = sum(len(output.text) for output in cell.outputs if output.output_type == "stream")
            content["text"] = cut(content["text"], printed)
            if not content["text"]:
                return None
        if msg["msg_type"] == "error":
            content |= {"evalue": cut(content["evalue"]), "traceback": [cut(line) for line in content["traceback"]]}
        if "data" in content:
            content["data"] = cut_data(content["data"])
        output: NotebookNode | None = super().process_message(msg, cell, cell_index)
        return output


def register() -> str:
    """Makes the engine known to Papermill; returns the name under which it is."""
    papermill_engines.register(NAME, KernelEngine)
    return NAME


def cut_data(data: dict[str, Any]) -> dict[str, Any]:
    """A value in its representations, texts cut. What a notebook draws is not text."""
    return {kind: cut(value) if kind.startswith("text/") and isinstance(value, str) else value for kind, value in data.items()}


def cut(text: str, printed: int = 0) -> str:
    """As much of the text as is kept of a cell that has `printed` so many characters before; where it is cut, the last line says so."""
    if printed + len(text) <= KEPT:
        return text
    return "" if printed > KEPT else f"{text[: KEPT - printed]}\n… what this cell gave after {KEPT:,} characters is not kept\n"
