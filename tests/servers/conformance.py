"""What the official conformance suite wants of a server: tools, prompts and resources by the names it calls.

Task tools are in `conformance_tasks`, those that ask in their result in `conformance_questions`, skills in
`conformance_skills`. What `MCPServer` has no decorator for is in `Handshake`.
Run as a module it serves streamable HTTP on a free port and prints the URL, or stdio when asked to.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import sys
from typing import Annotated, Any

import uvicorn
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    Completion,
    EmbeddedResource,
    ImageContent,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, Field

from tests.servers.conformance_questions import TOOLS, test_input_required_result_prompt
from tests.servers.conformance_skills import skills
from tests.servers.conformance_tasks import tasks

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SILENCE = base64.b64encode(
    b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x40\x1f\0\0\1\0\x08\0data\0\0\0\0"
).decode()
WATCHED = "test://watched-resource"


class Handshake:
    """Middleware: the 2025-11-25 methods that `MCPServer` leaves to the lowlevel `Server`."""

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        old = ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS
        if old and ctx.method in ("logging/setLevel", "resources/subscribe", "resources/unsubscribe"):
            return {}
        result = await call_next(ctx)
        if ctx.method == "initialize" and isinstance(result, dict):
            capabilities = dict(result["capabilities"])
            capabilities["logging"] = {}
            capabilities["resources"] = {**(capabilities.get("resources") or {}), "subscribe": True}
            return {**result, "capabilities": capabilities}
        return result


def _schema_tool() -> Tool:
    """A schema with the vocabulary of JSON Schema 2020-12, which no Python signature gives."""

    def json_schema_2020_12_tool(name: str = "") -> str:
        """Takes a rich schema."""
        return name

    tool = Tool.from_function(json_schema_2020_12_tool)
    street = {"street": {"type": "string"}, "city": {"type": "string"}}
    tool.parameters = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": street}},
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    }
    return tool


server: MCPServer[Any] = MCPServer(
    "conformance",
    version="1",
    tools=[_schema_tool()],
    extensions=[tasks, skills],
    middleware=[tasks, skills, Handshake()],
    log_level="ERROR",
)


# --- content --------------------------------------------------------------------------------------------


@server.tool(structured_output=False)
def test_simple_text() -> str:
    """Text."""
    return "This is a simple text response for testing."


@server.tool(structured_output=False)
def test_image_content() -> ImageContent:
    """An image."""
    return ImageContent(data=PIXEL, mime_type="image/png")


@server.tool(structured_output=False)
def test_audio_content() -> AudioContent:
    """A sound."""
    return AudioContent(data=SILENCE, mime_type="audio/wav")


def _embedded(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    return EmbeddedResource(resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


@server.tool(structured_output=False)
def test_embedded_resource() -> EmbeddedResource:
    """A resource."""
    return _embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")


@server.tool(structured_output=False)
def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    """All of them."""
    return [
        TextContent(text="Multiple content types test:"),
        ImageContent(data=PIXEL, mime_type="image/png"),
        _embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ]


@server.tool()
def test_error_handling() -> str:
    """Fails."""
    raise ToolError("This tool intentionally returns an error for testing")


# --- messages during a call -----------------------------------------------------------------------------


@server.tool()
async def test_tool_with_logging(ctx: Context) -> str:
    """Logs three lines."""
    for line in ("started", "processing data", "completed"):
        await ctx.info(f"Tool {'execution ' if line != 'processing data' else ''}{line}")
        await asyncio.sleep(0.05)
    return "logged"


@server.tool()
async def test_logging_tool(ctx: Context) -> str:
    """Logs, which only a client that asked for it may see."""
    await ctx.info("only for who asked")
    return "logged"


@server.tool()
async def test_tool_with_progress(ctx: Context) -> str:
    """Reports 0, 50 and 100."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"step {done}")
        await asyncio.sleep(0.05)
    return "done"


@server.tool()
async def test_reconnection(ctx: Context) -> str:
    """Closes its stream in the middle."""
    await ctx.close_sse_stream()
    await asyncio.sleep(0.1)
    return "Reconnection test completed"


@server.tool()
async def test_sampling(prompt: str, ctx: Context) -> str:
    """Asks the client's model."""
    result = await ctx.session.create_message(
        [SamplingMessage(role="user", content=TextContent(text=prompt))],
        max_tokens=100,
        related_request_id=ctx.request_context.request_id,
    )
    return f"LLM response: {getattr(result.content, 'text', '')}"


