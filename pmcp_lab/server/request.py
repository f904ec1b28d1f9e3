"""What a request says: its generation, capabilities, headers, the task it names. Who sends it is in `callers`."""

from __future__ import annotations

from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import decode_header_value
from mcp_types import HEADER_MISMATCH
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from pmcp_lab.protocol import legacy
from pmcp_lab.protocol.meta import TASKS_EXTENSION
from pmcp_lab.tasks.questions import answerable

Request = ServerRequestContext[Any, Any]


def is_modern(ctx: Request) -> bool:
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


def is_legacy(ctx: Request) -> bool:
    """Whether this is the one handshake revision that has tasks."""
    return ctx.protocol_version == legacy.VERSION


def header(ctx: Request, name: str) -> str | None:
    """A header of the request; None where it has none, and where there is no HTTP."""
    headers = getattr(ctx.request, "headers", None)
    value = None if headers is None else headers.get(name)
    return value if isinstance(value, str) else None


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
    name = header(ctx, "mcp-name")
    if name is not None and decode_header_value(name) != task_id:
        raise MCPError(HEADER_MISMATCH, f"the Mcp-Name header does not match taskId {task_id!r}")
