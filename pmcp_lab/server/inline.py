"""The context of a tool that runs without a task: the caller waits for its result."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar

from mcp.server.context import ServerRequestContext
from mcp.server.elicitation import AcceptedElicitation, elicit_with_validation
from mcp.shared.exceptions import NoBackChannelError
from pydantic import BaseModel

from pmcp_lab.errors import LabError
from pmcp_lab.tasks import Answer, Limits, TaskContext, Variables
from pmcp_lab.tasks.variables import merge

M = TypeVar("M", bound=BaseModel)

_LIMITS = Limits()


class InlineContext(TaskContext):
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

    async def elicit(self, message: str, schema: type[M]) -> Answer[M]:
        if self._request is None:
            raise LabError("nobody can be asked: the tool was not called by a client")
        capabilities = self._request.session.client_capabilities
        if capabilities is None or capabilities.elicitation is None:
            raise LabError("the client can't be asked: it did not declare elicitation")
        try:
            answer = await elicit_with_validation(
                self._request.session, message, schema, related_request_id=self._request.request_id
            )
        except NoBackChannelError:
            raise LabError(
                "this connection can't carry a question in the middle of a call; call the tool as a task"
            ) from None
        except ValueError as error:
            raise LabError(str(error)) from error
        if isinstance(answer, AcceptedElicitation):
            return Answer("accept", answer.data)
        return Answer(answer.action)

    async def complete(self, result: Any) -> None:  # noqa: ARG002
        raise LabError("there is no task to complete: return the result instead")

    async def fail(self, message: str) -> None:
        raise LabError(message)
