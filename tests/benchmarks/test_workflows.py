"""What leading a workflow costs beside the calls and the writes it is made of: ten steps against ten plain calls on the
same server and ten writes to the same store, in turns. The median of the paired ratios counts, of processor time; what
a disk and other people's work take is told beside it.
"""

from __future__ import annotations

import gc
import statistics
import time
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.server.mcpserver import MCPServer

from pmcp_lab.server import Tasks
from pmcp_lab.tasks import LOCAL, Limits
from pmcp_lab.workflow import SequentialWorkflow, Workflows

ROUNDS = 15
REPEATS = 10
STEPS = 10
AIM = 1.5
RESULT = {"content": [{"type": "text", "text": "1"}], "isError": False}
"""What is written of each call."""


def served(store: str) -> tuple[MCPServer[Any], Tasks]:
    tasks = Tasks(store, limits=Limits(tasks_per_owner=None))
    server: MCPServer[Any] = MCPServer("lab", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")

    @server.tool(structured_output=False)
    async def nothing() -> str:
        return "1"

    workflow = SequentialWorkflow("ten", "Do nothing, ten times")
    for number in range(STEPS):
        workflow = workflow.step(f"step {number}", "nothing")
    Workflows([workflow], tasks).attach(server)
    return server, tasks


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
@pytest.mark.timeout(300)
async def test_ten_steps_cost_little_more_than_ten_calls_and_writes(kind: str, mode: str, tmp_path: Path) -> None:
    server, tasks = served("memory://" if kind == "memory" else f"sqlite:///{tmp_path}/tasks.db")
    apart, together = list[tuple[float, float]](), list[tuple[float, float]]()
    async with Client(server, mode=mode) as client:

        async def parts() -> None:
            record = await tasks.store.create(LOCAL)
            for number in range(STEPS):
                await client.call_tool("nothing", {})
                if number:
                    await tasks.store.update(LOCAL, record.task_id, variables={f"result {number}": RESULT})

        async def whole() -> None:
            result = await client.get_prompt("ten", {})
            assert result.meta is not None
            assert result.meta["task_status"] == "completed"

        for arm in (parts, whole):
            await arm()
        gc.collect()
        gc.disable()
        try:
            for _ in range(ROUNDS):
                for arm, taken in ((parts, apart), (whole, together)):
                    started, used = time.perf_counter(), time.process_time()
                    for _ in range(REPEATS):
                        await arm()
                    taken.append(((time.process_time() - used) / REPEATS, (time.perf_counter() - started) / REPEATS))
        finally:
            gc.enable()
    await tasks.close()
    ratio, elapsed = (
        statistics.median(b[what] / a[what] for a, b in zip(apart, together, strict=True)) for what in (0, 1)
    )
    used, beside = (1e3 * statistics.median(arm[0] for arm in arms) for arms in (together, apart))
    print(
        f"\n  ten steps, {kind}, {mode}: {ratio:.2f} × ten calls and writes ({used:.2f} ms beside {beside:.2f} ms of "
        f"processor time; {elapsed:.2f} × by the clock); aim {AIM}"
    )
    assert ratio <= AIM
