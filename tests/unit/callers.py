"""A server with tasks and workflows, and callers of both generations at an address of their own.

127.0.0.1 and 127.0.0.2 are two network peers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel

from pmcp_lab.protocol import workflow_wire
from pmcp_lab.server import TaskContext, Tasks
from pmcp_lab.workflow import SequentialWorkflow, Workflows
from tests.unit.jsonrpc import TASKS, Json, Peer, RpcError, calling_from, legacy, serve
from tests.unit.modern_http import Modern, rpc

HERE, THERE = "127.0.0.1", "127.0.0.2"
BOTH = ["2025-11-25", "2026-07-28"]


class Name(BaseModel):
    name: str


class House:
    """A server and its tasks, as one process has them."""

    def __init__(self, store: str = "memory://", **options: Any) -> None:
        self.tasks = tasks = Tasks(store, lease=2, drain=0, **options)

        @tasks.tool()
        async def quick() -> str:
            return "done"

        @tasks.tool()
        async def hold(task: TaskContext) -> None:
            await task.cancelled.wait()

        @tasks.tool(support="required")
        async def pack() -> str:
            return "packed"

        @tasks.tool(on_lost="retry", poll_interval="20ms")
        async def ask(task: TaskContext) -> str:
            answer = await task.elicit("Who?", Name, key="who")
            return answer.content.name if answer.content else "nobody"

        self.server: MCPServer[Any] = MCPServer(
            "house", extensions=[tasks], middleware=[tasks], lifespan=tasks.lifespan, log_level="CRITICAL"
        )

        @self.server.tool()
        def weigh(kilos: int) -> int:
            return kilos

        flow = SequentialWorkflow("flow", "Weigh it").step("weigh", "weigh", execution="client", bind="weight")
        # Runs as a task of its own.
        flow = flow.step("pack", "pack")
        self.workflows = Workflows([flow], tasks)
        self.workflows.attach(self.server)


@asynccontextmanager
async def house(store: str = "memory://", *, http: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[str]:
    async with serve(House(store, **options).server, **(http or {})) as url:
        yield url


class Caller:
    """One client of either generation, at one address; the same calls for both."""

    def __init__(self, peer: Peer | Modern) -> None:
        self.peer = peer

    async def task(self, name: str, **arguments: Any) -> str:
        return str((await self.create(name, **arguments))["taskId"])

    async def about(self, method: str, task_id: str, **params: Any) -> Json:
        """The result, or `{"error": code}`."""
        if isinstance(self.peer, Modern):
            answer = rpc(await self.peer.about(method, task_id, **params))
            return dict(answer.get("result") or {"error": answer["error"]["code"], "says": answer["error"]["message"]})
        try:
            return await self.peer.call(method, {"taskId": task_id, **params})
        except RpcError as error:
            return {"error": error.code, "says": error.message}

    async def create(self, name: str = "hold", **arguments: Any) -> Json:
        """The task, or `{"error": …}`."""
        if isinstance(self.peer, Modern):
            answer = await self.peer.call(name, **arguments)
            return dict(answer.get("result") or answer)
        try:
            return dict((await self.peer.tool(name, arguments, task={}))["task"])
        except RpcError as error:
            return {"error": {"code": error.code, "message": error.message}}

    async def until(self, task_id: str, *statuses: str) -> Json:
        return await self.peer.until(task_id, *statuses)

    async def outcome(self, task_id: str) -> Json:
        """The tool's result, waited for the way of the generation."""
        if isinstance(self.peer, Modern):
            return dict((await self.peer.until(task_id, "completed"))["result"])
        return await self.peer.call("tasks/result", {"taskId": task_id})

    async def prompt(self, task_id: str | None = None) -> workflow_wire.WorkflowState:
        meta = {} if task_id is None else workflow_wire.continuation_meta(task_id)
        return await self._state("prompts/get", {"name": "flow"}, meta, workflow_wire.read_prompt)

    async def weigh(self, task_id: str) -> workflow_wire.WorkflowState:
        call = {"name": "weigh", "arguments": {"kilos": 1}}
        return await self._state("tools/call", call, workflow_wire.continuation_meta(task_id), workflow_wire.read_call)

    async def _state(self, method: str, params: Json, meta: Json, read: Any) -> workflow_wire.WorkflowState:
        if isinstance(self.peer, Modern):
            self.peer.envelope = {**self.peer.envelope, **meta}
            result = rpc(await self.peer.post(method, params["name"], **params))["result"]
        else:
            result = await self.peer.call(method, {**params, "_meta": meta})
        state = read(result)
        assert isinstance(state, workflow_wire.WorkflowState)
        return state


def accept(request: Json) -> Json:
    """What a 2025-11-25 client answers to a question."""
    return {"action": "accept", "content": {"name": "Ada"}}


@asynccontextmanager
async def caller(url: str, generation: str, address: str = HERE, *, silent: bool = False) -> AsyncIterator[Caller]:
    """Args: silent: It takes questions, and leaves those open that are put to its connection."""
    async with AsyncExitStack() as stack:
        if generation == "2025-11-25":
            yield Caller(
                await stack.enter_async_context(
                    legacy(url, answer=None if silent else accept, capabilities={"elicitation": {}}, address=address)
                )
            )
        else:
            http = httpx2.AsyncClient(timeout=20, transport=calling_from(address))
            await stack.enter_async_context(http)
            declared = {"extensions": {TASKS: {}}, "elicitation": {}}
            yield Caller(Modern(http, url, capabilities=declared))
