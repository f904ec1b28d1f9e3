"""Task lifecycles of fastmcp-tasks, for a Python that has it. Argument: the URL of its back end.

Reads lines `<at once> <count>`; answers each with a line of JSON: microseconds per task, polls per task.
"""

import asyncio
import json
import logging
import sys
import time

from fastmcp import Client, FastMCP
from fastmcp_tasks import TasksExtension
from fastmcp_tasks.client import call_tool_task

logging.disable(logging.WARNING)
server = FastMCP("arm")
server.add_extension(TasksExtension(url=sys.argv[1], name=f"arm-{time.time_ns()}"))


@server.tool(task=True)
async def nothing() -> int:
    return 1


async def lifecycle(client: Client) -> int:
    task = await call_tool_task(client, "nothing")
    polls = 1
    while (now := await task.status()).status != "completed":
        polls += 1
        assert now.status == "working", now
        await asyncio.sleep(0)
    assert now.result["structuredContent"] == {"result": 1}
    return polls


async def main() -> None:
    loop = asyncio.get_running_loop()
    async with Client(server) as client:
        await lifecycle(client)
        print("ready", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            at_once, count = map(int, line.split())
            began, polls = time.perf_counter(), 0

            async def one_after_another(times: int) -> int:
                return sum([await lifecycle(client) for _ in range(times)])

            polls = sum(await asyncio.gather(*(one_after_another(count // at_once) for _ in range(at_once))))
            done = count // at_once * at_once
            print(json.dumps([(time.perf_counter() - began) / done * 1e6, polls / done]), flush=True)


asyncio.run(main())
