"""How a step calls a tool or reads a resource: as a request of its own through the whole of the server, for the caller
of the request that leads the workflow. So every middleware, every check and every interceptor has its say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from mcp.server.context import CallNext
from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPError
from mcp.shared.jsonrpc_dispatcher import progress_token_from_params
from mcp_types import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    SERVER_INFO_META_KEY,
    ClientCapabilities,
    ProgressNotification,
    ProgressNotificationParams,
    ProgressToken,
)
from pydantic import BaseModel

from pmcp_lab.protocol.meta import RELATED_TASK, TASKS_EXTENSION, fraction
from pmcp_lab.protocol.workflow_wire import STEP, TASK_ID
from pmcp_lab.server import Support, Tasks
from pmcp_lab.server.request import Request, is_legacy
from pmcp_lab.tasks import NO_RESULT, Job, TaskRecord
from pmcp_lab.workflow.plan import failed

_OURS: Final = frozenset({TASK_ID, STEP, "progressToken"})

FINAL: Final = frozenset({INVALID_PARAMS, METHOD_NOT_FOUND})
"""Codes of errors that are the same each time."""


class StepSession:
    """The session of the request, as a step sees it: its progress is a part of the workflow's, and its tool runs
    without a task of its own.

    The tool of a call that the server makes can ask on a connection that carries questions (2025-11-25), and nowhere
    else: what asks in its result is answered by the same call made again (2026-07-28), for which there is no client.

    Args:
        token: What the request's progress is told under, if it is.
        detached: The request is answered: nobody listens to its progress.

    Attributes:
        task_id: The workflow's task, which its progress names: a client learns of it long before the answer comes.
        by_client: The client makes the call, and can make it again.
    """

    def __init__(self, session: ServerSession, *, token: ProgressToken | None = None, detached: bool = False) -> None:
        self._session = session
        self._token = token
        self._detached = detached
        self._last = -1.0
        self.task_id = ""
        self.by_client = False
        self.support: Support = "optional"
        self.done = 0
        self.total = 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    @property
    def client_capabilities(self) -> ClientCapabilities | None:
        found = self._session.client_capabilities
        others = {} if found is None else dict(found.extensions or {})
        others.pop(TASKS_EXTENSION, None)
        if self.support == "required":
            others[TASKS_EXTENSION] = {}
        changes: dict[str, Any] = {"extensions": others}
        if not (self.by_client or self._session.can_send_request):
            changes |= {"elicitation": None, "sampling": None}
        return (found or ClientCapabilities()).model_copy(update=changes)

    async def report_progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        part = fraction(progress, total)
        if part is not None:
            await self.report(self.done + part, message)

    async def report(self, done: float, message: str | None = None) -> None:
        """Tell how many steps are done. What is no progress is not told (MCP "Progress": it MUST increase)."""
        if done > self._last and not self._detached:
            self._last = done
            if self._token is None:
                # Nobody listens, or somebody in this process, who is told without one.
                await self._session.report_progress(done, self.total, message)
                return
            about = ProgressNotificationParams(
                progress_token=self._token,
                progress=done,
                total=self.total,
                message=message,
                _meta={RELATED_TASK: {"taskId": self.task_id}},
            )
            await self._session.send_notification(ProgressNotification(params=about), self._token)

    async def send_notification(self, notification: Any, related_request_id: Any = None) -> None:
        await self._session.send_notification(notification, None if self._detached else related_request_id)


class Caller:
    """Does what steps do, for one request.

    Args:
        ctx: The request.
        chain: What comes after the workflows on the server: everything.
    """

    def __init__(self, ctx: Request, chain: CallNext, tasks: Tasks, *, detached: bool = False) -> None:
        token = progress_token_from_params(ctx.params)
        self.session = StepSession(ctx.session, token=token, detached=detached)
        self._ctx = replace(
            ctx,
            session=self.session,  # type: ignore[arg-type]
            meta=None if ctx.meta is None else _without(ctx.meta, {*_OURS, "progress_token"}),
        )
        self._meta = _without((ctx.params or {}).get("_meta") or {}, _OURS)
        self._chain = chain
        self._tasks = tasks

    async def create(self, *, job: Job, **fields: Any) -> TaskRecord:
        """The task of a workflow that the request begins. Raises as `TaskStore.create`."""
        return await self._tasks.create(self._ctx, job=job, **fields)

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The tool's `CallToolResult`, of a call that became a task too; what refused the call is a failure.

        Raises:
            MCPError: The call can't be repeated: it is refused each time.
        """
        self.session.support = self._tasks.support_of(tool)
        params: dict[str, Any] = {"name": tool, "arguments": dict(arguments)}
        if self.session.support == "required" and is_legacy(self._ctx):
            params["task"] = {}
        try:
            raw = await self._send("tools/call", params)
        except MCPError as error:
            if error.code in FINAL:
                raise
            return failed(error.message)
        if raw.get("resultType") == "input_required":
            raise MCPError(
                INVALID_PARAMS, f"tool {tool!r} asks its caller something: it has to be called by the client"
            )
        task = raw.get("task") if isinstance(raw.get("task"), Mapping) else raw
        if isinstance(task, Mapping) and "taskId" in task:
            raw = await self._result_of(str(task["taskId"]))
        return stored(raw)

    async def read(self, uri: str) -> list[dict[str, Any]]:
        """The contents of a resource.

        Raises:
            MCPError: It can't be read.
        """
        raw = await self._send("resources/read", {"uri": uri})
        contents = raw.get("contents")
        return [dict(each) for each in contents] if isinstance(contents, list) else []

    async def _send(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        meta = {"_meta": self._meta} if self._meta else {}
        return wire(await self._chain(replace(self._ctx, method=method, params={**params, **meta})))

    async def _result_of(self, task_id: str) -> dict[str, Any]:
        record = None
        async with self._tasks.store.watch(self._tasks.owner_of(self._ctx, task_id), task_id) as feed:
            async for current in feed:
                record = current
        if record is not None and isinstance(record.result, dict):
            return record.result
        if record is not None and record.result is not NO_RESULT:
            return failed("its task has no result")
        return failed("its task was not run" if record is None else record.message or f"its task was {record.status}")


def wire(result: Any) -> dict[str, Any]:
    """What a handler returned, as JSON."""
    # First what it nearly always is.
    if isinstance(result, dict):
        return result
    if isinstance(result, BaseModel):
        return result.model_dump(by_alias=True, mode="json", exclude_none=True)
    return dict(result or {})


def stored(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A `CallToolResult` as it is kept: without what belongs to its answer alone."""
    kept = {key: value for key, value in raw.items() if key not in ("resultType", "_meta")}
    meta = _without(raw.get("_meta") or {}, {SERVER_INFO_META_KEY})
    return {"content": [], "isError": False, **kept} | ({"_meta": meta} if meta else {})


def _without(meta: Mapping[str, Any], names: Any) -> Any:
    return {name: value for name, value in meta.items() if name not in names}