class User(BaseModel):
    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


@server.tool()
async def test_elicitation(message: str, ctx: Context) -> str:
    """Asks the user."""
    return _answered(await ctx.elicit(message, User))


class Defaults(BaseModel):
    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: str = Field(default="active", json_schema_extra={"enum": ["active", "inactive", "pending"]})
    verified: bool = True


@server.tool()
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Asks with a default for every kind of field."""
    return _answered(await ctx.elicit("Check the defaults", Defaults))


def _titled(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"const": value, "title": title} for value, title in pairs]


class Choices(BaseModel):
    untitledSingle: str = Field(json_schema_extra={"enum": ["option1", "option2", "option3"]})
    titledSingle: str = Field(
        json_schema_extra={"oneOf": _titled(("value1", "First"), ("value2", "Second"), ("value3", "Third"))}
    )
    legacyEnum: str = Field(json_schema_extra={"enum": ["opt1", "opt2", "opt3"], "enumNames": ["One", "Two", "Three"]})
    untitledMulti: list[str] = Field(json_schema_extra={"items": {"type": "string", "enum": ["a", "b", "c"]}})
    titledMulti: list[str] = Field(
        json_schema_extra={"items": {"anyOf": _titled(("value1", "First"), ("value2", "Second"), ("value3", "Third"))}}
    )


@server.tool()
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Asks with every kind of choice."""
    return _answered(await ctx.elicit("Choose", Choices))


def _answered(answer: Any) -> str:
    content = answer.data.model_dump_json() if answer.action == "accept" else "{}"
    return f"User response: action={answer.action}, content={content}"


# --- headers, capabilities, changes --------------------------------------------------------------------------------


@server.tool()
def test_headers(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
    """Takes an argument that travels in a header too."""
    return region


@server.tool()
def test_missing_capability(ctx: Context) -> str:
    """Needs sampling, which the caller did not declare."""
    declared = ctx.request_context.session.client_capabilities
    if declared is None or declared.sampling is None:
        needed = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "this tool needs sampling", needed)
    return "there"


async def _there_and_gone(ctx: Context, add: Any, remove: Any, tell: Any) -> str:
    add()
    await tell()
    remove()
    await tell()
    return "changed"


@server.tool()
async def test_trigger_tool_change(ctx: Context) -> str:
    """Adds a tool for a moment."""

    def passing() -> str:
        """Passes."""
        return ""

    return await _there_and_gone(
        ctx, lambda: server.add_tool(passing), lambda: server.remove_tool("passing"), ctx.notify_tools_changed
    )


@server.tool()
async def test_trigger_prompt_change(ctx: Context) -> str:
    """Says that the prompts changed."""
    await ctx.notify_prompts_changed()
    return "changed"


# --- resources and prompts ------------------------------------------------------------------------------


@server.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    """Text."""
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """An image."""
    return base64.b64decode(PIXEL)


@server.resource("test://template/{id}/data", mime_type="application/json")
def template(id: str) -> str:
    """A template."""
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


@server.resource(WATCHED, mime_type="text/plain")
def watched() -> str:
    """Something to subscribe to."""
    return "as ever"


def _says(*content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": block} for block in content]


@server.prompt()
def test_simple_prompt() -> str:
    """No arguments."""
    return "This is a simple prompt for testing."


@server.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """Two arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@server.prompt()
def test_prompt_with_embedded_resource(resourceUri: str) -> list[dict[str, Any]]:
    """A resource inside."""
    return _says(
        _embedded(resourceUri, "text/plain", "Embedded resource content for testing."),
        TextContent(text="Please process the embedded resource above."),
    )


@server.prompt()
def test_prompt_with_image() -> list[dict[str, Any]]:
    """An image inside."""
    return _says(ImageContent(data=PIXEL, mime_type="image/png"), TextContent(text="Please analyze the image above."))


for asking in TOOLS:
    server.add_tool(asking)
server.prompt()(test_input_required_result_prompt)


@server.completion()
async def complete(ref: Any, argument: Any, context: Any) -> Completion:
    return Completion(values=[], total=0, has_more=False)


def main() -> None:
    if sys.argv[1:] == ["--stdio"]:
        server.run("stdio")
        return
    app = server.streamable_http_app()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        print(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=0)).run(sockets=[listening])


if __name__ == "__main__":
    sys.exit(main())
