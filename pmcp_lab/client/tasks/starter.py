"""What sweeps need of the client that starts their tasks."""

from __future__ import annotations

from typing import Any, Protocol

from pmcp_lab.client.catalogue import Tool
from pmcp_lab.client.tasks.call import Call
from pmcp_lab.client.tasks.task_list import TaskList


class Starter(Protocol):
    """Where the tasks are started: their server."""

    @property
    def name(self) -> str: ...

    @property
    def closed(self) -> bool:
        """Whether nothing can be started there any more."""

    @property
    def tasks(self) -> TaskList: ...

    def tool(self, name: str) -> Tool:
        """The tool as the server describes it now. Raises `UnknownTool`."""

    def plan(self, tool: Tool, arguments: dict[str, Any], *, as_task: bool | None, queued: bool = False) -> Call: ...

    async def start(self, call: Call, *, ttl: int | None = None) -> None: ...
