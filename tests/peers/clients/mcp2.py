"""The Python SDK 2.x as a client of either generation, as it is without our help: no tasks. Prints a line of JSON."""

import asyncio
import json
import os
import sys

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult

asked = []
told = []


async def answer(context, params):
    asked.append(params.message)
    return ElicitResult(action="accept", content={"name": "Ada", "username": "ada", "email": "ada@a.example"})


async def tell(progress, total, message):
    told.append(progress)


def target(where):
    if where.startswith("http"):
        return where
    command, *args = json.loads(where)
    return stdio_client(StdioServerParameters(command=command, args=args, env=dict(os.environ)))


def text(result):
    return "".join(block.text for block in result.content)


async def scenario(client):
    report = {
        "version": client.protocol_version,
        "tools": len((await client.list_tools()).tools),
        "resources": len((await client.list_resources()).resources),
        "prompts": len((await client.list_prompts()).prompts),
        "plain": text(await client.call_tool("greet", {"name": "Ada"})),
        "background": text(await client.call_tool("slow_compute", {"seconds": 0.2, "label": "x"})),
        "progress": text(await client.call_tool("test_tool_with_progress", {}, progress_callback=tell)),
        "toolError": text(await client.call_tool("test_error_handling", {})),
        "read": (await client.read_resource("test://static-text")).contents[0].text,
    }
    try:
        await client.call_tool("failing_job", {})
    except MCPError as error:
        report["required"] = error.code
    modern = report["version"] != "2025-11-25"
    asking, given = (
        ("test_input_required_result_elicitation", {}) if modern else ("test_elicitation", {"message": "Who are you?"})
    )
    report["input"] = text(await client.call_tool(asking, given))
    return report | {"asked": asked, "told": told}


async def main():
    mode = "legacy" if sys.argv[2] == "2025-11-25" else sys.argv[2]
    async with Client(target(sys.argv[1]), mode=mode, elicitation_callback=answer) as client:
        print(json.dumps(await scenario(client)))


asyncio.run(main())
