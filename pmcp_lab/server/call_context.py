"""The context of a tool that runs without a task: the caller waits for its result."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import NoBackChannelError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import CreateMessageResult, ElicitResult, server_request_adapter
from pydantic import ValidationError

from pmcp_lab.errors import LabError
from pmcp_lab.tasks import Limits, TaskContext, Variables
from pmcp_lab.tasks.questions import answerable, check_askable
from pmcp_lab.tasks.variables import merge

_LIMITS = Limits()

_NO_TASK = "there is no task"


class CallContext(TaskContext):
    """Updates become progress notifications when the caller asked for those; variables live as long as the call.

    Args:
        request: The request being served; None when the tool was called from Python.
    """

    task_id = None

    def __init__(self, request: ServerRequestContext[Any, Any] | None) -> None:
        self.cancelled = asyncio.Event()
        self._request = request
        self._variables: dict[str, Any] = {}
        self._progress = 0.0

    @property
    def variables(self) -> Variables:
        return Variables(self._variables)

    async def refresh(self) -> Variables:
        return self.variables

    async def update(
        self,
        *,
        message: str | None = None,
        progress: float | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        if progress is not None and (isinstance(progress, bool) or not 0 <= progress <= 1):
            raise LabError(f"progress is a fraction from 0 to 1, not {progress!r}")
        if variables:
            self._variables = merge(self._variables, variables, _LIMITS)
        if self._request is None or (message is None and progress is None):
            return
        self._progress = self._progress if progress is None else float(progress)
        await self._request.session.report_progress(self._progress, 1.0, message)

    async def ask(self, request: Mapping[str, Any], *, key: str | None = None) -> Any:  # noqa: ARG002
        if self._request is None:
            raise LabError("nobody can be asked: the tool was not called by a client")
        session = self._request.session
        check_askable(request, answerable(session.client_capabilities))
        kind = CreateMessageResult if request["method"] == "sampling/createMessage" else ElicitResult
        try:
            response = await session.send_request(
                server_request_adapter.validate_python(dict(request), by_name=False),
                kind,
                metadata=ServerMessageMetadata(related_request_id=self._request.request_id),
            )
        except NoBackChannelError:
            raise LabError(
                "this connection can't carry a question in the middle of a call; call the tool as a task"
            ) from None
        except ValidationError:
            raise LabError(f"the client's answer to {request['method']} is not one") from None
        return response.model_dump(by_alias=True, mode="json", exclude_none=True)

    async def require_input(self, message: str) -> None:  # noqa: ARG002
        raise LabError(f"{_NO_TASK} that could wait: ask with `await task.elicit(...)`")

    async def resume(self) -> None:
        raise LabError(f"{_NO_TASK} that could go on")

    async def complete(self, result: Any) -> None:  # noqa: ARG002
        raise LabError(f"{_NO_TASK} to complete: return the result instead")

    async def fail(self, message: str, *, code: int = LabError.code, data: Any = None) -> None:
        raise LabError(message, code=code, data=data)
