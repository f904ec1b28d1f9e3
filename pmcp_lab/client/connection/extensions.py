"""The extensions of MCP that this client declares to every server, and what of their results it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import mcp_types as types
from mcp.client import ClaimContext, ClientExtension, ResultClaim, advertise
from pydantic import ConfigDict

from pmcp_lab.protocol import modern
from pmcp_lab.protocol.meta import TASKS_EXTENSION
from pmcp_lab.protocol.skills import EXTENSION as SKILLS_EXTENSION
from pmcp_lab.protocol.ui import MIME_TYPE, UI_EXTENSION


class _Created(types.Result):
    """A modern `CreateTaskResult`."""

    model_config = ConfigDict(extra="allow")

    result_type: Literal["task"]


class TasksExtension(ClientExtension):
    """Declares the tasks extension and claims created tasks."""

    identifier = TASKS_EXTENSION

    def claims(self) -> list[ResultClaim[Any]]:
        return [ResultClaim(result_type=modern.RESULT_TYPE, model=_Created, resolve=_unresolved)]


async def _unresolved(_created: _Created, _context: ClaimContext) -> types.CallToolResult:
    raise AssertionError("`Peer.call_tool` takes a created task as it comes")


def client_extensions(*, app_elicitation: bool = False) -> Sequence[ClientExtension]:
    """Tasks, apps and skills. A client has no settings for skills, but some servers want to see the name.

    Args:
        app_elicitation: Whether the server's apps may ask its questions (SEP-3118, a draft).
    """
    return (
        TasksExtension(),
        advertise(UI_EXTENSION, {"mimeTypes": [MIME_TYPE], **({"elicitation": {}} if app_elicitation else {})}),
        advertise(SKILLS_EXTENSION, {}),
    )
