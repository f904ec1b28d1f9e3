"""Work that something outside starts: a queue and its consumer, a serverless function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pmcp_lab.errors import INVALID_PARAMS, LabError
from pmcp_lab.execution.executor import Runner, TaskKey
from pmcp_lab.tasks import Owner

Message = dict[str, Any]
"""A task's key as JSON: `{"owner": [...], "taskId": "..."}`."""


class QueueExecutor:
    """Publishes each task's key and leaves the rest to the consumer, which calls `Tasks.run_task(message)`.

    Delivery at least once is enough: of several consumers one runs the task, and what is over is not run again.

    Args:
        publish: Takes the message, a small JSON object, and returns when the queue has it. What it raises
            fails the task.
    """

    def __init__(self, publish: Callable[[Message], Awaitable[None]]) -> None:
        self._publish = publish
        self._closed = False

    def bind(self, run: Runner) -> None:
        """Nothing runs here."""

    async def submit(self, key: TaskKey) -> None:
        if self._closed:
            raise LabError("the server is shutting down and takes no more tasks")
        await self._publish(message_of(key))

    async def cancel(self, key: TaskKey) -> None:
        """The consumer that runs it learns from the store."""

    async def close(self, timeout: float = 5.0) -> None:  # noqa: ARG002
        self._closed = True


def message_of(key: TaskKey) -> Message:
    """The key as JSON."""
    owner, task_id = key
    return {"owner": list(owner), "taskId": task_id}


def key_of(message: str | Mapping[str, Any], owner: Owner) -> TaskKey:
    """The key in a message, or of a task id.

    Args:
        owner: Of a task id.

    Raises:
        LabError: It is not a message.
    """
    if isinstance(message, str):
        return owner, message
    parts, task_id = message.get("owner"), message.get("taskId")
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts) or not isinstance(task_id, str):
        raise LabError('a task\'s message is {"owner": [...], "taskId": "..."}', code=INVALID_PARAMS)
    return tuple(parts), task_id
