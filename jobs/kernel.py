"""How a stage's notebook runs in a kernel: a process that was forked for it, talking over sockets of the file system, not over TCP."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

import numpy as np
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines
from papermill.log import logger
from traitlets import default

from jobs import stage_log
from jobs.kept import Kept, cut
from jobs.outcome import killed
from lakehouse.errors import ProcessKilled

if TYPE_CHECKING:
    from papermill.engines import NotebookExecutionManager

NAME = "zeromargin-kernel"
START_S = 120


def fork(log: Path) -> Thread | None:
    """Forks the process that becomes this one's kernel once a notebook is executed here: None there, when it has ended. Here the thread that
    writes to `log` what the kernel says, and what it starts.

    To be called before there is a second thread, and before anything is opened that a kernel shouldn't share.
    """
    (told, tell), (said, say) = os.pipe(), os.pipe()
    here = os.getpid()
    number = os.fork()
    if number:
        os.close(told)
        os.close(say)
        ForkedProvisioner.waiting = (number, tell)
        return stage_log.follow(said, log)
    os.close(tell)
    os.close(said)
    for stream in (1, 2):
        os.dup2(say, stream)
    os.close(say)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    with os.fdopen(told, "rb") as launch:
        order = launch.read()
    if order:  # else it ended without a notebook
        _be_kernel(json.loads(order), here)
    return None


def _be_kernel(order: dict[str, Any], parent: int) -> None:
    from ipykernel.kernelapp import IPKernelApp

    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    np.random.seed()  # a fork would go on with the random numbers of the process that it comes from
    IPKernelApp.launch_instance([*order["arguments"], f"--IPKernelApp.parent_handle={parent}"])


class ForkedProvisioner(LocalProvisioner):
    """Where a kernel would be launched, the forked process that waits to become it is told how."""

    waiting: ClassVar[tuple[int, int]]  # its number, and the pipe that it waits at
    process: int | None = None  # type: ignore[assignment]  # a Popen, there
    ended: int | None = None  # what it ended with

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        self.process, tell = self.waiting
        with suppress(BrokenPipeError), os.fdopen(tell, "w") as launch:  # where it has died, whoever waits for its answer sees that
            json.dump({"arguments": cmd, "environment": kwargs["env"], "folder": str(Path.cwd())}, launch)
        return self.connection_info

    async def poll(self) -> int | None:
        if self.process is None:
            return 0
        if self.ended is None:
            number, status = os.waitpid(self.process, os.WNOHANG)
            self.ended = os.waitstatus_to_exitcode(status) if number else None
        return self.ended

    async def wait(self) -> int | None:
        while (ended := await self.poll()) is None:
            await asyncio.sleep(0.01)
        self.process = None
        return ended

    async def send_signal(self, signum: int) -> None:
        if self.process is not None and self.ended is None:
            os.kill(self.process, signum)


class PrivateKernelManager(AsyncKernelManager):
    """Its messages carry table contents and are not encrypted, so they stay off the network: its sockets lie in a folder of mode 0700."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.kernel_id = str(uuid4())
        self.provisioner = ForkedProvisioner(kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self)

    async def _async_interrupt_kernel(self) -> None:
        if not self.shutting_down:  # nothing runs then, and what says goodbye shouldn't be disturbed
            await super()._async_interrupt_kernel()

    @default("transport")
    def _ipc(self) -> str:
        return "ipc"

    @default("ip")
    def _in_private(self) -> str:
        return str(Path(tempfile.gettempdir()) / "kernel")  # else where the notebook runs, which outlives a kernel that is killed

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(argv=["-f", "{connection_file}"], display_name="Python 3", language="python", env={}, metadata={})


class KernelEngine(Engine):  # type: ignore[misc]  # Papermill has no types
    """A Papermill engine: the cells one after another in a private kernel, of much that they give the beginning and the end. Raises `ProcessKilled`
    where the kernel was ended by a signal."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: NotebookExecutionManager, kernel_name: str, **_: object) -> None:
        client = _Client(nb_man, kernel_manager_class=PrivateKernelManager, startup_timeout=START_S, kernel_name=kernel_name, log=logger)
        try:
            client.execute()
        except (DeadKernelError, RuntimeError) as error:
            forked = client.manager.provisioner
            ended = forked.ended if isinstance(forked, ForkedProvisioner) else None
            if "Kernel died" not in str(error) or ended is None or ended >= 0:  # after any other error it is ended by us
                raise
            raise ProcessKilled(killed("the kernel", ended)) from error


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    manager: PrivateKernelManager
    kept: Kept  # of the cell that runs

    def create_kernel_manager(self) -> PrivateKernelManager:
        self.manager = super().create_kernel_manager()
        return self.manager

    def execute_cell(self, cell: NotebookNode, cell_index: int, **options: Any) -> NotebookNode:
        self.kept = Kept()
        try:
            done: NotebookNode = super().execute_cell(cell, cell_index, **options)
            return done
        finally:
            if last := self.kept.last():
                is_error = bool(cell.outputs) and cell.outputs[-1].output_type == "error"
                cell.outputs.insert(len(cell.outputs) - is_error, NotebookNode(output_type="stream", name="stdout", text=last))  # type: ignore[no-untyped-call]

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        kind, content = msg["msg_type"], msg["content"]
        if kind == "stream":
            content["text"] = self.kept.printed(content["text"])
            if not content["text"]:
                return None
        elif kind == "error":
            content |= {"evalue": cut(content["evalue"]), "traceback": [cut(line) for line in content["traceback"]]}
        elif kind == "clear_output":
            self.kept = Kept()
        elif "data" in content:
            data = self.kept.shown(content["data"], content.get("transient", {}).get("display_id") or "")
            if data is None:
                return None
            content["data"] = data
        output: NotebookNode | None = super().process_message(msg, cell, cell_index)
        return output


def register() -> str:
    """Makes the engine known to Papermill; returns the name under which it is."""
    papermill_engines.register(NAME, KernelEngine)
    return NAME
