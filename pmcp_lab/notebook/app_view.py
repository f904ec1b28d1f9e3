"""The MCP Apps host of a cell: the widget that shows a tool's UI resource.

The browser's half (frames, handshake) is `js/src/app-view`; what an app asks is answered in `app_requests`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

import traitlets as t

from pmcp_lab._version import __version__
from pmcp_lab.client import Server, Task, Tool
from pmcp_lab.client.runtime import runtime
from pmcp_lab.client.sampling import Callback as SamplingCallback
from pmcp_lab.errors import INTERNAL_ERROR, AppError, LabError
from pmcp_lab.notebook.app_bridge import KERNEL, BridgeMode, direct_bridge
from pmcp_lab.notebook.app_calls import Calls
from pmcp_lab.notebook.app_consent import allow
from pmcp_lab.notebook.app_questions import AppQuestions
from pmcp_lab.notebook.app_requests import AppRequests, Callback
from pmcp_lab.notebook.app_resource import AppResource, read_app, recall_app, reread_app, ui_uri
from pmcp_lab.notebook.app_sessions import AppSessions
from pmcp_lab.notebook.app_snapshot import WIDGET, in_batch, snapshot
from pmcp_lab.notebook.app_tools import AppTools
from pmcp_lab.notebook.live import LiveWidget, built, now
from pmcp_lab.protocol.ui import Csp, content_security_policy

INIT_TIMEOUT = 8_000
"""Milliseconds without `ui/initialize` after which the cell says that the app is silent."""
BATCH_PATIENCE = 60.0
"""Seconds for the result where nobody looks on, so that it is in what is saved."""
EVENTS_KEPT = 1_000
CODE = {"inspector": True, "direct": False, "old-widgets": False}
"""Bundles that a view may ask for, and whether a stylesheet comes with each."""
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
    _bridge = t.Dict(KERNEL).tag(sync=True)
    _cards: t.List[str] = t.List().tag(sync=True)
    _closed = t.Bool(False).tag(sync=True)

    def __init__(self, server: Server, tool: Tool, arguments: dict[str, Any] | None) -> None:
        self.server = server
        self.tool = tool
        self.arguments = None if arguments is None else dict(arguments)
        self.app_tools = AppTools(self)
        self._requests = AppRequests(server, self)
        self._questions = AppQuestions(self)
        self._calling: concurrent.futures.Future[None] | None = None
        """Done when the views were told what became of the call."""
        self._sessions = AppSessions(repr(self), self.post)
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
                    **({"sampling": {}} if server.connection.follower.on_sampling is not None else {}),
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
        self.server.connection.follower.listings.on_changed.add(self._list_changed)

    async def refresh(self, known: AppResource) -> None:
        """Read again what was shown from memory, and show it anew if it is another."""
        with suppress(LabError):  # what is shown worked a moment ago; the app's own requests will tell
            found = await asyncio.to_thread(reread_app, self.server, known)
            if found is not None:
                self.within(self.show, found)

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
        self.follow(runtime().start(self.server.call_raw(self.tool.name, given, attend=self.attend)))
        return self

    def attend(self, task: Task) -> None:
        """Show what a call of this app asks beneath it."""
        self._questions.attend(task)

    def follow(self, calling: concurrent.futures.Future[dict[str, Any]]) -> None:
        """Hand the app the result of its tool when it is there."""
        told: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._calling = told

        def settled(_: object) -> None:
            if calling.cancelled():
                self.settle(error="the call was cancelled")
            elif (error := calling.exception()) is not None:
                self.settle(error=error.message if isinstance(error, LabError) else str(error))
            else:
                self.settle(result=calling.result())
            told.set_result(None)

        calling.add_done_callback(settled)

    def display(self, mode: DisplayMode) -> None:
        """Show the app "inline", in "fullscreen" (Escape leaves it) or as a window of its own ("pip")."""
        self.post({"kind": "display", "payload": {"mode": mode}})

    # --- who asks the server ---

    @property
    def bridge(self) -> BridgeMode:
        """Who asks the server what the app wants to know: the "kernel", or "direct" the page itself.

        Can be assigned at any time; what is under way ends where it began. Where a page finds that it can't reach
        the server, this becomes "kernel" again, and the cell says why. Tasks, questions and what is no request to
        the server stay with the kernel.

        Raises:
            AppError: On assignment: the server is no URL, is reached with credentials, or lets no page in (CORS).
        """
        mode: BridgeMode = self._bridge["mode"]
        return mode

    @bridge.setter
    def bridge(self, mode: BridgeMode) -> None:
        if mode not in ("kernel", "direct"):
            raise AppError(f"bridge must be 'kernel' or 'direct', not {mode!r}")
        self._bridge = direct_bridge(self.server) if mode == "direct" else KERNEL

    # --- what the app says ---

    @property
    def asking(self) -> list[Task]:
        """The app's calls that ask their user something; `.answer({…})` of each does what its form does."""
        return self._questions.asking

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

    def on_sampling(self, callback: SamplingCallback | None) -> None:
        """Have a function make the completions that the app asks for (`sampling/createMessage`).

        An app is told of it when it starts. Without one the server's own (`connect(…, on_sampling=…)`) is used, and
        without that, apps are told that there is none.

        Args:
            callback: `callback(messages, params)` returns the text, or a `CreateMessageResult`.
        """
        self._requests.on_sampling = callback
        offered = {name: value for name, value in self._host["capabilities"].items() if name != "sampling"}
        if self._requests.sampler is not None:
            offered["sampling"] = {}
        self.assign(_host={**self._host, "capabilities": offered})

    @property
    def app_capabilities(self) -> dict[str, Any]:
        """What the app in the view that started last said it can do; empty before it started."""
        return self._sessions.capabilities

    def ask(self, method: str, params: Mapping[str, Any], *, timeout: float) -> dict[str, Any]:
        """A request to the app in the view that started last, and its result.

        Args:
            timeout: Seconds.

        Raises:
            AppError: No app is there, or its answer is an error.
            TimeoutError: It did not answer.
        """
        return self._sessions.ask(method, params, timeout=timeout)

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
            case "rpc" | "asked":
                key = (view, content.get("call"))
                entry = {"time": now(), "method": payload.get("method"), "params": payload.get("params")}
                if kind == "rpc":
                    self.calls.append(entry)
                else:
                    entry["tool"] = str(payload.get("tool"))
                work = asyncio.get_running_loop().create_task(self._answer(view, content.get("call"), entry))
                self._pending[key] = work
                work.add_done_callback(lambda work: self._settled(key, entry, work))
            case "rpc-cancel":
                if (pending := self._pending.get((view, content.get("call")))) is not None:
                    pending.cancel()
            case "answer":
                self._sessions.answered(view, content.get("call"), payload)
            case "document":
                document = {"hash": self._source.hash, "html": self._source.html}
                self.post({"kind": "document", "to": view, "payload": document})
            case "code" if (name := content.get("name")) in CODE:
                self.post({"kind": "code", "to": view, "payload": _code(str(name))})
            case "consent":
                asked = self._resource.get("wanted") or {}
                names = [name for kind in ("connect", "load", "embed", "permissions") for name in asked.get(kind, ())]
                allow(self.server, self._source.uri, names)
                self.assign(_resource=self._source.trait(self.server))
            case "bye":
                self._sessions.ended(view)
                for key in [key for key in self._pending if key[0] == view]:
                    self._pending[key].cancel()
            case "event":
                if content.get("event") == "initialized":
                    self._sessions.began(view, payload)
                elif content.get("event") == "closed":
                    self._sessions.ended(view)
                elif content.get("event") == "stored":
                    self._store(payload)
                    return
                elif content.get("event") == "called":
                    self.calls.append(payload)
                    return
                elif content.get("event") == "bridge" and payload.get("mode") == "kernel":
                    self.assign(_bridge=KERNEL)
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
        known: dict[str, Any] = {name: payload[name] for name in ("local", "state") if name in payload}
        kept: dict[str, Any] = {**self._storage, **known}
        if len(json.dumps(kept)) <= STORED_BYTES:
            _stored[self.server.connection.target, self._source.uri] = kept
            self.assign(_storage=kept)

    async def _answer(self, view: str, call: object, entry: dict[str, Any]) -> None:
        params = entry["params"] if isinstance(entry["params"], dict) else {}
        try:
            method = str(entry["method"])
            if "tool" in entry:
                result = await self._questions.relay(entry["tool"], method, params)
            else:
                result = await self._requests.answer(view, method, params)
            answer: dict[str, Any] = {"result": result}
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
        self.server.connection.follower.listings.on_changed.discard(self._list_changed)
        for pending in list(self._pending.values()):
            runtime().call_soon(pending.cancel)

    def __repr__(self) -> str:
        return f"<AppView {self.server.name}.{self.tool.name}>"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundled = super()._repr_mimebundle_(**kwargs)
        if bundled is None:
            return None
        data, metadata = bundled
        if in_batch():
            data = {kind: shown for kind, shown in data.items() if kind != WIDGET}
            if self._calling is not None:
                concurrent.futures.wait([self._calling], timeout=BATCH_PATIENCE)
        return {
            **data,
            "text/plain": repr(self),
            "text/html": snapshot(self.server.name, self.tool.name, self._call),
        }, metadata


