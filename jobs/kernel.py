"""How a stage's kernel is started: with this very Python, talking over sockets of the file system, not over TCP."""

from __future__ import annotations

import sys

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from traitlets import default


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
