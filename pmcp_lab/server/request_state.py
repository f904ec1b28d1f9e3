"""The `requestState` of a call that asks (MCP 2026-07-28, multi round-trip requests): it names the task behind it.

It is sealed with the secret of the store, so that every process on the store can read it, also after a restart, and
nobody else can read it or make one. What `MCPServer` seals states with is by default known to one process alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Final

from mcp.server.context import CallNext, HandlerResult
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import MCPServer
from mcp.server.request_state import AESGCMRequestStateCodec, InvalidRequestState, RequestStateBoundary
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolRequestParams
from mcp_types.methods import is_input_required

from pmcp_lab.server.request import Request
from pmcp_lab.tasks import TaskStore
from pmcp_lab.tasks.secret import store_secret

_OURS: Final = "pmcp-lab."
"""What our states begin with. Those of tools that ask in their result are none of our business."""

_LONGEST: Final = 1_024
"""Characters."""


class _Carried:
    """States on their way past what `MCPServer` does to them."""

    def __init__(self, state: str | None) -> None:
        self.state = state
        self.issued: str | None = None


_CARRIED: ContextVar[_Carried | None] = ContextVar("pmcp_lab_carried", default=None)


def invalid_state() -> MCPError:
    """For a state that is unknown, another caller's, another call's, or whose task has expired: nobody learns which."""
    return MCPError(
        INVALID_PARAMS,
        "this requestState is unknown or has expired; call the tool again without it",
        {"reason": "invalid_request_state"},
    )


class RequestStates:
    """Makes and reads the states of one store's calls."""

    def __init__(self, store: TaskStore) -> None:
        self._store = store
        self._codec: AESGCMRequestStateCodec | None = None

    async def seal(self, task_id: str) -> str:
        """The state that names this task.

        Raises:
            StoreError: The store's secret can't be read.
        """
        return _OURS + (await self._sealed()).seal(task_id.encode())

    async def open(self, state: str) -> str:
        """The id of the task that a state names.

        Raises:
            MCPError: `seal` has not made it (-32602).
            StoreError: The store's secret can't be read.
        """
        if len(state) > _LONGEST:
            raise invalid_state()
        try:
            return (await self._sealed()).unseal(state.removeprefix(_OURS)).decode()
        except (InvalidRequestState, UnicodeError):
            raise invalid_state() from None

    async def _sealed(self) -> AESGCMRequestStateCodec:
        if self._codec is None:
            self._codec = AESGCMRequestStateCodec([await store_secret(self._store)])
        return self._codec


# --- past the SDK's own seal ---


def carry_on(server: MCPServer[Any] | Server[Any]) -> None:
    """Have our states reach this server as they are, whichever process has made them. May be called again."""
    for place, present in enumerate(server.middleware):
        if present is _carry:
            return
        if isinstance(present, RequestStateBoundary):
            server.middleware.insert(place, _carry)
            return


def server_over_http(ctx: Request) -> Server[Any] | None:
    """The server that a request came to, where it came through an app of the SDK's."""
    endpoint = getattr(ctx.request, "scope", {}).get("endpoint")
    server = getattr(getattr(endpoint, "session_manager", None), "app", None)
    return server if isinstance(server, Server) else None


async def _carry(ctx: Request, call_next: CallNext) -> HandlerResult:
    if ctx.method != "tools/call":
        return await call_next(ctx)
    state = (ctx.params or {}).get("requestState")
    ours = isinstance(state, str) and state.startswith(_OURS)
    if ours:
        ctx = replace(ctx, params={name: given for name, given in (ctx.params or {}).items() if name != "requestState"})
    with _carrying(_Carried(state if ours else None)) as carried:
        result = await call_next(ctx)
    if carried.issued is None or not is_input_required(result):
        return result
    if isinstance(result, Mapping):
        return {**result, "requestState": carried.issued}
    return result.model_copy(update={"request_state": carried.issued})


@contextmanager
def _carrying(carried: _Carried) -> Iterator[_Carried]:
    token = _CARRIED.set(carried)
    try:
        yield carried
    finally:
        _CARRIED.reset(token)


def state_of(params: CallToolRequestParams) -> str | None:
    """The state that the request being served brings, if it is one of ours."""
    carried = _CARRIED.get()
    state = params.request_state if carried is None or carried.state is None else carried.state
    return state if state is not None and state.startswith(_OURS) else None


def issued(state: str) -> dict[str, str]:
    """The state as a part of the result that asks; on its own way, where there is one."""
    carried = _CARRIED.get()
    if carried is None:
        return {"requestState": state}
    carried.issued = state
    return {}
