"""The Python SDK 1.x as a client: tasks of 2025-11-25. Runs in an environment of its own, prints a line of JSON."""

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager

import mcp.types as types
from mcp.client.session import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import McpError

asked = []


async def answer(context, params):
    asked.append((params.message, context.meta))
    return types.ElicitResult(action="accept", content={"confirm": True})


@asynccontextmanager
async def connected(where):
    if where.startswith("http"):
        transport = streamable_http_client(where)
    else:
        command, *args = json.loads(where)
        transport = stdio_client(StdioServerParameters(command=command, args=args, env=dict(os.environ)))
    async with transport as streams, ClientSession(*streams[:2], elicitation_callback=answer) as session:
        await session.initialize()
        yield session


def text(result):
    return "".join(block.text for block in result.content)


async def code(call):
    try:
        await call
    except McpError as error:
        return error.error.code
    return None


async def scenario(session):
    report = {"version": "2025-11-25"}
    tasks = session.experimental

    async def run(name, args):
        created = await tasks.call_tool_as_task(name, args, ttl=60_000)
        states = []
        async for task in tasks.poll_task(created.task.taskId):
            if not states or states[-1] != task.status:
                states.append(task.status)
            if task.status == "input_required":
                break
        return created.task.taskId, states

    report["plain"] = text(await session.call_tool("greet", {"name": "Ada"}))
    slow, report["states"] = await run("slow_compute", {"seconds": 0.3, "label": "x"})
    report["result"] = text(await tasks.get_task_result(slow, types.CallToolResult))
    question, _ = await run("confirm_delete", {"filename": "b.txt"})
    report["input"] = text(await tasks.get_task_result(question, types.CallToolResult))
    report["asked"] = asked[0][0]
    report["related"] = "io.modelcontextprotocol/related-task" in asked[0][1].model_dump()
    failing, states = await run("failing_job", {})
    failed = await tasks.get_task_result(failing, types.CallToolResult)
    report["toolError"] = {"status": states[-1], "text": text(failed)}
    broken, states = await run("protocol_error_job", {})
    try:
        await tasks.get_task_result(broken, types.CallToolResult)
    except McpError as error:
        report["protocolError"] = {"status": states[-1], "code": error.error.code, "message": error.error.message}
    stopped = (await tasks.call_tool_as_task("slow_compute", {"seconds": 30})).task.taskId
    report["cancelled"] = (await tasks.cancel_task(stopped)).status
    report["cancelTwice"] = await code(tasks.cancel_task(stopped))
    listed = {task.taskId for task in (await tasks.list_tasks()).tasks}
    report["listed"] = {slow, failing, stopped} <= listed
    report["unknown"] = await code(tasks.get_task("no-such-task"))
    report["required"] = await code(session.call_tool("failing_job", {}))
    return report


async def main():
    async with connected(sys.argv[1]) as session:
        print(json.dumps(await scenario(session)))


asyncio.run(main())
