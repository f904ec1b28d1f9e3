"""What it takes to keep a thousand tasks fresh: requests, counted by the server, and the kernel's own work."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import pytest

import pmcp_lab as lab
from pmcp_lab.client.tasks.poller import GATHER
from tests.unit.durable_server import over_stdio
from tests.unit.scripted_http import ScriptedHttp

TASKS = 1_000
IDLE = 10.0
CPU_LIMIT = 0.001
WAKES_LIMIT = 2.0


def asked(server: lab.Server) -> dict[str, int]:
    return dict(server.call("asked").value)


def since(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    methods = ("tasks/get", "tasks/list", "tasks/result", "subscriptions/listen")
    return {method: after.get(method, 0) - before.get(method, 0) for method in methods}


def test_a_refresh_of_a_thousand_legacy_tasks() -> None:
    server = ScriptedHttp()
    try:
        with lab.connect(server.url, name="bench-legacy") as connected:
            for _ in range(TASKS):
                connected.task("dig")
            server.asked.clear()
            time.sleep(5)
        methods = [method for _, method in server.asked]
        refreshes = methods.count("tasks/list") / 20
        print(f"\n{TASKS} legacy tasks, 50 a page: {dict(server.count())} in 5 s, {refreshes:g} refreshes")
        assert set(methods) <= {"tasks/list"}
        assert refreshes >= 1
    finally:
        server.close()


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_a_thousand_tasks_from_start_to_end(mode: str, tmp_path: Path) -> None:
    with over_stdio(tmp_path, f"bench-{mode}", mode) as server:
        began = time.perf_counter()
        before = asked(server)
        runs = [server.task("hold", number=number) for number in range(TASKS)]
        started = time.perf_counter()
        server.call("release")
        assert [run.result(120).value for run in runs] == list(range(TASKS))
        ended = time.perf_counter()
        counts = since(before, asked(server))
    print(f"\n{mode}: {TASKS} started in {started - began:.2f} s, all ended {ended - started:.2f} s later; {counts}")
    if mode == "legacy":
        assert counts["tasks/result"] == TASKS
    else:
        assert counts["tasks/get"] == 0
        assert counts["subscriptions/listen"] <= (ended - began) / GATHER + 2


def test_a_thousand_parked_tasks_cost_nothing(tmp_path: Path) -> None:
    with over_stdio(tmp_path, "bench-idle", "2026-07-28") as server:
        runs = [server.task("hold", number=number) for number in range(TASKS)]
        deadline = time.monotonic() + 30
        while not all(run.variables for run in runs):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(5)
        before = asked(server)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu, wakes = time.process_time(), usage.ru_nvcsw
        time.sleep(IDLE)
        cpu = (time.process_time() - cpu) / IDLE
        wakes = (resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - wakes) / IDLE
        counts = since(before, asked(server))
        server.call("release")
    print(f"\n{TASKS} parked modern tasks: {cpu:.3%} CPU, {wakes:.1f} wake-ups a second, {counts}")
    assert not any(counts.values())
    assert cpu <= CPU_LIMIT
    assert wakes <= WAKES_LIMIT
