"""A widget that is written in a cell, and the server of its own that has a notebook's functions as tools."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, TextContent

from pmcp_lab.apps.binding import Apps
from pmcp_lab.apps.metadata import WidgetMetadata, front_matter, parse_metadata
from pmcp_lab.apps.widget_dir import Widget, app_name
from pmcp_lab.errors import UnknownWidget

_DOCUMENT = re.compile(r"\s*(?:<!--.*?-->\s*)*<(?:!doctype|html|head|body)\b", re.IGNORECASE | re.DOTALL)

BASE = """<!doctype html><meta charset="utf-8"><title>{name}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ margin: 12px; font: 14px/1.5 var(--font-sans, system-ui, sans-serif);
  color: var(--color-text-primary, CanvasText) }}
</style>
"""

SCRIPT = """<div id="root"></div><script type="module">
const root = document.getElementById("root");
const app = new McpApps.App({{name: {name}, version: "0"}}, {{availableDisplayModes: ["inline", "fullscreen", "pip"]}});
const look = ({{theme, styles}}) => {{
  if (theme) McpApps.applyDocumentTheme(theme);
  if (styles?.variables) McpApps.applyHostStyleVariables(styles.variables);
}};
app.addEventListener("hostcontextchanged", look);
const connected = app.connect().then(() => look(app.getHostContext()));
{script}
await connected;
</script>"""


def page(name: str, cell: str) -> str:
    """The document a cell makes: of HTML, of a part of it, or of JavaScript that has `app` and `root`."""
    if _DOCUMENT.match(cell):
        return cell
    if cell.lstrip().startswith("<"):
        return BASE.format(name=name) + cell
    script = re.sub(r"</(script)", r"<\\/\1", cell, flags=re.IGNORECASE)
    return BASE.format(name=name) + SCRIPT.format(name=json.dumps(name), script=script)


class CellWidget:
    """The one widget of a cell's app, `ui://<name>/<name>`. Changed on the event loop that serves it."""

    def __init__(self, name: str) -> None:
        self.app = app_name(name)
        self.watched = True
        self._html = ""
        self._metadata = WidgetMetadata()
        self._version = 0
        self._changed = asyncio.Condition()

    def names(self) -> list[str]:
        return [self.app]

    def read(self, name: str) -> Widget:
        if name.removesuffix(".html") != self.app:
            raise UnknownWidget(self.app, name, self.names())
        return Widget(name=self.app, uri=f"ui://{self.app}/{self.app}", html=self._html, metadata=self._metadata)

    def write(self, cell: str) -> None:
        """Take what a cell says now; `tell` has those who show it look again.

        Raises:
            AppError: Its first comment is metadata and can't be read.
        """
        said = front_matter(cell)
        self._metadata = WidgetMetadata() if said is None else parse_metadata(said, f"%%mcp_app {self.app}")
        self._html = page(self.app, cell)

    async def tell(self) -> None:
        async with self._changed:
            self._version += 1
            self._changed.notify_all()

    async def changes(self) -> AsyncIterator[frozenset[str]]:
        known = self._version
        while True:
            async with self._changed:
                while self._version == known:
                    await self._changed.wait()
                known = self._version
            yield frozenset({self.app})


class CellServer:
    """A scratch server with the widget of a cell, and functions of the notebook as its tools.

    Attributes:
        widget: What the cell says.
        server: The server, to be connected to.
        opener: The tool that the app is opened with.
    """

    def __init__(self, name: str) -> None:
        self.widget = CellWidget(name)
        self._apps = Apps(self.widget)
        self.server: MCPServer[Any] = MCPServer(
            name, extensions=[self._apps], middleware=[self._apps], log_level="CRITICAL"
        )
        self.opener = name
        self._tools: list[str] = []

    def offer(self, functions: Mapping[str, Callable[[], Callable[..., Any]]], opener: str | None) -> None:
        """Make functions the tools, instead of those there were.

        Args:
            functions: By name, what finds each of them: it is looked up anew for every call.
            opener: The one whose result opens the app; without one it opens with nothing.

        Raises:
            TypeError, ValueError: A function's parameters can't be a tool's.
        """
        for name in self._tools:
            self.server.remove_tool(name)
        self._tools = []
        meta = self._apps.meta(self.widget.app)
        self.opener = opener or self.widget.app
        if opener is None:
            self.server.add_tool(_nothing, name=self.opener, description="Opens the app.", meta=meta)
            self._tools.append(self.opener)
        for name, find in functions.items():
            self.server.add_tool(as_tool(find), name=name, description=inspect.getdoc(find()) or "", meta=meta)
            self._tools.append(name)


def _nothing() -> CallToolResult:
    return CallToolResult(content=[])


def as_tool(find: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """A tool that calls whatever a name stands for when it is called, and whose result an app can always read.

    The structured result is the returned mapping, or `{"result": …}` with anything else that JSON can say.
    """
    signature = inspect.signature(find(), eval_str=True)

    async def call(**arguments: Any) -> CallToolResult:
        function = find()
        try:
            if inspect.iscoroutinefunction(function):
                return result_of(await function(**arguments))
            return result_of(await asyncio.to_thread(function, **arguments))
        except Exception as error:
            # The SDK keeps what happened to itself; here it is the author's own function.
            raise ToolError(f"{type(error).__name__}: {error}") from error

    call.__name__ = getattr(find(), "__name__", "tool")
    call.__signature__ = signature.replace(return_annotation=CallToolResult)  # type: ignore[attr-defined]
    call.__annotations__ = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if parameter.annotation is not parameter.empty
    } | {"return": CallToolResult}
    return call


def result_of(value: Any) -> CallToolResult:
    """What a function returned, as the result of a tool."""
    if isinstance(value, CallToolResult):
        return value
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        value = {"columns": [str(name) for name in value.columns], "rows": value.to_dict(orient="records")}
    elif hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    if value is None:
        return CallToolResult(content=[])
    plain = json.loads(json.dumps(value, default=_plain))
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    structured = plain if isinstance(plain, dict) else {"result": plain}
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=structured)


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays, and whatever else knows itself as plain Python; text for the rest."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
