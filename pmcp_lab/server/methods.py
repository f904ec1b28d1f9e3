"""The `tasks/*` methods of both generations."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from mcp.server.extension import MethodBinding
from mcp.server.mcpserver import require_client_extension
from mcp.shared.exceptions import MCPError
from mcp_types import (
    GetTaskPayloadRequestParams,
    GetTaskRequestParams,
    PaginatedRequestParams,
    RequestParams,
)
from pydantic import BaseModel

from pmcp_lab.errors import INTERNAL_ERROR, INVALID_PARAMS, InvalidTransition, LabError, LimitExceeded, StoreError
from pmcp_lab.execution import Executor, TaskKey
from pmcp_lab.protocol import legacy, modern
from pmcp_lab.protocol.meta import SET_VARIABLES, TASKS_EXTENSION
from pmcp_lab.server.callers import Callers
from pmcp_lab.server.compat import CancelParams, finished_by_client, nested
from pmcp_lab.server.delivery import Questions, Reports
from pmcp_lab.server.request import Request, check_task_name, is_modern
from pmcp_lab.tasks import TaskRecord, TaskStore

logger = logging.getLogger(__name__)

P = TypeVar("P", bound=BaseModel)
Body = dict[str, Any]
Handler = Callable[[Any, Request, P], Awaitable[Body]]

LEGACY = frozenset({legacy.VERSION})
MODERN = frozenset({modern.VERSION})


ClientWrites = Callable[[TaskRecord, Mapping[str, Any]], bool]
"""Whether the client may write these variables whoever wrote them before; raises `VariableError` when it may not."""


class UpdateParams(RequestParams):
    """`tasks/update` (2026-07-28 tasks extension)."""

    task_id: str
    input_responses: dict[str, Any]


class SetVariablesParams(RequestParams):
    """`run.pmcp/tasks/set_variables`; null deletes a variable."""

    task_id: str
    variables: dict[str, Any]


def speaks_jsonrpc(handler: Handler[P]) -> Handler[P]:
    """Turn this package's errors into JSON-RPC errors with the code each carries, and any other into -32603.

    The SDK would send the text of an exception it does not know.
    """

    @wraps(handler)
    async def answer(self: Any, ctx: Request, params: P) -> Body:
        try:
            return await handler(self, ctx, params)
        except LabError as error:
            raise as_mcp_error(error) from error
        except MCPError:
            raise
        except Exception as error:
            logger.exception("%s failed", ctx.method)
            raise MCPError(INTERNAL_ERROR, f"the server failed to answer {ctx.method}; its log says why") from error

    return answer


def as_mcp_error(error: LabError, *, logged: bool = False) -> MCPError:
    """What a caller is told; what only the server's people may know is logged, unless it was."""
    if isinstance(error, StoreError):
        # It names files and hosts, which are no business of a client's.
        if not logged:
            logger.error("the task store can't be used: %s", error)
        return MCPError(error.code, "the server can't use its task store at the moment; try again later")
    return MCPError(error.code, error.message, error.data)


