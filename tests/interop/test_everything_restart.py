"""server-everything over HTTP, killed and started again: it keeps neither sessions nor tasks."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable

import pytest

import pmcp_lab as lab
from pmcp_lab.errors import ConnectionClosed
from tests.interop.table import peer
from tests.peers import Peer
from tests.unit.storage_servers import free_port

pytestmark = peer("server-everything", "server", "2025-11-25", "HTTP")


def until(condition: Callable[[], object], timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def serve(peer: Peer, port: int) -> subprocess.Popen[bytes]:
    def answers() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    process = subprocess.Popen(
        peer.http, env={**os.environ, "PORT": str(port)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until(answers)
    return process


def test_a_restart_in_the_middle_of_tasks(everything: Peer) -> None:
    port = free_port()
    process = serve(everything, port)
    try:
        with lab.connect(f"http://127.0.0.1:{port}/mcp", name="everything-http") as server:
            runs = [server.task("simulate-research-query", topic=f"tides {n}") for n in range(5)]
            assert all(run.id for run in runs)
            process.kill()
            process.wait()
            until(lambda: all("reconnecting to 'everything-http'" in (run.trouble or "") for run in runs))
            process = serve(everything, port)
            for run in runs:
                with pytest.raises(ConnectionClosed, match="It is back, but does not know task"):
                    run.result(30)
                assert run.status == "unknown"
            assert server.call("get-sum", a=1, b=2).text == "The sum of 1 and 2 is 3."
            run = server.task("simulate-research-query", topic="moons")
            assert "Research Report: moons" in run.result(30).text
    finally:
        process.kill()
        process.wait()
