"""What a request says about its caller: generation, identity, declared capabilities, the task it names."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Literal, get_args

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import principal_components
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import decode_header_value
from mcp_types import HEADER_MISMATCH, INVALID_REQUEST
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from pmcp_lab.protocol import legacy
from pmcp_lab.protocol.meta import TASKS_EXTENSION
from pmcp_lab.tasks import LOCAL, Owner, resolve_owner
from pmcp_lab.tasks.questions import answerable

Request = ServerRequestContext[Any, Any]
OwnerOf = Callable[[Request], Owner]

ACTING_FOR: ContextVar[Owner | None] = ContextVar("pmcp_lab_acting_for", default=None)
"""Whose requests those are that this process makes of its own server."""

Anonymous = Literal["session", "local", "refuse"]
"""Whose tasks a caller without credentials has over HTTP. Where there is no HTTP it is always the local owner.

* "session": a 2025-11-25 session's own, so that strangers can't list each other's tasks. They are out of reach once
  the session ends. 2026-07-28 has no sessions and no list: there everybody is the local owner, and a task is guarded
  by its id, which nobody can guess.
* "local": everybody's, in both generations, and reachable after a reconnect: for a server with one user.
* "refuse": none; every request that is about tasks is refused.
"""


def is_modern(ctx: Request) -> bool:
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


def is_legacy(ctx: Request) -> bool:
    """Whether this is the one handshake revision that has tasks."""
    return ctx.protocol_version == legacy.VERSION


def _header(ctx: Request, name: str) -> str | None:
    headers = getattr(ctx.request, "headers", None)
    value = None if headers is None else headers.get(name)
    return value if isinstance(value, str) else None


def owners(anonymous: Anonymous) -> OwnerOf:
    """Whose a request is: OAuth subject, else OAuth client; a caller without credentials is who the policy says.

    The function raises `MCPError` (-32600) where callers without credentials are refused.

    Raises:
        ValueError: There is no such policy.
    """
    if anonymous not in get_args(Anonymous):
        raise ValueError(f"anonymous is one of {', '.join(get_args(Anonymous))}, not {anonymous!r}")

    def owner_of(ctx: Request) -> Owner:
        token = get_access_token()
        if token is not None:
            client_id, issuer, subject = principal_components(token)
            return resolve_owner(subject, client_id, issuer=issuer)
        if ctx.request is None or anonymous == "local":
            return (ACTING_FOR.get() if ctx.request is None else None) or LOCAL
        if anonymous == "refuse":
            raise MCPError(INVALID_REQUEST, "tasks need credentials on this server: authenticate first")
        # Without sessions the header is whatever the caller made up: a quota for each would be none at all.
        # There, no connection remembers a handshake.
        has_session = not is_modern(ctx) and ctx.session.client_params is not None
        return resolve_owner(session_id=_header(ctx, "mcp-session-id") if has_session else None)

    return owner_of


def takes_tasks(ctx: Request) -> bool:
    """Whether a modern client declared the tasks extension on this request."""
    capabilities = ctx.session.client_capabilities
    return capabilities is not None and TASKS_EXTENSION in (capabilities.extensions or {})


def questions_of(ctx: Request) -> list[str]:
    """The kinds of questions a task made now could put to this client."""
    # A connection of 2025-11-25 has to carry them itself.
    return answerable(ctx.session.client_capabilities) if is_modern(ctx) or ctx.session.can_send_request else []


def check_task_name(ctx: Request, task_id: str) -> None:
    """`Mcp-Name` must name the same task as the body. Absence is tolerated: a real client leaves it out.

    Raises:
        MCPError: They differ (-32020).
    """
    name = _header(ctx, "mcp-name")
    if name is not None and decode_header_value(name) != task_id:
        raise MCPError(HEADER_MISMATCH, f"the Mcp-Name header does not match taskId {task_id!r}")
