"""Task lifecycles of fastmcp-tasks, for a Python that has it. Argument: the URL of its back end.

Reads lines `<at once> <count>`; answers each with a line of JSON: microseconds, CPU microseconds and polls per task.
"""

import asyncio
import gc
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
            # As in the arms here.
            gc.collect()
            gc.disable()
            began, busy = time.perf_counter(), time.process_time()

            async def one_after_another(times: int) -> int:
                return sum([await lifecycle(client) for _ in range(times)])

            polls = sum(await asyncio.gather(*(one_after_another(count // at_once) for _ in range(at_once))))
            done = count // at_once * at_once
            busy, took = time.process_time() - busy, time.perf_counter() - began
            gc.enable()
            print(json.dumps([took / done * 1e6, busy / done * 1e6, polls / done]), flush=True)


asyncio.run(main())
