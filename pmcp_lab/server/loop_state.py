"""What one event loop of this process has to do with tasks. State alone; `runner` and `upkeep` work on it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from itertools import count
from uuid import uuid4

from pmcp_lab.errors import LabError
from pmcp_lab.execution import Heartbeat, TaskKey
from pmcp_lab.server.tool import Prepared, TaskTool
from pmcp_lab.server.wrapped_tool import WrappedTool
from pmcp_lab.tasks import Lease, TaskRecord, TaskStore
from pmcp_lab.tasks.record import Phase, new_version
from pmcp_lab.tasks.stored_context import StoredContext

Tool = TaskTool | WrappedTool


class Run:
    """One call of a task's tool.

    Attributes:
        name: What its lease is held under.
        taken: Another runner has it: nothing may be written any more.
        enforcing: The timer that ends what was asked to stop.
        enforced: That timer has fired.
        watching: What tells of changes by other processes, or the timer that will start it.
        context: What its tool sees, once it is called.
        has_turn: It is past its tool's `concurrency`.
    """

    def __init__(self, record: TaskRecord, tool: Tool, name: str, cancelled: asyncio.Event) -> None:
        self.record = record
        self.name = name
        self.tool = tool
        self.cancelled = cancelled
        self.task = asyncio.current_task()
        self.taken = False
        self.enforcing: asyncio.TimerHandle | None = None
        self.enforced = False
        self.watching: asyncio.TimerHandle | asyncio.Task[None] | None = None
        self.has_turn = False
        self.context: StoredContext | None = None

    def stop(self, grace: float) -> None:
        """Ask the work to stop, and end it after `grace` seconds, unless somebody did before."""
        if self.cancelled.is_set():
            return
        self.cancelled.set()
        self.enforcing = asyncio.get_running_loop().call_later(grace, self._enforce)

    def lose(self) -> None:
        """End the work: another run has its task."""
        if self.taken:
            return
        self.taken = True
        self.cancelled.set()
        if self.enforcing is not None:
            self.enforcing.cancel()
        self.enforcing = asyncio.get_running_loop().call_later(0, self._enforce)

    def over(self) -> None:
        """Nothing is left to be stopped."""
        for pending in (self.enforcing, self.watching):
            if pending is not None:
                pending.cancel()

    def _enforce(self) -> None:
        if self.task is not None:
            self.enforced = True
            self.task.cancel()


def process_name() -> str:
    """Unique among everything that ever runs tasks."""
    return f"{socket.gethostname().replace('#', '-')}-{os.getpid()}-{uuid4().hex[:8]}"


class LoopState:
    """What is kept per event loop.

    Attributes:
        name: Of this process, in leases: unique among everything that ever runs tasks.
        waiting: Tools of the tasks that were submitted and have not started.
        held: The leases they have; the first that runs one takes it.
        starting: Tasks that are being claimed.
        running: Those that are claimed.
        prepared: Their calls, as the request left them; a task of another process has none.
        born: Records of tasks made here, and when (the loop's time).
    """

    def __init__(
        self, store: TaskStore, lease: float, lost: Callable[[LoopState, TaskKey, str, LabError], None], *, alone: bool
    ) -> None:
        self.name = process_name()
        self._runs = count(1)
        self.heartbeat = Heartbeat(store, lease, lambda key, run, error: lost(self, key, run, error), alone=alone)
        self.waiting: dict[TaskKey, str] = {}
        self.held: dict[TaskKey, Lease] = {}
        self.prepared: dict[TaskKey, Prepared] = {}
        self.born: dict[TaskKey, tuple[float, TaskRecord]] = {}
        self.starting: set[TaskKey] = set()
        self.running: dict[TaskKey, Run] = {}
        self.turns: dict[str, asyncio.Semaphore] = {}
        self._births = f"{self.name}#0"
        self.background: list[asyncio.Task[None]] = []

    def new_run(self) -> str:
        """The name of a run that has not been."""
        return f"{self.name}#{next(self._runs)}"

    def birth_lease(self, seconds: float, phase: Phase) -> Lease:
        """Of a task that is made here: no other run of it can have this name."""
        return Lease(run=self._births, seconds=seconds, version=new_version(), phase=phase)

    def forget(self, key: TaskKey) -> None:
        """What was kept of a task's birth, which has started or never will."""
        self.waiting.pop(key, None)
        self.held.pop(key, None)
        self.prepared.pop(key, None)
        self.born.pop(key, None)
