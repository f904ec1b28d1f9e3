"""Servers that are killed again and again under a thousand tasks."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import pmcp_lab as lab
from tests.unit.durable_server import DurableServer, over_stdio

MODES = ["legacy", "2026-07-28"]
TASKS, KILLS = 1_000, 20


def until(condition: Callable[[], object], timeout: float = 120.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def start(server: lab.Server) -> list[lab.Task]:
    return [server.task("hold", number=number) for number in range(TASKS)]


def end(server: lab.Server, runs: list[lab.Task]) -> None:
    server.call("release")
    assert [run.result(120).value for run in runs] == list(range(TASKS))
    assert {run.status for run in runs} == {"completed"}
    assert not any(run.trouble for run in runs)


@pytest.mark.parametrize("mode", MODES)
def test_a_url_is_killed_twenty_times(mode: str, tmp_path: Path) -> None:
    durable = DurableServer(tmp_path)
    moments = random.Random(mode)
    try:
        with durable.connect(f"killed-{mode}", mode) as server:
            runs = start(server)
            for _ in range(KILLS):
                time.sleep(moments.uniform(0, 1.5))
                durable.kill()
                time.sleep(moments.uniform(0, 0.5))
                durable.start(wait=moments.random() < 0.5)
            until(lambda: server.status == "open" and not any(run.trouble for run in runs))
            assert {run.status for run in runs} == {"working"}
            end(server, runs)
    finally:
        durable.kill()


@pytest.mark.parametrize("mode", MODES)
def test_a_command_is_killed_twenty_times(mode: str, tmp_path: Path) -> None:
    with over_stdio(tmp_path, f"shot-{mode}", mode) as server:
        runs = start(server)
        for _ in range(KILLS):
            time.sleep(1.0)  # a command that keeps ending sooner is given up
            os.kill(server.call("pid").value, signal.SIGKILL)
            until(lambda: server.status == "open" and not any(run.trouble for run in runs))
        assert {run.status for run in runs} == {"working"}
        end(server, runs)
