"""The `tasks/*` methods of both generations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

from mcp.server.extension import MethodBinding
from mcp.server.mcpserver import require_client_extension
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CancelTaskRequestParams,
    GetTaskPayloadRequestParams,
    GetTaskRequestParams,
    PaginatedRequestParams,
    RequestParams,
)
from pydantic import BaseModel

from pmcp_lab.errors import InvalidTransition, LabError
from pmcp_lab.execution import Executor
from pmcp_lab.protocol import legacy, modern
from pmcp_lab.protocol.meta import SET_VARIABLES, TASKS_EXTENSION
from pmcp_lab.server.delivery import Questions
from pmcp_lab.server.request import Request, check_task_name, is_modern, owner_of
from pmcp_lab.tasks import TaskRecord, TaskStore

P = TypeVar("P", bound=BaseModel)
Body = dict[str, Any]
Handler = Callable[[Any, Request, P], Awaitable[Body]]

LEGACY = frozenset({legacy.VERSION})
MODERN = frozenset({modern.VERSION})


class UpdateParams(RequestParams):
    """`tasks/update` (2026-07-28 tasks extension)."""

    task_id: str
    input_responses: dict[str, Any]


class SetVariablesParams(RequestParams):
    """`run.pmcp/tasks/set_variables`; null deletes a variable."""

    task_id: str
    variables: dict[str, Any]


def speaks_jsonrpc(handler: Handler[P]) -> Handler[P]:
    """Turn this package's errors into JSON-RPC errors with the code each carries."""

    @wraps(handler)
    async def answer(self: Any, ctx: Request, params: P) -> Body:
        try:
            return await handler(self, ctx, params)
        except LabError as error:
            raise as_mcp_error(error) from error

    return answer


def as_mcp_error(error: LabError) -> MCPError:
    return MCPError(error.code, error.message, error.data)


class TaskMethods:
    """Handlers that read and write the store; each answers in the caller's generation."""

    def __init__(self, store: TaskStore, executor: Executor) -> None:
        self._store = store
        self._executor = executor
        self.questions = Questions(store)

    def bindings(self) -> list[MethodBinding]:
        both = LEGACY | MODERN
        return [
            MethodBinding(legacy.GET, GetTaskRequestParams, self.get, both),
            MethodBinding(legacy.CANCEL, CancelTaskRequestParams, self.cancel, both),
            MethodBinding(legacy.RESULT, GetTaskPayloadRequestParams, self.result, LEGACY),
            MethodBinding(legacy.LIST, PaginatedRequestParams, self.list, LEGACY),
            MethodBinding(modern.UPDATE, UpdateParams, self.update, MODERN),
            MethodBinding(SET_VARIABLES, SetVariablesParams, self.set_variables, both),
        ]

    @speaks_jsonrpc
    async def get(self, ctx: Request, params: GetTaskRequestParams) -> Body:
        _admit(ctx, params.task_id)
        return _encode(ctx, await self._store.get(owner_of(ctx), params.task_id))

    @speaks_jsonrpc
    async def result(self, ctx: Request, params: GetTaskPayloadRequestParams) -> Body:
        record = await self.questions.carry_until_done(ctx, owner_of(ctx), params.task_id)
        return _outcome(record)

    @speaks_jsonrpc
    async def list(self, ctx: Request, params: PaginatedRequestParams) -> Body:
        page = await self._store.list(owner_of(ctx), cursor=params.cursor)
        body: Body = {"tasks": [legacy.encode_task(record.state()) for record in page.records]}
        return body | ({"nextCursor": page.next_cursor} if page.next_cursor else {})

    @speaks_jsonrpc
    async def cancel(self, ctx: Request, params: CancelTaskRequestParams) -> Body:
        _admit(ctx, params.task_id)
        owner = owner_of(ctx)
        try:
            record = await self._store.cancel(owner, params.task_id)
        except InvalidTransition:
            if is_modern(ctx):
                return {}
            raise
        await self._executor.cancel((owner, params.task_id))
        return {} if is_modern(ctx) else legacy.encode_task(record.state())

    @speaks_jsonrpc
    async def update(self, ctx: Request, params: UpdateParams) -> Body:
        _admit(ctx, params.task_id)
        await self._store.answer(owner_of(ctx), params.task_id, params.input_responses)
        return {}

    @speaks_jsonrpc
    async def set_variables(self, ctx: Request, params: SetVariablesParams) -> Body:
        _admit(ctx, params.task_id)
        record = await self._store.set_variables(owner_of(ctx), params.task_id, params.variables, by_client=True)
        return _encode(ctx, record)


def _admit(ctx: Request, task_id: str) -> None:
    if is_modern(ctx):
        require_client_extension(ctx, TASKS_EXTENSION)
        check_task_name(ctx, task_id)


def _encode(ctx: Request, record: TaskRecord) -> Body:
    return modern.encode_got(record.state()) if is_modern(ctx) else legacy.encode_task(record.state())


def _outcome(record: TaskRecord) -> Body:
    """What `tasks/result` answers: what the call itself would have."""
    state = record.state()
    if state.error is not None:
        error = state.error
        raise MCPError(int(error.get("code", LabError.code)), str(error.get("message", "")), error.get("data"))
    if record.live or state.result is None:
        raise MCPError(-32602, f"task {state.task_id} was {state.status}: it has no result")
    return legacy.encode_result(state.task_id, state.result)
