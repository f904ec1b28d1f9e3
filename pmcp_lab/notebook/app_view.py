"""The MCP Apps host of a cell: the widget that shows a tool's UI resource. What it does is in `pmcp_lab.host`."""

from __future__ import annotations

from typing import Any

import traitlets as t

from pmcp_lab.client import Server, Tool
from pmcp_lab.host import HostedApp, built
from pmcp_lab.notebook.app_snapshot import snapshot
from pmcp_lab.notebook.live import LiveWidget


class AppView(HostedApp, LiveWidget):
    """An MCP App in a cell. Made by `Server.app`, or by `Server.open_app` without a call yet; see `HostedApp`."""

    _esm = built("app-view.js")
    _css = built("app-view.css")

    tool: Tool

    _resource = t.Dict().tag(sync=True)
    _call = t.Dict().tag(sync=True)
    _host = t.Dict().tag(sync=True)
    _storage = t.Dict().tag(sync=True)
    _closed = t.Bool(False).tag(sync=True)

    def __init__(self, server: Server, tool: Tool, arguments: dict[str, Any] | None) -> None:
        super().__init__(server, tool, arguments)

    def discard(self) -> None:
        LiveWidget.close(self)

    def close(self) -> None:
        """Tell the app that it ends, and show that it did."""
        self.end()

    def __repr__(self) -> str:
        return f"<AppView {self.server.name}.{self.tool.name}>"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundled = super()._repr_mimebundle_(**kwargs)
        if bundled is None:
            return None
        data, metadata = bundled
        return {
            **data,
            "text/plain": repr(self),
            "text/html": snapshot(self.server.name, self.tool.name, self._call),
        }, metadata
