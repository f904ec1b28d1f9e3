"""fastmcp as a client of either generation, without its tasks. Runs in an environment of its own, prints JSON."""

import asyncio
import json
import os
import sys

from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import StdioTransport
from mcp.shared.exceptions import MCPError

asked = []
told = []


async def answer(message, response_type, params, context):
    asked.append(message)
    return ElicitResult(action="accept", content={"name": "Ada", "username": "ada", "email": "ada@a.example"})


async def tell(progress, total, message):
    told.append(progress)


def target(where):
    if where.startswith("http"):
        return where
    command, *args = json.loads(where)
    return StdioTransport(command=command, args=args, env=dict(os.environ), keep_alive=False)


async def scenario(client, version):
    async def said(name, given=None):
        result = await client.call_tool(name, given or {}, raise_on_error=False)
        return "".join(block.text for block in result.content)

    report = {
        "version": version,
        "tools": len(await client.list_tools()),
        "resources": len(await client.list_resources()),
        "prompts": len(await client.list_prompts()),
        "plain": await said("greet", {"name": "Ada"}),
        "background": await said("slow_compute", {"seconds": 0.2, "label": "x"}),
        "progress": await said("test_tool_with_progress"),
        "toolError": await said("test_error_handling"),
        "read": (await client.read_resource("test://static-text"))[0].text,
    }
    try:
        await said("failing_job")
    except MCPError as error:
        report["required"] = error.code
    if version == "2025-11-25":
        report["input"] = await said("test_elicitation", {"message": "Who are you?"})
    else:
        report["input"] = await said("test_input_required_result_elicitation")
    return report | {"asked": asked, "told": told}


async def main():
    version = sys.argv[2]
    mode = "legacy" if version == "2025-11-25" else version
    async with Client(target(sys.argv[1]), mode=mode, elicitation_handler=answer, progress_handler=tell) as client:
        print(json.dumps(await scenario(client, version)))


asyncio.run(main())