def _code(name: str) -> dict[str, str]:
    """A bundle that a view loads only when it is wanted."""
    style = built(f"{name}.css").read_text(encoding="utf-8") if CODE[name] else ""
    return {"name": name, "module": built(f"{name}.js").read_text(encoding="utf-8"), "style": style}


def open_app(server: Server, name: str, arguments: dict[str, Any] | None, *, bridge: BridgeMode = "kernel") -> AppView:
    """Read a tool's UI resource, call the tool, and return the widget; the result follows when it is there.

    Args:
        arguments: None opens the app without a call; see `AppView.run`.
        bridge: See `AppView.bridge`.

    Raises:
        AppError: The tool has no app, or its resource is not one.
        UnknownTool, InvalidArguments: As for a call.
    """
    uri = ui_uri(server, name)
    tool = server.tool(name)
    if arguments is not None:
        tool.check(arguments)
    # The page makes the model and loads the widget's code while the resource is being read.
    view = AppView(server, tool, arguments)
    calling = None
    try:
        if arguments is not None:
            attend = None if in_batch() else view.attend
            calling = runtime().start(server.call_raw(name, arguments, attend=attend))
        if bridge != "kernel":
            view.bridge = bridge
        known = recall_app(server, uri)
        view.show(known or read_app(server, uri))
        if known is not None:
            runtime().start(view.refresh(known))
    except BaseException:
        if calling is not None:
            calling.cancel()
        view.discard()
        raise
    if calling is not None:
        view.follow(calling)
    return view
