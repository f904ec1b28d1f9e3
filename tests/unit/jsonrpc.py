"""Peers for the server tests: raw JSON-RPC as a 2025-11-25 client, the SDK's `Client` as a 2026-07-28 one.

The SDK's client can't read a legacy `CreateTaskResult`, and what is tested is what is on the wire.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

import anyio
import httpx2
import uvicorn
from mcp import Client, StdioServerParameters
from mcp.client._memory import InMemoryTransport
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import MCPServer
from mcp.shared.message import SessionMessage
from mcp_types import (
    CallToolResult,
    CreateMessageResult,
    ElicitRequestParams,
    ElicitResult,
    JSONRPCError,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    Request,
    Result,
)
from pydantic import ConfigDict

ROOT = Path(__file__).parents[2]
TASKS = "io.modelcontextprotocol/tasks"

DEMO = StdioServerParameters(
    command=sys.executable,
    args=["-m", "pmcp_lab", "demo"],
    env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"},
)

Json = dict[str, Any]
Answer = Callable[[Json], Json | None]


class RpcError(Exception):
    def __init__(self, code: int, message: str, data: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class Peer:
    """A 2025-11-25 client that shows what is on the wire. `answer` answers the server's own requests."""

    def __init__(self, write: Any, answer: Answer | None) -> None:
        self._write = write
        self._answer = answer
        self._open: dict[int, asyncio.Future[Json]] = {}
        self._last = 0
        self.notifications: list[Json] = []
        self.requests: list[Json] = []
        self.initialized: Json = {}

    async def call(self, method: str, params: Json | None = None, *, timeout: float = 20) -> Json:
        self._last += 1
        number = self._last
        self._open[number] = asyncio.get_running_loop().create_future()
        message = JSONRPCRequest(jsonrpc="2.0", id=number, method=method, params=params or {})
        await self._write.send(SessionMessage(message))
        async with asyncio.timeout(timeout):
            return await self._open[number]

    async def tool(self, name: str, arguments: Json | None = None, **params: Any) -> Json:
        return await self.call("tools/call", {"name": name, "arguments": arguments or {}, **params})

    async def task(self, name: str, arguments: Json | None = None, **task: Any) -> str:
        created = await self.tool(name, arguments, task=task)
        assert set(created) == {"task"}
        assert created["task"]["status"] == "working"
        return str(created["task"]["taskId"])

    async def until(self, task_id: str, *statuses: str) -> Json:
        async with asyncio.timeout(20):
            while True:
                task = await self.call("tasks/get", {"taskId": task_id})
                if task["status"] in statuses:
                    return task
                await asyncio.sleep(0.02)

    def notified(self, method: str) -> list[Json]:
        """The params of the notifications that came, of one method."""
        return [note["params"] for note in self.notifications if note["method"] == method]

    async def listen(self, read: Any) -> None:
        async for item in read:
            if isinstance(item, Exception):
                continue
            match item.message:
                case JSONRPCResponse(id=number, result=result):
                    self._open.pop(int(number)).set_result(result)
                case JSONRPCError(id=number, error=error):
                    self._open.pop(int(number)).set_exception(RpcError(error.code, error.message, error.data))
                case JSONRPCNotification() as note:
                    self.notifications.append(note.model_dump(mode="json"))
                case JSONRPCRequest() as request:
                    self.requests.append(request.model_dump(mode="json"))
                    reply = None if self._answer is None else self._answer(self.requests[-1])
                    if reply is not None:
                        await self.reply(self.requests[-1], reply)

    async def reply(self, request: Json, result: Json) -> None:
        """Answer one of the server's requests."""
        body = JSONRPCResponse(jsonrpc="2.0", id=request["id"], result=result)
        await self._write.send(SessionMessage(body))

    async def shake_hands(self, capabilities: Json, version: str) -> None:
        info = {"name": "tests", "version": "1"}
        self.initialized = await self.call(
            "initialize", {"protocolVersion": version, "capabilities": capabilities, "clientInfo": info}
        )
        message = JSONRPCNotification(jsonrpc="2.0", method="notifications/initialized")
        await self._write.send(SessionMessage(message))


