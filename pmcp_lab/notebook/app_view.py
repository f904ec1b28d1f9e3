"""The MCP Apps host of a cell: a widget that shows a tool's UI resource and answers what the app asks.

The browser's half (frames, handshake) is `js/src/app-view`; who may call what is decided here.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import html
from collections import deque
from typing import Any

import traitlets as t

from pmcp_lab._version import __version__
from pmcp_lab.client import Server, Tool, ToolResult
from pmcp_lab.client.runtime import runtime
from pmcp_lab.errors import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, AppError, LabError, nearest
from pmcp_lab.notebook.live import LiveWidget, built, now
from pmcp_lab.protocol.ui import MIME_TYPE, Csp, content_security_policy, resource_ui

INIT_TIMEOUT = 8_000
"""Milliseconds without `ui/initialize` after which the cell says that the app is silent."""
CALLS_KEPT = 1_000
PASSED_ON = frozenset({"resources/read", "resources/list", "resources/templates/list", "prompts/list"})


class AppView(LiveWidget):
    """An MCP App in a cell. Made by `Server.app`.

    Attributes:
        calls: What the app asked of the server, newest last: method, params, result or error, ms.
        events: What it reported (`initialized`, `log`, …), newest last.
    """

    _esm = built("app-view.js")
    _css = built("app-view.css")

    _resource = t.Dict().tag(sync=True)
    _call = t.Dict().tag(sync=True)
    _host = t.Dict().tag(sync=True)
    _closed = t.Bool(False).tag(sync=True)

    def __init__(self, server: Server, tool: Tool, arguments: dict[str, Any]) -> None:
        self.server = server
        self.tool = tool
        self.arguments = dict(arguments)
        self.calls: deque[dict[str, Any]] = deque(maxlen=CALLS_KEPT)
        self.events: deque[dict[str, Any]] = deque(maxlen=CALLS_KEPT)
        self._pending: dict[tuple[str, object], asyncio.Task[None]] = {}
        super().__init__(
            _call={
                "tool": dict(tool.raw),
                "arguments": self.arguments,
                "result": None,
                "cancelled": None,
                "error": None,
            },
            _host={
                "info": {"name": "pmcp_lab", "version": __version__},
                "capabilities": {"serverTools": {}, "serverResources": {}, "openLinks": {}, "logging": {}},
                "initTimeout": INIT_TIMEOUT,
                "server": server.name,
                # What most apps get, so that the page can make the frame before it knows the app.
                "policy": {"csp": content_security_policy(Csp()), "allow": ""},
            },
        )

    # --- what it shows ---

    def show(self, resource: dict[str, Any]) -> None:
        """Hand the app itself to the views."""
        self._resource = resource

    def discard(self) -> None:
        """Take back a widget that never had anything to show."""
        super().close()

    def settle(self, *, result: dict[str, Any] | None = None, error: str | None = None) -> None:
        """Hand the tool's result (or why there is none) to the app."""
        self.assign(_call={**self._call, "result": result, "error": error, "cancelled": error})

    # --- what the browser sends ---

    def receive(self, kind: str, view: str, content: dict[str, Any]) -> None:
        payload = content.get("payload")
        payload = payload if isinstance(payload, dict) else {}
        match kind:
            case "rpc":
                key = (view, content.get("call"))
                entry = {"time": now(), "method": payload.get("method"), "params": payload.get("params")}
                self.calls.append(entry)
                work = asyncio.get_running_loop().create_task(self._answer(view, content.get("call"), entry))
                self._pending[key] = work
                work.add_done_callback(lambda work: self._settled(key, entry, work))
            case "rpc-cancel":
                if (pending := self._pending.get((view, content.get("call")))) is not None:
                    pending.cancel()
            case "bye":
                for key in [key for key in self._pending if key[0] == view]:
                    self._pending[key].cancel()
            case "event":
                self.events.append({"time": now(), "event": str(content.get("event")), "payload": payload})
            case _:
                pass

    def _settled(self, key: tuple[str, object], entry: dict[str, Any], work: asyncio.Task[None]) -> None:
        self._pending.pop(key, None)
        entry["ms"] = now() - entry["time"]
        if work.cancelled():
            entry["error"] = {"message": "cancelled"}

    async def _answer(self, view: str, call: object, entry: dict[str, Any]) -> None:
        params = entry["params"] if isinstance(entry["params"], dict) else {}
        try:
            answer: dict[str, Any] = {"result": await self._perform(str(entry["method"]), params)}
        except LabError as error:
            answer = {"error": {"code": error.code, "message": error.message}}
            if error.data is not None:
                answer["error"]["data"] = error.data
        except Exception as error:
            answer = {"error": {"code": INTERNAL_ERROR, "message": f"{type(error).__name__}: {error}"}}
        entry |= answer
        self.post({"kind": "rpc-result", "to": view, "call": call, "payload": answer})

    async def _perform(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        peer = self.server.connection.peer
        if method == "tools/call":
            tool = await self._callable(str(params.get("name")))
            arguments = params.get("arguments")
            return await self.server.call_raw(tool.name, dict(arguments) if isinstance(arguments, dict) else {})
        if method == "tools/list":
            tools = [Tool(self.server.name, raw) for raw in await peer.list_tools()]
            return {"tools": [dict(tool.raw) for tool in tools if "app" in tool.ui.visibility]}
        if method in PASSED_ON:
            return await peer.request(method, params)
        raise AppError(f"this host does not offer {method}", code=METHOD_NOT_FOUND)

    async def _callable(self, name: str) -> Tool:
        """The tool, if apps may call it (ext-apps: a host must refuse tools not visible to apps)."""
        tools = {raw["name"]: raw for raw in await self.server.known_tools(name)}
        if name not in tools:
            raise AppError(
                f"Server {self.server.name!r} has no tool {name!r}.{nearest(name, tools)}", code=INVALID_PARAMS
            )
        tool = Tool(self.server.name, tools[name])
        if "app" not in tool.ui.visibility:
            raise AppError(f"Tool {name!r} of server {self.server.name!r} is not visible to apps", code=INVALID_PARAMS)
        return tool

    # --- its life ---

    def close(self) -> None:
        """Tell the app that it ends, and show that it did."""
        if self.comm is not None and not self._closed:
            self.post({"kind": "teardown"})
            self._closed = True
        for pending in list(self._pending.values()):
            runtime().call_soon(pending.cancel)

    def __repr__(self) -> str:
        return f"<AppView {self.server.name}.{self.tool.name}>"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundled = super()._repr_mimebundle_(**kwargs)
        if bundled is None:
            return None
        data, metadata = bundled
        return {**data, "text/plain": repr(self), "text/html": self._static()}, metadata

    def _static(self) -> str:
        """What stands in the cell where no widget runs: whose app it was, and what the tool said."""
        name = html.escape(f"{self.server.name}.{self.tool.name}")
        result = self._call["result"]
        said = ToolResult(result, name).preview(400) if result else ""
        return f"<p>MCP App of <code>{name}</code>; run the cell to open it.</p><pre>{html.escape(said)}</pre>"


def open_app(server: Server, name: str, arguments: dict[str, Any]) -> AppView:
    """Read a tool's UI resource, call the tool, and return the widget; the result follows when it is there.

    Raises:
        AppError: The tool has no app, or its resource is not one.
        UnknownTool, InvalidArguments: As for a call.
    """
    tool = server.tool(name)
    uri = tool.ui.resource_uri
    if uri is None:
        apps = [other.name for other in server.tools.values() if other.ui.resource_uri]
        raise AppError(
            f"Tool {name!r} of server {server.name!r} has no app. Tools with one: {', '.join(apps) or 'none'}."
        )
    tool.check(arguments)
    calling = runtime().start(server.call_raw(name, arguments))
    # The page makes the model and loads the widget's code while the resource is being read.
    view = AppView(server, tool, arguments)
    try:
        view.show(read_app(server, uri))
    except BaseException:
        calling.cancel()
        view.discard()
        raise

    def settled(_: object) -> None:
        if calling.cancelled():
            view.settle(error="the call was cancelled")
        elif (error := calling.exception()) is not None:
            view.settle(error=error.message if isinstance(error, LabError) else str(error))
        else:
            view.settle(result=calling.result())

    calling.add_done_callback(settled)
    return view


def read_app(server: Server, uri: str) -> dict[str, Any]:
    """The `_resource` trait for a `ui://` resource.

    Raises:
        AppError: No HTML comes with it, or it has another MIME type.
    """
    contents = [item.resource for item in server.read(uri)]
    if not contents:
        raise AppError(f"Server {server.name!r} sent nothing for {uri}.")
    content = next((item for item in contents if item.get("uri") == uri), contents[0])
    mime = str(content.get("mimeType") or "")
    if mime.replace(" ", "").lower() != MIME_TYPE:
        raise AppError(
            f"{uri} of server {server.name!r} is served as {mime or 'no MIME type'!r}; MCP Apps are {MIME_TYPE!r}."
        )
    page = content.get("text")
    if not isinstance(page, str):
        try:
            page = base64.b64decode(content.get("blob") or "", validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError, TypeError):
            raise AppError(f"{uri} of server {server.name!r} has neither text nor a readable blob.") from None
    ui = resource_ui(content.get("_meta"), *listed_meta(server, uri, content))
    return {
        "uri": uri,
        "html": page,
        "csp": content_security_policy(ui.csp),
        # Permissions need a person's consent, which nobody was asked for yet.
        "allow": "",
        "name": str(content.get("name") or uri),
        "prefersBorder": ui.prefers_border,
    }


def listed_meta(server: Server, uri: str, content: dict[str, Any]) -> list[dict[str, Any]]:
    """The resource's `_meta` in `resources/list`, asked for only when the content brings no `ui` entry of its own."""
    if isinstance((content.get("_meta") or {}).get("ui"), dict):
        return []
    return [item.raw.get("_meta") or {} for item in server.resources.values() if item.uri == uri]
