"""fastmcp's client without its tasks: what a call asks comes in its result, and the client calls again. Prints JSON."""

import asyncio
import json
import os
import sys

from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import StdioTransport

ANSWERS = {"boolean": True, "integer": 3, "string": "Ada"}
asked = []


async def answer(message, response_type, params, context):
    asked.append(message)
    fields = params.requested_schema["properties"].items()
    return ElicitResult(action="accept", content={name: ANSWERS[field["type"]] for name, field in fields})


async def main(where):
    if not where.startswith("http"):
        command, *args = json.loads(where)
        where = StdioTransport(command=command, args=args, env=dict(os.environ))
    async with Client(where, elicitation_handler=answer) as client:

        async def called(name, arguments):
            return "".join(block.text for block in (await client.call_tool(name, arguments)).content)

        report = {
            "version": "2026-07-28",
            "plain": await called("greet", {"name": "Ada"}),
            "input": await called("confirm_delete", {"filename": "b.txt"}),
            "both": await called("multi_input", {}),
        }
    print(json.dumps(report | {"asked": asked}))


asyncio.run(main(sys.argv[1]))
