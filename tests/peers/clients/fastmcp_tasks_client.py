"""fastmcp-tasks as a client: the tasks extension of 2026-07-28. Runs in an environment of its own, prints JSON."""

import asyncio
import json
import os
import sys

from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import StdioTransport
from fastmcp.exceptions import ToolError
from fastmcp_tasks import call_tool_task
from mcp.shared.exceptions import MCPError

asked = []


async def answer(message, response_type, params, context):
    asked.append(message)
    return ElicitResult(action="accept", content={"confirm": True})


def target(where):
    if where.startswith("http"):
        return where
    command, *args = json.loads(where)
    return StdioTransport(command=command, args=args, env=dict(os.environ))


def text(result):
    return "".join(block.text for block in result.content)


async def scenario(client):
    report = {"version": "2026-07-28"}
    report["plain"] = text(await client.call_tool("greet", {"name": "Ada"}))
    slow = await call_tool_task(client, "slow_compute", {"seconds": 0.3, "label": "x"})
    report["states"] = [slow.create_result.status, (await slow.wait()).status]
    report["result"] = text(await slow.result())
    report["input"] = text(await client.call_tool("confirm_delete", {"filename": "b.txt"}))
    report["asked"] = asked[0]
    failing = await call_tool_task(client, "failing_job", {}, raise_on_error=False)
    ended = await failing.wait()
    report["toolError"] = {"status": ended.status, "text": text(await failing.result())}
    broken = await call_tool_task(client, "protocol_error_job", {})
    ended = await broken.wait()
    report["protocolError"] = {"status": ended.status, **ended.error}
    stopped = await call_tool_task(client, "slow_compute", {"seconds": 30})
    await stopped.cancel()
    report["cancelled"] = (await stopped.wait()).status
    await stopped.cancel()
    slow.create_result.task_id = "no-such-task"
    try:
        await slow.status()
    except MCPError as error:
        report["unknown"] = error.code
    try:
        await client.call_tool("failing_job", {})
    except ToolError as error:
        report["raised"] = str(error)
    return report


async def main():
    async with Client(target(sys.argv[1]), elicitation_handler=answer) as client:
        print(json.dumps(await scenario(client)))


asyncio.run(main())
