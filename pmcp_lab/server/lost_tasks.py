"""What is done about a task whose run is lost: by its tool's policy it is run again, or has failed.

Finding them is `execution.recovery`'s; when that is looked for, `upkeep`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from mcp_types import INTERNAL_ERROR
from msgspec.structs import replace

from pmcp_lab.errors import LeaseLost
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.server.log_records import log_extra
from pmcp_lab.server.loop_state import LoopState, Tool
from pmcp_lab.tasks import WAITING, Lease, Leases, TaskRecord
from pmcp_lab.tasks.leases import leased
from pmcp_lab.tasks.record import attempt_of

logger = logging.getLogger(__name__)

_OFFERED = 2
"""Leases that a task which was submitted once more waits for somebody who runs it, until it is submitted again."""


class LostTasks:
    """Has lost tasks run again, or fails them.

    Args:
        loop_state: The running event loop's.
        submit: Has a task run; raises `LabError` when it can't be.
        count: Counts one more task of a tool, under a name in `Counts`.
        lease: Seconds a task is believed to be run without a word from its process.
        attempts: How often a process may end while it runs a task of a tool with `on_lost="retry"`.
        in_process: What is submitted runs in this process.
    """

    def __init__(
        self,
        leases: Leases,
        *,
        loop_state: Callable[[], LoopState],
        submit: Callable[[TaskRecord], Awaitable[None]],
        count: Callable[[Tool, str], None],
        lease: float,
        attempts: int,
        in_process: bool,
    ) -> None:
        self._leases = leases
        self._loop_state = loop_state
        self._submit = submit
        self._count = count
        self._lease = lease
        self._attempts = attempts
        self._in_process = in_process

    async def recover(self, lost: TaskRecord, tool: Tool, *, run_here: bool = False) -> bool:
        """Have a lost task run again, or fail it; whether it is run again.

        All of it is one write: nobody can find the task taken, and what was lost not counted.

        Args:
            lost: As it was while its lease stayed the same for as long as it was to be believed.
            run_here: Hold it for this process, which is about to run it, and submit it to nobody.

        Raises:
            LeaseLost, InvalidTransition, TaskNotFound: Nothing is to be done: it lives, is over, or others did it.
            LabError: It can't be submitted; it stays lost, and is found again.
        """
        state, lease, key = self._loop_state(), lost.lease, (lost.owner, lost.task_id)
        assert lease is not None
        if state.heartbeat.holds(key):
            # Not lost but late: this process slept, or the storage was away.
            raise LeaseLost(lost.task_id, "another run", state.name)
        ran = not lease.free and lease.phase != "queued"
        attempt = attempt_of(lost) + (ran and lease.phase == "running")
        if ran and (tool.policy.on_lost == "fail" or attempt > self._attempts):
            await self._fail(lost, tool, lease)
            return False
        stays = self._in_process or run_here
        name, seconds = (state.new_run(), self._lease) if stays else (WAITING, self._lease * _OFFERED)

        def again(record: TaskRecord) -> TaskRecord:
            taken = leased(record, name, seconds, "queued")
            if record.job is None or attempt == attempt_of(record):
                return taken
            return replace(
                taken,
                message=f"attempt {attempt} of {self._attempts}: its process ended while it ran",
                progress=None,
                job=replace(record.job, context={**record.job.context, "attempt": attempt}),
                # Its questions stay: an answer that comes now is there when the same is asked again.
                variables={**record.variables, "attempt": attempt},
            )

        record = await self._leases.change_lost(lost, again, silent=attempt == attempt_of(lost))
        if (before := state.running.get(key)) is not None:
            before.lose()
        if ran:
            self._count(tool, "retried")
            logger.warning("task %s is run again, attempt %d", lost.task_id, attempt, extra=log_extra(lost))
        if not run_here:
            await self._submit(record)
        elif record.lease is not None:
            state.held[key] = record.lease
            state.heartbeat.hold(key, name)
        return True

    async def _fail(self, lost: TaskRecord, tool: Tool, lease: Lease) -> None:
        message = "its process ended while it " + ("waited for an answer" if lease.phase == "asking" else "ran")
        if tool.policy.on_lost == "retry" and self._attempts > 1:
            times = "twice" if self._attempts == 2 else f"{self._attempts} times"
            message = f"its process ended {times} in a row while it ran"

        def failed(record: TaskRecord) -> TaskRecord:
            error = {"code": INTERNAL_ERROR, "message": message}
            return replace(record, status=TaskStatus.FAILED, message=message, error=error)

        await self._leases.change_lost(lost, failed)
        self._count(tool, "failed")
        logger.warning("task %s failed: %s", lost.task_id, message, extra=log_extra(lost))
