"""The Python SDK 1.x as a server with tasks of 2025-11-25, over stdio. Runs in an environment of its own."""

import anyio
import mcp.types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

server = Server("mcp1")
server.experimental.enable_tasks()


@server.list_tools()
async def tools():
    execution = types.ToolExecution(taskSupport="required")
    return [
        types.Tool(name=name, inputSchema={"type": "object"}, execution=execution)
        for name in ("add", "confirm", "fail", "wait")
    ]


def text(value, error=False):
    return types.CallToolResult(content=[types.TextContent(type="text", text=str(value))], isError=error)


SCHEMA = {"type": "object", "properties": {"sure": {"type": "boolean"}}, "required": ["sure"]}


@server.call_tool()
async def call(name, arguments):
    async def work(task):
        await task.update_status("working on it")
        if name == "add":
            return text(arguments["a"] + arguments["b"])
        if name == "confirm":
            answer = await task.elicit("Sure?", SCHEMA)
            return text(answer.content)
        if name == "fail":
            return text("on purpose", error=True)
        while not task.is_cancelled:  # noqa: ASYNC110 - it has no event
            await anyio.sleep(0.05)
        return text("stopped")

    return await server.request_context.experimental.run_task(work)


async def main():
    async with stdio_server() as streams:
        await server.run(*streams, server.create_initialization_options())


anyio.run(main)
