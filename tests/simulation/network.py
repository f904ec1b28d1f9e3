"""Connections between clients and simulated servers: messages that take their time, and connections that end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

import anyio
from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

if TYPE_CHECKING:
    from tests.simulation.world import Process, World

Json = dict[str, Any]

TASKS = "io.modelcontextprotocol/tasks"
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "client", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}, "extensions": {TASKS: {}}},
}
HANDSHAKE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"elicitation": {}},
    "clientInfo": {"name": "client", "version": "1"},
}


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Dropped(Exception):
    """The connection ended, or no answer came in time."""


class Connection:
    """One client's connection to one server, seen from the client.

    Args:
        user: Whose credentials it has.
        modern: Whether it speaks 2026-07-28 or 2025-11-25.
    """

    def __init__(self, world: World, process: Process, user: str, *, modern: bool) -> None:
        self.world = world
        self.process = process
        self.modern = modern
        self.open = True
        self.asked: list[Json] = []
        """Requests of the server that nobody has answered."""
        self.notified: list[Json] = []
        self._user = user
        self._last = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._arrives = {"here": 0.0, "there": 0.0}
        self._inbox: Any = None
        process.connections.append(self)
        self._there(self._accept)

    async def hello(self) -> None:
        """Shake hands, if that is the custom."""
        if not self.modern:
            await self.call("initialize", HANDSHAKE)
            self.notify("notifications/initialized")

    async def call(self, method: str, params: Json | None = None, *, timeout: float = 10.0) -> Json:
        """A request's result.

        Raises:
            Refused, Dropped: See there.
        """
        number, reply = self.send(method, params)
        try:
            async with asyncio.timeout(timeout):
                return await reply  # type: ignore[no-any-return]
        except TimeoutError:
            self.notify("notifications/cancelled", {"requestId": number})
            raise Dropped(f"{method} took longer than {timeout} s") from None
        finally:
            self._waiting.pop(number, None)

    def send(self, method: str, params: Json | None = None) -> tuple[int, asyncio.Future[Any]]:
        if not self.open:
            raise Dropped("the connection has ended")
        self._last += 1
        reply: asyncio.Future[Any] = self.world.loop.create_future()
        self._waiting[self._last] = reply
        params = {**(params or {}), **({"_meta": ENVELOPE} if self.modern else {})}
        self._post(JSONRPCRequest(jsonrpc="2.0", id=self._last, method=method, params=params))
        return self._last, reply

    def notify(self, method: str, params: Json | None = None) -> None:
        if self.open:
            self._post(JSONRPCNotification(jsonrpc="2.0", method=method, params=params))

    def answer(self, request: Json, result: Json) -> None:
        if self.open:
            self._post(JSONRPCResponse(jsonrpc="2.0", id=request["id"], result=result))

    def drop(self) -> None:
        """End it. The server hears of it, if it lives."""
        if self.open:
            self.broken()
            self._there(lambda: self._inbox.close())

    def broken(self) -> None:
        """The other side has ended it."""
        if not self.open:
            return
        self.open = False
        if self in self.process.connections:
            self.process.connections.remove(self)
        for reply in self._waiting.values():
            if not reply.done():
                reply.set_exception(Dropped("the connection has ended"))
                reply.exception()

    # --- on the way ---

    def _post(self, message: Any) -> None:
        self._there(lambda: self._inbox.send_nowait(SessionMessage(message)))

    def _there(self, work: Any) -> None:
        def arrive() -> None:
            self.process.loop.call_soon(deliver, context=Context())

        def deliver() -> None:
            # The server may have hung up meanwhile.
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                work()

        self._after("there", arrive)

    def _here(self, work: Any) -> None:
        self._after("here", lambda: work() if self.open else None)

    def _after(self, where: str, work: Any) -> None:
        # What is sent later arrives later.
        moment = self._arrives[where] = max(self._arrives[where], self.world.now + self.world.latency())
        self.world.loop.call_at(moment, work, context=Context())

    # --- in the server's process ---

    def _accept(self) -> None:
        self._inbox, read = anyio.create_memory_object_stream[Any](float("inf"))
        context = Context()
        context.run(auth_context_var.set, _credentials(self._user))
        self.process.loop.create_task(self._serve(read), context=context, name=f"connection of {self._user}")

    async def _serve(self, read: Any) -> None:
        server = self.process.server._lowlevel_server
        write, outbox = anyio.create_memory_object_stream[Any](float("inf"))
        run = server.run(read, write, server.create_initialization_options())
        serving = self.process.loop.create_task(run, context=copy_context())
        async with outbox:
            async for item in outbox:
                self._here(lambda message=item.message: self._heard(message))
        await serving
        self._here(self.broken)

    # --- at the client ---

    def _heard(self, message: Any) -> None:
        match message:
            case JSONRPCResponse(id=number, result=result):
                self._settle(number, "set_result", result)
            case JSONRPCError(id=number, error=error):
                self._settle(number, "set_exception", Refused(error.code, error.message))
            case JSONRPCNotification():
                self.notified.append({"method": message.method, "params": message.params or {}})
            case JSONRPCRequest():
                self.asked.append({"id": message.id, "method": message.method, "params": message.params or {}})

    def _settle(self, number: Any, how: str, outcome: Any) -> None:
        reply = self._waiting.get(number)
        if reply is not None and not reply.done():
            getattr(reply, how)(outcome)
            if how == "set_exception":
                reply.exception()


def _credentials(user: str) -> AuthenticatedUser:
    return AuthenticatedUser(AccessToken(token=user, client_id=user, scopes=[], expires_at=None))
