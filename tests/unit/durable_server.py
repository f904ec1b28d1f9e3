"""`tests/servers/durable.py` as a process that can be killed and started again on its port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pmcp_lab as lab
from tests.unit.storage_servers import free_port

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "servers" / "durable.py"


class DurableServer:
    """Over HTTP. A restart keeps its tasks."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "tasks.db"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self, wait: bool = True) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(self.file), str(self.port)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        deadline = time.monotonic() + 30
        while wait and not self._answers():
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def connect(self, name: str, mode: str) -> lab.Server:
        return lab.connect(f"http://127.0.0.1:{self.port}/mcp", name=name, mode=mode)


def over_stdio(folder: Path, name: str, mode: str) -> lab.Server:
    """The same over stdio, where the connection starts it."""
    command = [sys.executable, str(SCRIPT), str(folder / "tasks.db")]
    return lab.connect(command, name=name, mode=mode, env={"PYTHONPATH": str(ROOT)})
