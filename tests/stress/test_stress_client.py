"""The kernel side for longer than a test run has time for."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import pmcp_lab as lab


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs Linux")
def test_connections_that_come_and_go_leave_nothing() -> None:
    def once(n: int) -> None:
        with lab.connect("demo", name=f"visit-{n}") as server:
            assert server.call("add", a=n, b=1).value == n + 1

    once(0)
    files, threads = open_files(), threading.active_count()
    for n in range(1, 60):
        once(n)
    assert open_files() <= files + 2
    assert threading.active_count() <= threads + 1
    assert not lab.servers()


def test_a_thousand_tasks_of_two_generations() -> None:
    servers = [lab.connect("demo", name=f"many-{mode}", mode=mode) for mode in ("legacy", "2026-07-28")]
    try:
        for _ in range(10):
            runs = [server.task("train", epochs=2, seconds=0.5) for server in servers for _ in range(50)]
            assert all(run.result(60).value["epochs"] == 2 for run in runs)
            assert {run.status for run in runs} == {"completed"}
        assert sum(len(server.tasks) for server in servers) == 1_000
    finally:
        for server in servers:
            server.close()
