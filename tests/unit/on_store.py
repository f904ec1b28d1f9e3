"""A server as another process has one, on a store that several share; and tasks that processes left behind."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from mcp.server.mcpserver import MCPServer

from pmcp_lab.execution import AsyncioExecutor
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.server import Tasks
from pmcp_lab.tasks import LOCAL, Job, Lease, TaskRecord, TaskStore
from pmcp_lab.tasks.record import Phase

SOON = 0.3
"""Seconds that the lease of a task lasts that was left behind."""


class OnStore:
    """A `Tasks` of its own on the store, as another process has. What it can do is declared by who inherits this.

    Attributes:
        go: What tools wait for.
        lease: Seconds that its leases last.
        grace: Seconds between asking a task to stop and ending it.
    """

    lease: ClassVar[float] = SOON
    grace: ClassVar[float] = 0.05

    def __init__(self, store: TaskStore, **options: Any) -> None:
        options = {"executor": AsyncioExecutor(grace=self.grace), "lease": self.lease, **options}
        self.tasks = tasks = Tasks(store, **options)
        self.go = asyncio.Event()
        self.declare(tasks)
        self.server: MCPServer[Any] = MCPServer("p", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")

    def declare(self, tasks: Tasks) -> None:
        raise NotImplementedError


async def left_behind(
    store: TaskStore, tool: str, *, run: str = "dead#1", phase: Phase = "running", **context: Any
) -> TaskRecord:
    """A task whose process is gone."""
    lease = Lease(run=run, seconds=SOON, version=1, phase=phase)
    return await store.create(LOCAL, job=Job(tool=tool, context=context), lease=lease)


async def ended(store: TaskStore, record: TaskRecord, *statuses: TaskStatus) -> TaskRecord:
    async with asyncio.timeout(5), store.watch(record.owner, record.task_id) as feed:
        async for current in feed:
            if current.status in statuses or not current.live:
                return current
    raise AssertionError("it never came")
