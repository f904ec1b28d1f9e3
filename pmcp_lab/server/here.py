"""What one event loop of this process has to do with tasks. State alone; `runner` and `upkeep` work on it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from uuid import uuid4

from pmcp_lab.errors import LabError
from pmcp_lab.execution import Heartbeat, TaskKey
from pmcp_lab.server.tool import Prepared, TaskTool
from pmcp_lab.server.wrapped import WrappedTool
from pmcp_lab.tasks import Lease, TaskRecord, TaskStore
from pmcp_lab.tasks.context import StoredContext

Tool = TaskTool | WrappedTool


class Run:
    """A task that is being run.

    Attributes:
        taken: Another runner has it: nothing may be written any more.
        enforcing: The timer that ends what was asked to stop.
        enforced: That timer has fired.
        watching: What tells of changes by other processes, or the timer that will start it.
        context: What its tool sees, once it is called.
        has_turn: It is past its tool's `concurrency`.
    """

    def __init__(self, record: TaskRecord, tool: Tool, cancelled: asyncio.Event) -> None:
        self.record = record
        self.tool = tool
        self.cancelled = cancelled
        self.task = asyncio.current_task()
        self.taken = False
        self.enforcing: asyncio.TimerHandle | None = None
        self.enforced = False
        self.watching: asyncio.TimerHandle | asyncio.Task[None] | None = None
        self.has_turn = False
        self.context: StoredContext | None = None

    def stop(self, grace: float, *, taken: bool = False) -> None:
        """Ask the work to stop, and end it after `grace` seconds, unless somebody did before."""
        self.taken = self.taken or taken
        if self.cancelled.is_set():
            return
        self.cancelled.set()
        self.enforcing = asyncio.get_running_loop().call_later(grace, self._enforce)

    def over(self) -> None:
        """Nothing is left to be stopped."""
        for pending in (self.enforcing, self.watching):
            if pending is not None:
                pending.cancel()

    def _enforce(self) -> None:
        if self.task is not None:
            self.enforced = True
            self.task.cancel()


class Here:
    """What is kept per event loop.

    Attributes:
        name: What leases are held under: unique among everything that ever runs tasks.
        waiting: Tools of the tasks that were submitted and have not started.
        starting: Tasks that are being run, from the first moment on.
        running: Those of them that are claimed.
        birth_lease: That of new tasks, and until when (the loop's time) it is used.
        prepared: Their calls, as the request left them; a task of another process has none.
        born: Records of tasks made here, and when (the loop's time).
    """

    def __init__(
        self, store: TaskStore, lease: float, lost: Callable[[Here, TaskKey, LabError], None], *, alone: bool
    ) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        self.heartbeat = Heartbeat(store, self.name, lease, lambda key, error: lost(self, key, error), alone=alone)
        self.waiting: dict[TaskKey, str] = {}
        self.prepared: dict[TaskKey, Prepared] = {}
        self.born: dict[TaskKey, tuple[float, TaskRecord]] = {}
        self.starting: set[TaskKey] = set()
        self.running: dict[TaskKey, Run] = {}
        self.turns: dict[str, asyncio.Semaphore] = {}
        self.birth_lease: tuple[float, Lease] | None = None
        self.background: list[asyncio.Task[None]] = []

    def forget(self, key: TaskKey) -> None:
        """What was kept of a task's birth, which has started or never will."""
        self.waiting.pop(key, None)
        self.prepared.pop(key, None)
        self.born.pop(key, None)
