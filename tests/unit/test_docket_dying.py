"""Workers that die with the message they have just taken: a server that looks after its tasks makes up for it."""

from __future__ import annotations

import time

import pytest
from mcp.server.mcpserver import MCPServer

from tests.servers import lossy_farm
from tests.unit.farm import farm
from tests.unit.jsonrpc import modern
from tests.unit.storage_servers import shared_redis

BOUND = (3 + 1 / 3) * lossy_farm.LEASE
"""Seconds after which a task that was submitted is run, whatever became of its message: see `Tasks`."""

SLOW = 3.0
"""Seconds that a busy machine may take on top of it."""


@pytest.mark.timeout(180)
async def test_tasks_whose_worker_died_before_it_claimed_them_are_run_by_another() -> None:
    async with farm(shared_redis().url, module="tests.servers.lossy_farm") as started:
        tasks = lossy_farm.build(started.url)
        async with modern(MCPServer("farm", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")) as peer:
            mortal, _ = await started.start("-m", "pmcp_lab", "worker", "tests.servers.short_lived:build")
            submitted = time.monotonic()
            made = [
                await peer.task("once", {"seconds": 0.0}),
                await peer.task("again", {"first": 0.0, "later": 0.0}),
            ]
            await mortal.wait()
            spare = await started.worker()
            for task_id in made:
                done = await peer.until(task_id, "completed", "failed")
                # Neither was started before: the one that may run once is not lost, and none has a second attempt.
                assert done["result"]["structuredContent"] == {"result": spare.pid}
                assert "attempt" not in done["_meta"]
            assert time.monotonic() - submitted < BOUND + SLOW
        await tasks.close()
