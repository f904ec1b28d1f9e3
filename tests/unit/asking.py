"""A server whose tools ask in the middle of a call, and a 2026-07-28 client that has no tasks: each of its requests,
and each answer, as they are on the wire.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel

from pmcp_lab.execution import AsyncioExecutor
from pmcp_lab.server import TaskContext, Tasks, current_task
from pmcp_lab.tasks import TaskRecord, TaskStore
from pmcp_lab.tasks.owner import of_calls
from tests.unit.jsonrpc import Json, serve
from tests.unit.modern_http import CAPABILITIES, Modern, rpc
from tests.unit.tasks.test_owners import secured

NAMED = {"action": "accept", "content": {"name": "Ada"}}
NO = {"action": "decline"}


class Name(BaseModel):
    name: str


class Lab:
    """One process' server.

    Attributes:
        go: What `slow` and `counts` wait for.
        stopped: Tools that were stopped.
        runs: How often each tool was called.
    """

    def __init__(self, store: str | TaskStore = "memory://", *, guarded: bool = False, **options: Any) -> None:
        options = {"executor": AsyncioExecutor(grace=0.1), "lease": 0.5, "drain": 0, **options}
        self.tasks = tasks = Tasks(store, **options)
        self.go = asyncio.Event()
        self.stopped: list[str] = []
        self.runs: list[str] = []

        @tasks.tool()
        async def greet(task: TaskContext, greeting: str = "Hello", times: int = 1) -> str:
            self.runs.append("greet")
            names = []
            for number in range(times):
                await task.update(variables={"round": number})
                names.append(said(await task.elicit(f"Who? ({number})", Name)))
            return f"{greeting}, {' and '.join(names)}!"

        @tasks.tool(on_lost="retry")
        async def again(task: TaskContext) -> str:
            first = await task.elicit("First?", Name)
            return f"{said(first)} and {said(await task.elicit('Second?', Name))}, attempt {task.attempt}"

        @tasks.tool()
        async def both(task: TaskContext) -> str:
            async def right() -> Any:
                await asyncio.sleep(0.05)
                return await task.elicit("Right?", Name, key="r")

            return " ".join(map(said, await asyncio.gather(task.elicit("Left?", Name, key="left"), right())))

        @tasks.tool(support="forbidden")
        async def never_a_task(task: TaskContext) -> str:
            return said(await task.elicit("Who?", Name))

        @tasks.tool(support="required")
        async def always_a_task(task: TaskContext) -> str:
            return said(await task.elicit("Who?", Name))

        @tasks.tool()
        async def slow(task: TaskContext) -> str:
            name = said(await task.elicit("Who?", Name))
            try:
                for step in range(1, 4):
                    await task.update(progress=step / 4, message=f"step {step}")
                    await asyncio.sleep(0.05)
                await self.go.wait()
            except asyncio.CancelledError:
                self.stopped.append("slow")
                raise
            return name

        @tasks.tool()
        async def early(task: TaskContext) -> None:
            try:
                await self.go.wait()
            finally:
                self.stopped.append("early")

        @tasks.tool()
        async def waits(task: TaskContext) -> None:
            try:
                await task.elicit("Who?", Name)
            finally:
                self.stopped.append("waits")

        @tasks.tool()
        def in_thread(task: TaskContext) -> str:
            name = said(task.in_thread.elicit("Who?", Name))
            return f"{name} {threading.current_thread() is threading.main_thread()}"

        @tasks.tool()
        async def by_context(ctx: Context) -> str:
            await ctx.report_progress(1, 10)
            answer = await ctx.elicit("Who?", Name)
            await ctx.report_progress(9, 10, "nearly")
            await asyncio.sleep(0.05)
            return answer.data.name if answer.action == "accept" else answer.action

        @tasks.tool()
        async def opens(task: TaskContext) -> str:
            return (await task.elicit_url("Sign here", "https://example.com/sign")).action

        @tasks.tool()
        async def completes(task: TaskContext) -> str:
            answer = await task.sample("Say hey", max_tokens=10)
            return answer.content.text if answer.content.type == "text" else ""  # type: ignore[union-attr]

        @tasks.tool()
        async def breaks(task: TaskContext, how: str) -> str:
            await task.elicit("Who?", Name)
            raise (
                MCPError(-32055, "out of order", {"retry": False}) if how == "protocol" else RuntimeError("loss is nan")
            )

        @tasks.tool()
        async def odd(task: TaskContext, request: dict[str, Any]) -> Any:
            return await task.ask(request)

        @tasks.tool(concurrency=1)
        async def one_at_a_time(task: TaskContext) -> str:
            return said(await task.elicit("Who?", Name))

        @tasks.tool()
        async def adds(task: TaskContext, a: int) -> int:
            await task.update(progress=0.5, variables={"a": a})
            return a + 1

        self.server: MCPServer[Any] = MCPServer(
            "asking",
            extensions=[tasks],
            middleware=[tasks],
            lifespan=tasks.lifespan,
            log_level="CRITICAL",
            **(secured() if guarded else {}),
        )

        @self.server.tool()
        async def wrapped(text: str, ctx: Context) -> str:
            answer = await ctx.elicit("Who?", Name)
            other = await current_task().elicit("And?", Name)
            return f"{text} {answer.action} {other.action}"

        tasks.attach(self.server)
        tasks.wrap("wrapped")

    async def behind(self, *owner: str) -> list[TaskRecord]:
        """The tasks behind calls, and all others of this owner."""
        store = self.tasks.store
        return [*(await store.list(of_calls(owner))).records, *(await store.list(owner)).records]

    @asynccontextmanager
    async def asked(self, *, token: str | None = None, **capabilities: Any) -> AsyncIterator[Asked]:
        async with serve(self.server) as url, httpx2.AsyncClient(timeout=20) as http:
            yield Asked(Modern(http, url, token, capabilities or {"elicitation": {}}))


def said(answer: Any) -> str:
    return str(answer.content.name if answer.content else answer.action)


class Asked:
    """A client that is asked in its calls."""

    def __init__(self, peer: Modern) -> None:
        self.peer = peer

    def elsewhere(self, other: Asked) -> Asked:
        """The same client at another server."""
        return Asked(Modern(self.peer.http, other.peer.url, self.peer.token, self.peer.envelope[CAPABILITIES]))

    async def call(
        self,
        tool: str,
        arguments: Json | None = None,
        *,
        to: Json | None = None,
        answers: Mapping[str, Any] | None = None,
    ) -> Json:
        """The result, or `{"error": …}`.

        Args:
            to: The result that this call is made again for.
            answers: To its questions.
        """
        more: Json = {} if to is None else {"requestState": to["requestState"]}
        if answers is not None:
            more["inputResponses"] = answers
        return body(await self.peer.post("tools/call", tool, name=tool, arguments=arguments or {}, **more))

    async def through(self, tool: str, arguments: Json | None = None, answer: Any = NAMED) -> Json:
        """The result of a call all of whose questions are answered with this."""
        result = await self.call(tool, arguments)
        while result.get("resultType") == "input_required":
            answers = dict.fromkeys(result["inputRequests"], answer)
            result = await self.call(tool, arguments, to=result, answers=answers)
        return result


def body(response: httpx2.Response) -> Json:
    answer = rpc(response)
    return dict(answer.get("result") or {"error": answer["error"]})


def text(result: Json) -> str:
    assert result["resultType"] == "complete", result
    return str(result["content"][0]["text"])


def questions(result: Json) -> dict[str, str]:
    """What is asked, by key."""
    assert result.get("resultType") == "input_required", result
    return {key: asked["params"].get("message", asked["method"]) for key, asked in result["inputRequests"].items()}