class TaskMethods:
    """Handlers that read and write the store; each answers in the caller's generation.

    Args:
        pmcp_compat: Answer 2025-11-25 clients in the shapes of PMCP's own client too.
    """

    def __init__(
        self,
        store: TaskStore,
        executor: Executor,
        callers: Callers,
        client_writes: ClientWrites,
        *,
        pmcp_compat: bool = False,
    ) -> None:
        self._store = store
        self._executor = executor
        self._callers = callers
        self._client_writes = client_writes
        self._pmcp_compat = pmcp_compat
        self._questions = Questions(store)
        self.reports = Reports(self._questions, pmcp_compat=pmcp_compat)

    def bindings(self) -> list[MethodBinding]:
        both = LEGACY | MODERN
        return [
            MethodBinding(legacy.GET, GetTaskRequestParams, self.get, both),
            MethodBinding(legacy.CANCEL, CancelParams, self.cancel, both),
            MethodBinding(legacy.RESULT, GetTaskPayloadRequestParams, self.result, LEGACY),
            MethodBinding(legacy.LIST, PaginatedRequestParams, self.list, LEGACY),
            MethodBinding(modern.UPDATE, UpdateParams, self.update, MODERN),
            MethodBinding(SET_VARIABLES, SetVariablesParams, self.set_variables, both),
        ]

    @speaks_jsonrpc
    async def get(self, ctx: Request, params: GetTaskRequestParams) -> Body:
        _admit(ctx, params.task_id)
        record = await self._store.get(*self._key(ctx, params.task_id))
        self.reports.fetched(ctx.session, record)
        return self._encode(ctx, record)

    @speaks_jsonrpc
    async def result(self, ctx: Request, params: GetTaskPayloadRequestParams) -> Body:
        record = await self._questions.carry_until_done(ctx, *self._key(ctx, params.task_id))
        self.reports.fetched(ctx.session, record)
        return _outcome(record)

    @speaks_jsonrpc
    async def list(self, ctx: Request, params: PaginatedRequestParams) -> Body:
        page = await self._callers.page(ctx, params.cursor)
        body: Body = {"tasks": [legacy.encode_task(record.state()) for record in page.records]}
        return body | ({"nextCursor": page.next_cursor} if page.next_cursor else {})

    @speaks_jsonrpc
    async def cancel(self, ctx: Request, params: CancelParams) -> Body:
        _admit(ctx, params.task_id)
        key = self._key(ctx, params.task_id)
        try:
            record = await self._end(key, params)
        except InvalidTransition:
            if is_modern(ctx):
                return {}
            raise
        await self._executor.cancel(key)
        return {} if is_modern(ctx) else self._encode(ctx, record)

    async def _end(self, key: TaskKey, params: CancelParams) -> TaskRecord:
        if params.result is None:
            return await self._store.cancel(*key)
        result = finished_by_client(await self._store.get(*key), params.result)
        try:
            return await self._store.complete(*key, result, message="its client has finished it")
        except LimitExceeded as error:
            # A result of the server's own that is too big is its fault; this one is the client's.
            raise LabError(error.message, code=INVALID_PARAMS) from error

    @speaks_jsonrpc
    async def update(self, ctx: Request, params: UpdateParams) -> Body:
        _admit(ctx, params.task_id)
        await self._store.answer(*self._key(ctx, params.task_id), params.input_responses)
        return {}

    @speaks_jsonrpc
    async def set_variables(self, ctx: Request, params: SetVariablesParams) -> Body:
        _admit(ctx, params.task_id)
        key, variables = self._key(ctx, params.task_id), params.variables
        free = self._client_writes(await self._store.get(*key), variables)
        return self._encode(ctx, await self._store.set_variables(*key, variables, by_client=not free))

    def _key(self, ctx: Request, task_id: str) -> TaskKey:
        return self._callers.owner_of(ctx, task_id), task_id

    def _encode(self, ctx: Request, record: TaskRecord) -> Body:
        if is_modern(ctx):
            return modern.encode_got(record.state())
        task = legacy.encode_task(record.state())
        return nested(task) if self._pmcp_compat else task


def _admit(ctx: Request, task_id: str) -> None:
    if is_modern(ctx):
        require_client_extension(ctx, TASKS_EXTENSION)
        check_task_name(ctx, task_id)


def _outcome(record: TaskRecord) -> Body:
    """What `tasks/result` answers: what the call itself would have."""
    state = record.state()
    if state.error is not None:
        error = state.error
        raise MCPError(int(error.get("code", LabError.code)), str(error.get("message", "")), error.get("data"))
    if record.live or state.result is None:
        raise MCPError(INVALID_PARAMS, f"task {state.task_id} was {state.status}: it has no result")
    return legacy.encode_result(state.task_id, state.result)
