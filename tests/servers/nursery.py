"""Forks processes that have everything imported already: starting one costs a fiftieth of a second, not two.

`python -m tests.servers.nursery SOCKET`: a request on that socket is a JSON object, `argv` of a module to be run as a
script and `env` on top of the environment, and comes with what shall be the new process' descriptors 0, 1 and 3. The
answer is its process id. When the socket is closed, all of them end.
"""

from __future__ import annotations

import json
import os
import runpy
import select
import signal
import socket
import sys
import time
from importlib import import_module
from typing import Any, Final

IMPORTED: Final = ("pmcp_lab.server", "mcp.server.mcpserver", "uvicorn", "redis.asyncio", "mcp.server.stdio")
"""What takes long: all that the modules to be run need, beside themselves."""

DESCRIPTORS: Final = (0, 1, 3)


def main(number: int) -> None:
    for module in IMPORTED:
        import_module(module)
    # Nobody waits for them here: whoever holds the other end of their descriptors sees that they are gone.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=number) as asked:
        while True:
            request, descriptors, _, _ = socket.recv_fds(asked, 65_536, len(DESCRIPTORS))
            if not request:
                os.killpg(0, signal.SIGKILL)
            child = os.fork()
            if child == 0:
                asked.close()
                _become(json.loads(request), descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            asked.send(str(child).encode())


def _become(wanted: dict[str, Any], descriptors: list[int]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # First out of the way: one of them may have the number that another shall have.
    moved = [os.dup(descriptor) for descriptor in descriptors]
    for descriptor, number in zip(moved, DESCRIPTORS, strict=True):
        os.dup2(descriptor, number)
    for descriptor in {*descriptors, *moved} - {*DESCRIPTORS}:
        os.close(descriptor)
    os.environ.update(wanted["env"])
    if "LD_PRELOAD" in os.environ:
        # CPython sleeps until a moment of the monotonic clock, and libfaketime 0.9.10 fails where it leaves that alone.
        time.sleep = lambda seconds: select.select([], [], [], seconds)  # type: ignore[assignment]
    sys.argv = wanted["argv"]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
