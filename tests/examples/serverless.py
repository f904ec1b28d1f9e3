"""Tasks where nothing runs between requests: one invocation takes the call, another one does the work.

`web` is what answers MCP requests, on whatever serves HTTP; it only writes the task down and queues its key.
`consume` is what the queue starts, once per message and more than once if need be. Both reach the same store.

To use a real queue, publish with its client instead, for example `sqs.send_message(QueueUrl=…, MessageBody=json)`.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from mcp.server.mcpserver import MCPServer

from pmcp_lab.execution import QueueExecutor
from pmcp_lab.server import TaskContext, Tasks
from pmcp_lab.tasks import TaskStore

queue: asyncio.Queue[str] = asyncio.Queue()
"""Stands for SQS, Pub/Sub, Cloud Tasks …"""


async def publish(message: dict[str, Any]) -> None:
    await queue.put(json.dumps(message))


def build(store: str | TaskStore) -> Tasks:
    """The same tools for both invocations."""
    tasks = Tasks(store, executor=QueueExecutor(publish))

    @tasks.tool(support="required", on_lost="retry")
    async def report(year: int, task: TaskContext) -> str:
        await task.update(message="adding up", progress=0.5)
        return f"the report of {year}"

    return tasks


def web(store: str | TaskStore) -> MCPServer[Any]:
    """First invocation: `tools/call` makes the task, `tasks/get` reads it."""
    tasks = build(store)
    return MCPServer("reports", extensions=[tasks], middleware=[tasks], log_level="WARNING")


async def consume(message: str, store: str | TaskStore) -> str:
    """Second invocation: runs the task to its end. No server is needed for that."""
    record = await build(store).run_task(json.loads(message))
    return record.status
