"""What becomes of a connection and its tasks when the server dies, restarts, forgets the session or drops a stream."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pmcp_lab as lab
from pmcp_lab.client.runtime import runtime
from tests.unit.durable_server import DurableServer, over_stdio

MODES = ["legacy", "2026-07-28"]


def until(condition: Callable[[], object], timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def closed_afterwards() -> Iterator[None]:
    yield
    for server in lab.servers().values():
        server.close()


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[DurableServer]:
    server = DurableServer(tmp_path)
    yield server
    server.kill()


def start(server: lab.Server, count: int, seconds: float) -> list[lab.Task]:
    moment = time.time() + seconds
    return [server.task("until", moment=moment) for _ in range(count)]


@pytest.mark.parametrize("mode", MODES)
def test_a_url_is_killed_five_times_under_two_hundred_tasks(mode: str, durable: DurableServer) -> None:
    server = durable.connect(f"killed-{mode}", mode)
    runs = start(server, 200, seconds=18)
    for _ in range(5):
        durable.kill()
        until(lambda: all("reconnecting to" in (run.trouble or "") for run in runs))
        assert server.status == "reconnecting"
        durable.start()
        until(lambda: not any(run.trouble for run in runs))
        assert {run.status for run in runs} == {"working"}
    assert {run.result(60).value for run in runs} == {runs[0].arguments["moment"]}
    assert {run.status for run in runs} == {"completed"}
    assert not server.closed


@pytest.mark.parametrize("mode", MODES)
def test_a_command_is_killed_under_its_tasks(mode: str, tmp_path: Path) -> None:
    server = over_stdio(tmp_path, f"shot-{mode}", mode)
    runs = start(server, 50, seconds=12)
    for _ in range(2):
        old = server.call("pid").value
        os.kill(old, signal.SIGKILL)
        until(lambda: all("reconnecting to" in (run.trouble or "") for run in runs))
        assert server.call("pid").value != old, "a call waits for the new process"
        until(lambda: not any(run.trouble for run in runs))
    assert {run.result(60).value for run in runs} == {runs[0].arguments["moment"]}
    assert {run.variables["worker"] for run in runs} == {server.call("pid").value}
