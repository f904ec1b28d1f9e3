"""A question of a task goes to one place at a time, however many come for it at once."""

from __future__ import annotations

import asyncio
from typing import Any

from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel

from pmcp_lab.server import TaskContext, Tasks
from pmcp_lab.tasks import TaskRecord, TaskStore
from pmcp_lab.tasks.backends.memory import MemoryBackend
from tests.unit.jsonrpc import legacy


class Sure(BaseModel):
    sure: bool


class Slow(MemoryBackend):
    """Lets others go on while it reads, as a storage elsewhere does."""

    async def get(self, owner: tuple[str, ...], task_id: str) -> TaskRecord | None:
        record = await super().get(owner, task_id)
        await asyncio.sleep(0.02)
        return record


async def test_two_requests_that_come_for_it_at_once_ask_it_once() -> None:
    tasks = Tasks(TaskStore(Slow()))

    @tasks.tool()
    async def confirm(task: TaskContext) -> bool:
        answer = await task.elicit("Sure?", Sure)
        return bool(answer.content and answer.content.sure)

    server: MCPServer[Any] = MCPServer("s", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")
    asked: list[str] = []

    def answer(question: Any) -> dict[str, Any]:
        asked.append(str(question))
        return {"action": "accept", "content": {"sure": True}}

    async with legacy(server, answer=answer) as peer:
        task_id = await peer.task("confirm")
        async with asyncio.timeout(10):
            results = await asyncio.gather(*(peer.call("tasks/result", {"taskId": task_id}) for _ in range(3)))
    assert [result["structuredContent"] for result in results] == [{"result": True}] * 3
    assert len(asked) == 1
