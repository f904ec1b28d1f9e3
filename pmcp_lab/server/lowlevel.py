"""Extensions on the SDK's lowlevel `Server`, which takes none: the same contributions, put there one by one."""

from __future__ import annotations

from typing import Any

from mcp.server.context import HandlerResult
from mcp.server.extension import Extension, MethodBinding, RequestHandler, compose_tool_call_handler
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPError
from mcp_types import (
    METHOD_NOT_FOUND,
    CallToolRequestParams,
    SubscriptionsListenRequestParams,
)

from pmcp_lab.errors import LabError
from pmcp_lab.server.request import Request
from pmcp_lab.server.wrapped_tool import LowlevelServerTools


def extend(server: Server[Any], extension: Extension) -> LowlevelServerTools:
    """Add the methods and interceptor of tasks to the server, and advertise them.

    Raises:
        LabError: The server has no handler of `tools/call`, or one of the methods already.
    """
    called = server.get_request_handler("tools/call")
    if called is None:
        raise LabError(f"server {server.name!r} has no tools yet: give it on_call_tool before tasks.attach(server)")
    add_methods(server, extension, "tasks")
    server.add_request_handler(
        "tools/call", CallToolRequestParams, compose_tool_call_handler([extension], called.handler)
    )
    if server.get_request_handler("subscriptions/listen") is None:
        listening = ListenHandler(InMemorySubscriptionBus())
        server.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, listening)
    return LowlevelServerTools(server, called.handler)


def add_methods(server: Server[Any], extension: Extension, what: str) -> None:
    """Add the extension's methods to the server, and advertise it.

    Args:
        what: It is called in errors.

    Raises:
        LabError: The server answers one of the methods already.
    """
    methods = extension.methods()
    for method in methods:
        if server.get_request_handler(method.method) is not None:
            raise LabError(f"server {server.name!r} already answers {method.method}: {what} can't be added to it")
    for method in methods:
        server.add_request_handler(method.method, method.params_type, _of_its_versions(method))
    server.extensions[extension.identifier] = extension.settings()


def _of_its_versions(method: MethodBinding) -> RequestHandler:
    if method.protocol_versions is None:
        return method.handler

    async def gated(ctx: Request, params: Any) -> HandlerResult:
        if ctx.protocol_version not in (method.protocol_versions or ()):
            raise MCPError(METHOD_NOT_FOUND, "Method not found", method.method)
        return await method.handler(ctx, params)

    return gated
