"""What becomes of tasks whose worker is killed."""

from __future__ import annotations

import time

from mcp.server.mcpserver import MCPServer

from tests.servers import lossy_farm
from tests.unit.execution.test_docket import said
from tests.unit.farm import farm
from tests.unit.jsonrpc import modern
from tests.unit.storage_servers import shared_redis


async def test_tasks_of_a_killed_worker_are_retried_or_failed() -> None:
    async with farm(shared_redis().url, module="tests.servers.lossy_farm") as started:
        tasks = lossy_farm.build(started.url)
        killed = await started.worker()
        async with modern(MCPServer("farm", extensions=[tasks], middleware=[tasks])) as peer:
            again = await peer.task("again", {"first": 60.0, "later": 0.1})
            once = await peer.task("once", {"seconds": 60.0})
            for task_id in (again, once):
                await said(peer, task_id, "running")
            spare = await started.worker()
            killed.kill()
            died = time.monotonic()
            failed = await peer.until(once, "failed")
            assert "its process ended while it ran" in failed["statusMessage"]
            retried = await peer.until(again, "completed")
            # Two lease periods until somebody has it, and a slow machine.
            assert time.monotonic() - died < 2 * lossy_farm.LEASE + 3
        assert retried["result"]["structuredContent"] == {"result": spare.pid}
        assert retried["_meta"]["attempt"] == 2
        await tasks.close()
