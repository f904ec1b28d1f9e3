"""The MCP Apps host of a cell: the widget that shows a tool's UI resource.

The browser's half (frames, handshake) is `js/src/app-view`; what an app asks is answered in `app_requests`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import json
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

import traitlets as t

from pmcp_lab._version import __version__
from pmcp_lab.client import Server, Tool
from pmcp_lab.client.runtime import runtime
from pmcp_lab.errors import INTERNAL_ERROR, AppError, LabError
from pmcp_lab.notebook.app_calls import Calls
from pmcp_lab.notebook.app_consent import allow
from pmcp_lab.notebook.app_requests import AppRequests, Callback
from pmcp_lab.notebook.app_resource import AppResource, read_app, ui_uri
from pmcp_lab.notebook.app_snapshot import snapshot
from pmcp_lab.notebook.app_tools import AppTools
from pmcp_lab.notebook.live import LiveWidget, built, now
from pmcp_lab.protocol.ui import Csp, content_security_policy

INIT_TIMEOUT = 8_000
"""Milliseconds without `ui/initialize` after which the cell says that the app is silent."""
EVENTS_KEPT = 1_000
STORED_BYTES = 2 * 1024 * 1024
"""How much an app may keep, as JSON; its imitation of `localStorage` ends at half of it."""

_stored: dict[tuple[object, str], dict[str, Any]] = {}
"""By target and resource."""

DisplayMode = Literal["inline", "fullscreen", "pip"]


class AppView(LiveWidget):
    """An MCP App in a cell. Made by `Server.app`, or by `Server.open_app` without a call yet.

    Attributes:
        calls: What the app asked of the server, newest last: method, params, result or error, ms; `calls.df` is a
            table of them.
        events: What it reported (`initialized`, `log`, …), newest last.
        app_tools: The tools that the app offers.
    """

    _source: AppResource

    _esm = built("app-view.js")
    _css = built("app-view.css")

    _resource = t.Dict().tag(sync=True)
    _call = t.Dict().tag(sync=True)
    _host = t.Dict().tag(sync=True)
    _storage = t.Dict().tag(sync=True)
    _closed = t.Bool(False).tag(sync=True)

    def __init__(self, server: Server, tool: Tool, arguments: dict[str, Any] | None) -> None:
        self.server = server
        self.tool = tool
        self.arguments = None if arguments is None else dict(arguments)
        self.app_tools = AppTools(self)
        self._requests = AppRequests(server, self)
        self._numbers = itertools.count(1)
        self._asked: dict[tuple[str, int], concurrent.futures.Future[dict[str, Any]]] = {}
        self._started: dict[str, dict[str, Any]] = {}
        self.calls = Calls()
        self.events: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self._pending: dict[tuple[str, object], asyncio.Task[None]] = {}
        super().__init__(
            _call={
                "tool": dict(tool.raw),
                "arguments": self.arguments,
                "partial": None,
                "result": None,
                "cancelled": None,
                "error": None,
            },
            _host={
                "info": {"name": "pmcp_lab", "version": __version__},
                "capabilities": {
                    "serverTools": {"listChanged": True},
                    "serverResources": {"listChanged": True},
                    "openLinks": {},
                    "downloadFile": {},
                    "logging": {},
                    "message": {"text": {}, "image": {}, "resource": {}, "resourceLink": {}},
                    "updateModelContext": {"text": {}, "image": {}, "structuredContent": {}},
                },
                "initTimeout": INIT_TIMEOUT,
                "server": server.name,
                # What most apps get, so that the page can make the frame before it knows the app.
                "policy": {"csp": content_security_policy(Csp()), "allow": ""},
            },
        )

    # --- what it shows ---

    def _list_changed(self, method: str) -> None:
        self.notify(method, {})

    def show(self, resource: AppResource) -> None:
        """Hand the app itself to the views, with what it stored when it was last shown here."""
        self._source = resource
        self._storage = _stored.get((self.server.connection.target, resource.uri), {})
        self._resource = resource.trait(self.server)
        self.server.connection.follower.on_list_changed.add(self._list_changed)

    def discard(self) -> None:
        """Take back a widget that never had anything to show."""
        super().close()

    def settle(self, *, result: dict[str, Any] | None = None, error: str | None = None) -> None:
        """Hand the tool's result (or why there is none) to the app."""
        self.assign(_call={**self._call, "result": result, "error": error, "cancelled": error})

    def partial(self, **arguments: Any) -> None:
        """Show the app arguments that are still coming: all that are known so far. Only before `run`.

        Raises:
            AppError: The call was made already.
        """
        if self.arguments is not None:
            raise AppError(f"{self!r} was called already; open it anew to stream arguments")
        self.assign(_call={**self._call, "partial": dict(arguments)})

    def run(self, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> AppView:
        """Call the tool, for a view that was opened without a call; the result follows when it is there.

        Raises:
            AppError: The call was made already.
            InvalidArguments: They don't fit the tool's schema.
        """
        if self.arguments is not None:
            raise AppError(f"{self!r} was called already; open it anew")
        given = {**(arguments or {}), **named}
        self.tool.check(given)
        self.arguments = given
        self.assign(_call={**self._call, "arguments": given})
        self.follow(runtime().start(self.server.call_raw(self.tool.name, given)))
        return self

    def follow(self, calling: concurrent.futures.Future[dict[str, Any]]) -> None:
        """Hand the app the result of its tool when it is there."""

        def settled(_: object) -> None:
            if calling.cancelled():
                self.settle(error="the call was cancelled")
            elif (error := calling.exception()) is not None:
                self.settle(error=error.message if isinstance(error, LabError) else str(error))
            else:
                self.settle(result=calling.result())

        calling.add_done_callback(settled)

    def display(self, mode: DisplayMode) -> None:
        """Show the app "inline", in "fullscreen" (Escape leaves it) or as a window of its own ("pip")."""
        self.post({"kind": "display", "payload": {"mode": mode}})

    # --- what the app says ---

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What the app wanted to be said in the conversation (`ui/message`), oldest first."""
        return list(self._requests.messages)

    @property
    def context(self) -> dict[str, Any]:
        """What the app last wanted a model to know (`ui/update-model-context`)."""
        return dict(self._requests.context)

    def on_message(self, callback: Callback | None) -> None:
        """Have each `ui/message` handed to a function; what it raises makes the app's request fail."""
        self._requests.on_message = callback

    def on_context(self, callback: Callback | None) -> None:
        """Have each `ui/update-model-context` handed to a function."""
        self._requests.on_context = callback

    @property
    def app_capabilities(self) -> dict[str, Any]:
        """What the app in the view that started last said it can do; empty before it started."""
        started = next(reversed(self._started.values()), None)
        capabilities = (started or {}).get("appCapabilities")
        return dict(capabilities) if isinstance(capabilities, Mapping) else {}

    def ask(self, method: str, params: Mapping[str, Any], *, timeout: float) -> dict[str, Any]:
        """A request to the app in the view that started last, and its result.

        Args:
            timeout: Seconds.

        Raises:
            AppError: No app is there, or its answer is an error.
            TimeoutError: It did not answer.
        """
        view = next(reversed(self._started), None)
        if view is None:
            raise AppError(f"{self!r} is open in no notebook, or its app has not started yet.")
        number = next(self._numbers)
        answer = self._asked[view, number] = concurrent.futures.Future()
        try:
            self.post(
                {"kind": "ask", "to": view, "call": number, "payload": {"method": method, "params": dict(params)}}
            )
            return runtime().wait(answer, timeout)
        finally:
            del self._asked[view, number]

    def notify(self, method: str, params: Mapping[str, Any], *, to: str | None = None) -> None:
        """A notification for the app, in one view or in all; kept back until it listens."""
        self.post(
            {"kind": "notify", **({"to": to} if to else {}), "payload": {"method": method, "params": dict(params)}}
        )

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
            case "answer":
                self._answered((view, content.get("call")), payload)
            case "document":
                document = {"hash": self._source.hash, "html": self._source.html}
                self.post({"kind": "document", "to": view, "payload": document})
            case "inspector":
                code = {"module": _text("inspector.js"), "style": _text("inspector.css")}
                self.post({"kind": "inspector", "to": view, "payload": code})
            case "consent":
                asked = self._resource.get("wanted") or {}
                names = [name for kind in ("connect", "load", "embed", "permissions") for name in asked.get(kind, ())]
                allow(self.server, self._source.uri, names)
                self.assign(_resource=self._source.trait(self.server))
            case "bye":
                self._gone(view)
                for key in [key for key in self._pending if key[0] == view]:
                    self._pending[key].cancel()
            case "event":
                if content.get("event") == "initialized":
                    self._gone(view)
                    self._started[view] = payload
                elif content.get("event") == "closed":
                    self._gone(view)
                elif content.get("event") == "stored":
                    self._store(payload)
                    return
                self.events.append({"time": now(), "event": str(content.get("event")), "payload": payload})
            case _:
                pass

    def _settled(self, key: tuple[str, object], entry: dict[str, Any], work: asyncio.Task[None]) -> None:
        self._pending.pop(key, None)
        entry["ms"] = now() - entry["time"]
        if work.cancelled():
            entry["error"] = {"message": "cancelled"}

    def _store(self, payload: dict[str, Any]) -> None:
        """Keep what the app keeps: with the widget, and for the next view of the same app."""
        known: dict[str, Any] = {"state": payload["state"]} if "state" in payload else {}
        local = payload.get("local")
        # Anything else would fail in the app's next document, and in every one after it.
        if isinstance(local, dict) and all(isinstance(value, str) for value in local.values()):
            known["local"] = local
        kept: dict[str, Any] = {**self._storage, **known}
        if len(json.dumps(kept)) <= STORED_BYTES:
            _stored[self.server.connection.target, self._source.uri] = kept
            self.assign(_storage=kept)

    def _answered(self, key: tuple[str, Any], payload: dict[str, Any]) -> None:
        future = self._asked.get(key)
        if future is None or future.done():
            return
        error = payload.get("error")
        if isinstance(error, Mapping):
            code = error.get("code")
            future.set_exception(
                AppError(
                    f"The app answered: {error.get('message')}", code=code if isinstance(code, int) else INTERNAL_ERROR
                )
            )
        else:
            result = payload.get("result")
            future.set_result(result if isinstance(result, dict) else {})

    def _gone(self, view: str) -> None:
        self._started.pop(view, None)
        for key, future in self._asked.items():
            if key[0] == view and not future.done():
                future.set_exception(AppError("The app went away before it answered."))

    async def _answer(self, view: str, call: object, entry: dict[str, Any]) -> None:
        params = entry["params"] if isinstance(entry["params"], dict) else {}
        try:
            answer: dict[str, Any] = {"result": await self._requests.answer(view, str(entry["method"]), params)}
        except LabError as error:
            answer = {"error": {"code": error.code, "message": error.message}}
            if error.data is not None:
                answer["error"]["data"] = error.data
        except Exception as error:
            answer = {"error": {"code": INTERNAL_ERROR, "message": f"{type(error).__name__}: {error}"}}
        entry |= answer
        self.post({"kind": "rpc-result", "to": view, "call": call, "payload": answer})

    # --- its life ---

    def close(self) -> None:
        """Tell the app that it ends, and show that it did."""
        if self.comm is not None and not self._closed:
            self.post({"kind": "teardown"})
            self._closed = True
        self.server.connection.follower.on_list_changed.discard(self._list_changed)
        for pending in list(self._pending.values()):
            runtime().call_soon(pending.cancel)

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


def _text(name: str) -> str:
    return built(name).read_text(encoding="utf-8")


def open_app(server: Server, name: str, arguments: dict[str, Any] | None) -> AppView:
    """Read a tool's UI resource, call the tool, and return the widget; the result follows when it is there.

    Args:
        arguments: None opens the app without a call; see `AppView.run`.

    Raises:
        AppError: The tool has no app, or its resource is not one.
        UnknownTool, InvalidArguments: As for a call.
    """
    uri = ui_uri(server, name)
    tool = server.tool(name)
    calling = None
    if arguments is not None:
        tool.check(arguments)
        calling = runtime().start(server.call_raw(name, arguments))
    # The page makes the model and loads the widget's code while the resource is being read.
    view = AppView(server, tool, arguments)
    try:
        view.show(read_app(server, uri))
    except BaseException:
        if calling is not None:
            calling.cancel()
        view.discard()
        raise
    if calling is not None:
        view.follow(calling)
    return view