@asynccontextmanager
async def legacy(
    target: str | StdioServerParameters | MCPServer[Any] | Server[Any] | AbstractAsyncContextManager[Any],
    *,
    answer: Answer | None = None,
    capabilities: Json | None = None,
    version: str = "2025-11-25",
    token: str | None = None,
    address: str = "127.0.0.1",
) -> AsyncIterator[Peer]:
    """A connected legacy peer.

    Args:
        target: A URL, a command, a server in this process or a transport.
        token: A bearer token.
        address: Where it connects from.
    """
    headers = {"mcp-protocol-version": version, **({"authorization": f"Bearer {token}"} if token else {})}
    declared = ({"elicitation": {}} if answer else {}) if capabilities is None else capabilities
    async with httpx2.AsyncClient(headers=headers, timeout=30, transport=calling_from(address)) as http:
        transport: Any
        if isinstance(target, str):
            transport = streamable_http_client(target, http_client=http)
        elif isinstance(target, StdioServerParameters):
            transport = stdio_client(target)
        elif isinstance(target, AbstractAsyncContextManager):
            transport = target
        else:
            transport = InMemoryTransport(target)
        async with transport as (read, write), anyio.create_task_group() as group:
            peer = Peer(write, answer)
            group.start_soon(peer.listen, read)
            await peer.shake_hands(declared, version)
            yield peer
            group.cancel_scope.cancel()


def calling_from(address: str) -> httpx2.AsyncHTTPTransport:
    """Connections of one network peer; each address of 127.0.0.0/8 is another one."""
    return httpx2.AsyncHTTPTransport(local_address=address)


@asynccontextmanager
async def serve(
    server: MCPServer[Any], *, believed: str | None = None, app: Any = None, **options: Any
) -> AsyncIterator[str]:
    """The URL of a server that runs on this event loop.

    Args:
        believed: The proxies that may say whom they speak for; uvicorn's own default if None.
        app: What is served instead of the server's own app.
    """
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        config = uvicorn.Config(
            app or server.streamable_http_app(**options),
            log_level="error",
            timeout_graceful_shutdown=1,
            lifespan="on",
            forwarded_allow_ips=believed,
        )
        uvi = uvicorn.Server(config)
        running = asyncio.create_task(uvi.serve(sockets=[listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        finally:
            uvi.should_exit = True
            await running


# --- the modern generation --------------------------------------------------------------------------


class Created(Result):
    model_config = ConfigDict(extra="allow")

    result_type: Literal["task"] = "task"
    taskId: str


class Body(Result):
    """Any result, with all its keys."""

    model_config = ConfigDict(extra="allow")


class TaskRequest(Request[dict[str, Any], str]):
    name_param: ClassVar[str] = "taskId"


async def _unresolved(created: Created, context: ClaimContext) -> CallToolResult:
    raise AssertionError("the tests read the claim itself")


class ListRequest(Request[dict[str, Any], Literal["tasks/list"]]):
    pass


class TasksClient(ClientExtension):
    identifier = TASKS

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=Created, resolve=_unresolved)]


class ModernPeer:
    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, method: str, task_id: str, **params: Any) -> Json:
        request = TaskRequest(method=method, params={"taskId": task_id, **params})
        body = await self.client.session.send_request(request, Body)  # type: ignore[arg-type]
        return body.model_dump(by_alias=True, mode="json", exclude_none=True)

    async def tool(self, name: str, arguments: Json | None = None) -> Json:
        result = await self.client.session.call_tool(name, arguments or {}, allow_claimed=True)
        return result.model_dump(by_alias=True, mode="json", exclude_none=True)

    async def task(self, name: str, arguments: Json | None = None) -> str:
        created = await self.tool(name, arguments)
        assert created["resultType"] == "task"
        return str(created["taskId"])

    async def until(self, task_id: str, *statuses: str) -> Json:
        async with asyncio.timeout(20):
            while True:
                task = await self.call("tasks/get", task_id)
                if task["status"] in statuses:
                    return task
                await asyncio.sleep(0.02)

    async def shows(self, task_id: str, variable: str) -> Json:
        """The task, once it has this variable: its tool has come that far."""
        async with asyncio.timeout(20):
            while variable not in (task := await self.call("tasks/get", task_id)).get("_meta", {}):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            return task


async def _never_asked(context: Any, params: ElicitRequestParams) -> ElicitResult:
    raise AssertionError("questions of modern tasks travel in tasks/get")


@asynccontextmanager
async def modern(
    target: Any,
    *,
    tasks: bool = True,
    elicitation: Callable[..., Awaitable[ElicitResult]] | None = _never_asked,
    sampling: Callable[..., Awaitable[CreateMessageResult]] | None = None,
) -> AsyncIterator[ModernPeer]:
    """A connected modern peer; `target` is whatever `mcp.Client` takes."""
    extensions = [TasksClient()] if tasks else []
    transport = stdio_client(target) if isinstance(target, StdioServerParameters) else target
    async with Client(
        transport,
        mode="2026-07-28",
        extensions=extensions,
        elicitation_callback=elicitation,
        sampling_callback=sampling,
    ) as client:
        yield ModernPeer(client)
