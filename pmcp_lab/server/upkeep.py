"""What a process does for the tasks of a store beside running them: finding lost ones, deleting expired ones, and
handing back what it has not finished when it ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any

from pmcp_lab.errors import InvalidTransition, LabError, LeaseLost, TaskNotFound
from pmcp_lab.execution import Recover, Recovery, TaskKey
from pmcp_lab.server.log_records import log_extra
from pmcp_lab.server.loop_state import LoopState, Tool
from pmcp_lab.server.lost_tasks import LostTasks
from pmcp_lab.server.runner import TaskRunner
from pmcp_lab.tasks import TaskRecord, reap

logger = logging.getLogger(__name__)


class Upkeep:
    """Per event loop, from the first time anything is served until `close`.

    Args:
        tools: By name; may grow.
        close_calls: Ends the tasks behind calls; takes the seconds they are left to finish.
        drain: Seconds running tasks are left to finish when the process is asked to end.
    """

    def __init__(
        self,
        runner: TaskRunner,
        lost_tasks: LostTasks,
        tools: dict[str, Tool],
        close_calls: Callable[[float], Awaitable[None]],
        *,
        drain: float,
    ) -> None:
        self._runner = runner
        self._lost_tasks = lost_tasks
        self._tools = tools
        self._close_calls = close_calls
        self._drain = drain
        self.others: list[Recover] = []
        """Asked about lost tasks that are for no tool."""
        self._closed = False
        self._ending: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running event loop; does nothing the second time."""
        state = self._runner.loop_state
        if state.background or self._closed:
            return
        self._spawn(state, reap(self._runner.store), "reaper of tasks")
        if self._runner.durable:
            recovery = Recovery(self._runner.store, self.recover, lease=self._runner.lease)
            self._spawn(state, recovery.run(), "recovery of tasks")
            self._hear_termination()

    def _spawn(self, state: LoopState, work: Coroutine[Any, Any, None], name: str) -> None:
        # In an empty context: what is recovered must not run with the credentials of the request that came first.
        state.background.append(asyncio.get_running_loop().create_task(work, name=name, context=Context()))

    async def recover(self, record: TaskRecord) -> bool:
        """See `execution.recovery.Recover`."""
        tool = self._tools.get("" if record.job is None else record.job.tool)
        if tool is None:
            return any([await other(record) for other in self.others])
        try:
            await self._lost_tasks.recover(record, tool)
        except (InvalidTransition, LeaseLost, TaskNotFound) as error:
            logger.debug("task %s was not lost: %s", record.task_id, error, extra=log_extra(record))
        except LabError as error:
            logger.warning("task %s can't be run again yet: %s", record.task_id, error, extra=log_extra(record))
        return True

    async def close(self, timeout: float) -> None:
        """Hand back what can be run again elsewhere, let the rest finish for `timeout` seconds, then stop it."""
        self._closed = True
        state = self._runner.loop_state
        for work in state.background:
            work.cancel()
        if self._runner.durable:
            for run in tuple(state.running.values()):
                if run.tool.policy.on_lost == "retry" and run.task is not None:
                    run.task.cancel()
        await asyncio.gather(self._runner.executor.close(timeout), self._close_calls(timeout))
        await asyncio.gather(*(self._never_started(key, state) for key in tuple(state.waiting)))

    async def _never_started(self, key: TaskKey, state: LoopState) -> None:
        tool, held = self._tools.get(state.waiting.get(key, "")), state.held.get(key)
        state.forget(key)
        if tool is None or held is None:
            return
        state.heartbeat.drop(key, held.run)
        with suppress(TaskNotFound):
            record = await self._runner.store.get(*key)
            if record.live:
                await self._runner.give_up(record, tool, held.run, started=False)

    def _hear_termination(self) -> None:
        """Leave nothing half done on SIGTERM where nobody else takes care of that: a server on stdio.

        An HTTP server has handlers of its own: there `Tasks.lifespan` is what is told.
        """
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            # Windows has no such thing.
            with suppress(NotImplementedError):
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._terminate)

    def _terminate(self) -> None:
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end(), context=Context())

    async def _end(self) -> None:
        try:
            await self.close(self._drain)
        finally:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
