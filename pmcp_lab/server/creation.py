"""Makes the task of a `tools/call`: the record first, then who runs it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import timedelta
from typing import Any, Final

import anyio
from mcp.server.context import CallNext, HandlerResult
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolRequestParams

from pmcp_lab.errors import LabError
from pmcp_lab.protocol.durations import from_milliseconds
from pmcp_lab.server import compat
from pmcp_lab.server.callers import Callers
from pmcp_lab.server.loop_state import Tool
from pmcp_lab.server.methods import as_mcp_error
from pmcp_lab.server.request import Request, is_legacy, questions_of
from pmcp_lab.server.runner import Submit, TaskRunner
from pmcp_lab.server.tool import Prepared
from pmcp_lab.server.tracing import trace_context
from pmcp_lab.tasks import Job, TaskRecord, TaskStore

_ABANDONED: Final = timedelta(days=1)
"""How long what is behind a call is kept where tasks are kept for good: nobody else could ever end it."""


class Creation:
    """Makes tasks for the callers of one server."""

    def __init__(self, store: TaskStore, callers: Callers, runner: TaskRunner) -> None:
        self._store = store
        self._callers = callers
        self._runner = runner

    async def of_request(
        self, tool: Tool, params: CallToolRequestParams, ctx: Request, call: CallNext
    ) -> TaskRecord | HandlerResult:
        """The record of a new task, or the result of a call that ended before its tool could start.

        Raises:
            MCPError: The task can't be made.
        """
        wanted = params.task.ttl if params.task is not None and is_legacy(ctx) else None
        if wanted is not None and wanted < 0:
            raise MCPError(INVALID_PARAMS, f"task.ttl can't be negative: {wanted}")
        prepared = await tool.capture(params, ctx, call)
        if not isinstance(prepared, Prepared):
            return prepared
        since = asyncio.get_running_loop().time()
        try:
            # The request is cancelled when its caller leaves; what is stored has to be run all the same.
            with nullcontext() if self._runner.at_once else anyio.CancelScope(shield=True):
                record = await self._callers.create(
                    ctx,
                    ttl=self._granted(tool.policy.ttl_ms if wanted is None else wanted),
                    poll_interval=tool.policy.poll_interval,
                    job=_job(tool, params, ctx),
                    lease=self._runner.birth_lease(tool),
                )
                await self._submit(record, prepared, since)
        except LabError as error:
            raise as_mcp_error(error) from error
        return record

    async def behind_call(
        self,
        tool: Tool,
        params: CallToolRequestParams,
        ctx: Request,
        prepared: Prepared,
        *,
        variables: Mapping[str, Any],
        here: Submit,
    ) -> TaskRecord:
        """The record of a task for a call whose tool is at work; its caller is told of none.

        Args:
            here: Has it run in this process.

        Raises:
            MCPError: The caller is refused.
            LabError: As `Callers.create`; or it can't be run.
        """
        ttl = self._granted(tool.policy.ttl_ms)
        since = asyncio.get_running_loop().time()
        record = await self._callers.create(
            ctx,
            behind_call=True,
            ttl=_ABANDONED if ttl is None and self._store.limits.default_ttl is None else ttl,
            job=_job(tool, params, ctx),
            lease=self._runner.birth_lease(tool, begun=True),
            variables=variables,
        )
        await self._submit(record, prepared, since, here)
        return record

    async def _submit(self, record: TaskRecord, prepared: Prepared, since: float, here: Submit | None = None) -> None:
        try:
            await self._runner.submit(record, prepared, since=since, here=here)
        except LabError as error:
            await self._store.fail(record.owner, record.task_id, {"code": error.code, "message": error.message})
            raise

    def _granted(self, wanted: int | None) -> timedelta | None:
        """A wish (ms) above the maximum gets the maximum: both specifications let the server decide."""
        if wanted is None:
            return None
        longest = self._store.limits.max_ttl_ms
        return from_milliseconds(wanted if longest is None else min(wanted, longest))


def _job(tool: Tool, params: CallToolRequestParams, ctx: Request) -> Job:
    context: dict[str, Any] = {"protocol": ctx.protocol_version, "asks": questions_of(ctx), **trace_context()}
    if tool.policy.client_result:
        context[compat.CLIENT_RESULT] = True
    return Job(tool=tool.name, arguments=params.arguments or {}, context=context)
