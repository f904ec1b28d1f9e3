"""The session a tool finds in the SDK's own `Context` while its task runs, when its request is long over.

Progress becomes the task's, questions go through its record; everything else goes where it went before. In a call that
is no task only questions are taken from the request's session, until one is asked and a task is behind the call.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import isfunction
from types import MethodType
from typing import Any, TypeVar

from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPError, NoBackChannelError
from pydantic import BaseModel

from pmcp_lab.errors import LabError, StoreError, TaskCancelled
from pmcp_lab.protocol.meta import fraction
from pmcp_lab.server.request import Request
from pmcp_lab.tasks import Job, TaskContext

logger = logging.getLogger(__name__)

R = TypeVar("R", bound=BaseModel)


class TaskSession:
    """Stands in for a `ServerSession`; the request's own until `task` is set.

    Args:
        session: The request's; None in a process that did not take the request.
        asking: Carries the questions of a call that is no task.
    """

    def __init__(self, session: ServerSession | None, asking: TaskContext | None = None) -> None:
        self._session = session
        self._asking = asking
        self.task: TaskContext | None = None

    def become(self, task: TaskContext) -> None:
        """From now on what is said belongs to this task."""
        self.task = task

    def __getattr__(self, name: str) -> Any:
        # Methods of the class call each other (`elicit_form` calls `send_request`): let them find the ones below.
        found = getattr(ServerSession, name, None)
        if isfunction(found):
            return MethodType(found, self)
        if self._session is None:
            if name == "client_capabilities":
                return None
            raise AttributeError(f"{name} is only there in the process that took the request")
        return getattr(self._session, name)

    async def send_request(self, request: Any, result_type: type[R], *args: Any, **options: Any) -> R:
        asking = self.task or self._asking
        if asking is None or request.method not in ("elicitation/create", "sampling/createMessage"):
            if self.task is None and self._session is not None:
                return await self._session.send_request(request, result_type, *args, **options)
            raise NoBackChannelError(request.method)
        body = request.model_dump(by_alias=True, mode="json", exclude_none=True)
        with _in_words_of_the_sdk():
            response = await asking.ask({"method": body["method"], "params": body.get("params") or {}})
        return result_type.model_validate(response, by_name=False)

    async def send_notification(self, notification: Any, related_request_id: Any = None) -> None:
        if self._session is not None:
            # Nobody listens on the stream of a request that is answered.
            related = related_request_id if self.task is None else None
            await self._session.send_notification(notification, related)

    async def send_log_message(self, *args: Any, **options: Any) -> None:
        if self._session is not None:
            await self._session.send_log_message(*args, **options)

    async def report_progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        if self.task is not None:
            with _in_words_of_the_sdk():
                await self.task.update(progress=fraction(progress, total), message=message)
        elif self._session is not None:
            await self._session.report_progress(progress, total, message)


@contextmanager
def _in_words_of_the_sdk() -> Iterator[None]:
    """Errors that the SDK lets through, where it would take this package's for a crash of the tool."""
    try:
        yield
    except TaskCancelled as error:
        raise MCPError(error.code, error.message) from error
    except StoreError as error:
        # It names files and hosts, which are no business of a client's.
        logger.error("a tool can't use the task store: %s", error)
        raise ToolError("the server can't use its task store") from error
    except LabError as error:
        raise ToolError(error.message) from error


def later_request(job: Job, session: TaskSession) -> Request:
    """A stand-in for the request that made the task, in a process that did not take it."""
    return Request(
        session=session,  # type: ignore[arg-type]
        lifespan_context={},
        protocol_version=str(job.context.get("protocol", "")),
        method="tools/call",
        params={"name": job.tool, "arguments": dict(job.arguments)},
    )
