"""Tools that an app offers to its host (`appCapabilities.tools`), called from Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pmcp_lab.client import Server, ToolResult
from pmcp_lab.errors import AppError, ToolError, nearest


class Offering(Protocol):
    """An app that may offer tools."""

    @property
    def name(self) -> str: ...

    @property
    def server(self) -> Server: ...

    @property
    def app_capabilities(self) -> Mapping[str, Any]: ...

    def ask(self, method: str, params: dict[str, Any], *, timeout: float) -> dict[str, Any]:
        """Ask it something.

        Raises:
            AppError: No view is open, or its answer is an error.
            TimeoutError: It did not answer.
        """


class AppTools:
    """The tools of the app in an open view; they last as long as its frame."""

    def __init__(self, app: Offering) -> None:
        self._app = app

    def list(self, *, timeout: float = 10.0) -> list[dict[str, Any]]:
        """What the app offers now, as it came.

        Args:
            timeout: Seconds.

        Raises:
            AppError: No view is open, the app offers no tools, or its answer is an error.
            TimeoutError: The app did not answer.
        """
        if not isinstance(self._app.app_capabilities.get("tools"), Mapping):
            raise AppError(f"The app of {self._app.name!r} offers no tools, or has not started yet.")
        tools = self._app.ask("tools/list", {}, timeout=timeout).get("tools")
        return [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []

    def call(
        self, name: str, arguments: Mapping[str, Any] | None = None, /, *, timeout: float = 30.0, **named: Any
    ) -> ToolResult:
        """Call one of them and wait for its result.

        Args:
            arguments: Keyword arguments are added to them.
            timeout: Seconds.

        Raises:
            AppError: See `list`; also when there is no such tool.
            ToolError: The tool reported failure.
            TimeoutError: The app did not answer.
        """
        names = [str(tool.get("name")) for tool in self.list()]
        if name not in names:
            raise AppError(f"The app of {self._app.name!r} has no tool {name!r}.{nearest(name, names)}")
        raw = self._app.ask("tools/call", {"name": name, "arguments": {**(arguments or {}), **named}}, timeout=timeout)
        result = ToolResult(raw, f"{self._app.server.name}.{self._app.name} app tool {name}")
        if result.is_error:
            raise ToolError(f"Tool {name!r} of the app failed: {result.text}", raw)
        return result
