"""Clients of both generations that do the same things with a server's tasks, whatever they look like on the wire."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Literal, TypeVar

import anyio
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp_types import CONNECTION_CLOSED, jsonrpc_message_adapter

from tests.unit.jsonrpc import Json, ModernPeer, Peer, RpcError, legacy, modern
from tests.unit.processes import TIMEOUT, Gone, Process

T = TypeVar("T")

Generation = Literal["2025-11-25", "2026-07-28"]
GENERATIONS: Final[tuple[Generation, ...]] = ("2025-11-25", "2026-07-28")

YES: Final = {"action": "accept", "content": {"sure": True}}


class Caller:
    """A client that makes tasks and waits for them. Raises `Gone` once its connection has broken.

    Args:
        holding: Has the connection, and ends when that does.
        answers: Whether somebody is there to answer questions.
    """

    def __init__(self, peer: Peer | ModernPeer, holding: asyncio.Task[None], *, answers: bool) -> None:
        self._peer = peer
        self._holding = holding
        self._answers = answers

    async def task(self, tool: str, **arguments: Any) -> str:
        return await self._unless_broken(self._peer.task(tool, arguments))

    async def get(self, task_id: str) -> Json:
        return await self._ask("tasks/get", task_id)

    async def cancel(self, task_id: str) -> None:
        await self._ask("tasks/cancel", task_id)

    async def outcome(self, task_id: str, timeout: float = TIMEOUT) -> Any:
        """What the task's tool returned, or the text of its error; questions are answered on the way.

        A 2025-11-25 client asks once and is answered at the end (`tasks/result`), another one polls.
        """
        async with asyncio.timeout(timeout):
            if isinstance(self._peer, Peer):
                try:
                    return _returned(await self._ask("tasks/result", task_id))
                except RpcError as error:
                    return error.message
            while (task := await self.get(task_id))["status"] not in ("completed", "failed", "cancelled"):
                if self._answers and (asked := task.get("inputRequests")):
                    await self._ask("tasks/update", task_id, inputResponses=dict.fromkeys(asked, YES))
                await asyncio.sleep(0.1)
            return task["error"]["message"] if "error" in task else _returned(task["result"])

    async def _ask(self, method: str, task_id: str, **params: Any) -> Json:
        if isinstance(self._peer, Peer):
            return await self._unless_broken(
                self._peer.call(method, {"taskId": task_id, **params}, timeout=2 * TIMEOUT)
            )
        return await self._unless_broken(self._peer.call(method, task_id, **params))

    async def _unless_broken(self, call: Coroutine[Any, Any, T]) -> T:
        asking = asyncio.ensure_future(call)
        try:
            await asyncio.wait([asking, self._holding], return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                return asking.result()
        except MCPError as error:
            if error.code != CONNECTION_CLOSED:
                raise
        finally:
            asking.cancel()
        raise Gone("the connection has broken")


def _returned(result: Json) -> Any:
    if result.get("isError"):
        return result["content"][0]["text"]
    return result["structuredContent"]["result"]


@asynccontextmanager
async def calling(process: Process, generation: Generation, *, answers: bool = True) -> AsyncIterator[Caller]:
    """A client that is connected with the process, over HTTP or its standard streams.

    Raises:
        Gone: The process ended before.
    """
    target: Any = await process.url() if process.stdio is None else on_stdio(process.stdio)
    connected: asyncio.Future[Peer | ModernPeer] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def hold() -> None:
        peer: AbstractAsyncContextManager[Peer | ModernPeer]
        peer = (
            modern(target) if generation == "2026-07-28" else legacy(target, answer=lambda _: YES if answers else None)
        )
        async with peer as entered:
            connected.set_result(entered)
            await done.wait()

    # In a task of its own: a connection that breaks cancels whoever has it.
    holding = asyncio.create_task(hold())
    try:
        await asyncio.wait([connected, holding], return_when=asyncio.FIRST_COMPLETED)
        if holding.done():
            raise Gone("there was no connection") from holding.exception()
        yield Caller(connected.result(), holding, answers=answers)
    finally:
        done.set()
        await asyncio.gather(holding, return_exceptions=True)


@asynccontextmanager
async def on_stdio(descriptors: tuple[int, int]) -> AsyncIterator[tuple[Any, Any]]:
    """A transport of the SDK's on the standard streams of a process that runs already."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=2**24)
    to_stdin, from_stdout = (os.dup(descriptor) for descriptor in descriptors)
    reading, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(from_stdout, "rb", 0)
    )
    heard, hear = anyio.create_memory_object_stream[SessionMessage | Exception](100)[::-1]
    send, sent = anyio.create_memory_object_stream[SessionMessage](100)

    async def read() -> None:
        async with hear:
            async for line in lines:
                await hear.send(SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False)))

    async def write() -> None:
        async for message in sent:
            os.write(to_stdin, message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")

    try:
        async with anyio.create_task_group() as group, heard, send, sent:
            group.start_soon(read)
            group.start_soon(write)
            yield heard, send
            group.cancel_scope.cancel()
    finally:
        reading.close()
        os.close(to_stdin)
