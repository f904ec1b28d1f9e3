"""A call as it was at one moment, for those who show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pmcp_lab.client.catalogue import ToolResult
from pmcp_lab.client.questions import Question


class Snapshot(NamedTuple):
    """All that there is to be shown of a call, as it was at one moment. See `Call` and `Task` for what each is."""

    key: str
    server: str
    tool: str
    set_name: str | None
    id: str | None
    status: str
    message: str | None
    progress: float | None
    started: int
    updated: int
    ended: int | None
    ttl_ms: int | None
    trouble: str | None
    visiting: str | None
    variables: Mapping[str, Any]
    questions: tuple[Question, ...]
    failure: BaseException | None
    outcome: ToolResult | None
