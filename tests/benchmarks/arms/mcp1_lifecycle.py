"""Task lifecycles of mcp 1.30, for a Python that has it.

Reads lines `<at once> <count>`; answers each with a line of JSON: microseconds, CPU microseconds and polls per task.
"""

import asyncio
import gc
import json
import sys
import time
from typing import Any

from mcp import types
from mcp.client.session import ClientSession
from mcp.server.lowlevel import Server
from mcp.shared.memory import create_connected_server_and_client_session


def build() -> Server[Any]:
    server: Server[Any] = Server("arm")
    server.experimental.enable_tasks()

    @server.list_tools()
    async def tools() -> list[types.Tool]:
        execution = types.ToolExecution(taskSupport=types.TASK_REQUIRED)
        return [types.Tool(name="nothing", inputSchema={"type": "object"}, execution=execution)]

    @server.call_tool()
    async def call(name: str, arguments: dict[str, Any]) -> types.CreateTaskResult:
        async def work(task: Any) -> types.CallToolResult:
            return types.CallToolResult(content=[types.TextContent(type="text", text="1")])

        return await server.request_context.experimental.run_task(work)

    return server


async def lifecycle(session: ClientSession) -> int:
    task = (await session.experimental.call_tool_as_task("nothing", {})).task
    polls = 1
    while (await session.experimental.get_task(task.taskId)).status != "completed":
        polls += 1
        await asyncio.sleep(0)
    result = await session.experimental.get_task_result(task.taskId, types.CallToolResult)
    assert result.content[0].text == "1"
    return polls


async def main() -> None:
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        at_once, count = map(int, line.split())
        # A new server each time: its store gets slower with each task.
        async with create_connected_server_and_client_session(build()) as session:
            await session.initialize()
            await lifecycle(session)

            async def one_after_another(times: int) -> int:
                return sum([await lifecycle(session) for _ in range(times)])

            # As in the arms here.
            gc.collect()
            gc.disable()
            began, busy = time.perf_counter(), time.process_time()
            polls = sum(await asyncio.gather(*(one_after_another(count // at_once) for _ in range(at_once))))
            done = count // at_once * at_once
            busy, took = time.process_time() - busy, time.perf_counter() - began
            gc.enable()
            print(json.dumps([took / done * 1e6, busy / done * 1e6, polls / done]), flush=True)


asyncio.run(main())
