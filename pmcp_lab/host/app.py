"""An open app: the state that its views are given, what it reports, and what is said to it.

The browser's half (frames, handshake) is `js/src/app-view`; what an app asks is answered in `requests`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pmcp_lab._version import __version__
from pmcp_lab.client import SamplingCallback, Server, Task, Tool, client_of, now_ms, runtime
from pmcp_lab.errors import METHOD_NOT_FOUND, AppError, LabError
from pmcp_lab.host.bridge import KERNEL, BridgeMode, direct_bridge
from pmcp_lab.host.capabilities import offered
from pmcp_lab.host.consent import allow
from pmcp_lab.host.kept import Kept, weigh
from pmcp_lab.host.model import LiveModel, built, bundle
from pmcp_lab.host.problems import problems
from pmcp_lab.host.profile import STANDARD, Profile
from pmcp_lab.host.requests import AppRequests, Callback
from pmcp_lab.host.resource import ALWAYS_READ, AppResource, read_app
from pmcp_lab.host.started_views import StartedViews
from pmcp_lab.host.storage import store, stored
from pmcp_lab.host.tools import AppTools
from pmcp_lab.host.under_way import UnderWay
from pmcp_lab.protocol.ui import Csp, content_security_policy

if TYPE_CHECKING:
    import pandas as pd

INIT_TIMEOUT = 8_000
"""Milliseconds without `ui/initialize` after which the cell says that the app is silent."""
LOOK_AGAIN = 1.0
"""Seconds until what was shown from memory is read again."""
CODE = {"inspector": True, "direct": False, "old-widgets": False, "consent": False}
"""Bundles that a view may ask for, and whether a stylesheet comes with each."""
DisplayMode = Literal["inline", "fullscreen", "pip"]


class HostedApp(LiveModel):
    """An app of a server; a mixin for what keeps the state below and carries messages. Made by `open_app`.

    Args:
        tool: None where a resource is looked at that no tool refers to.
        arguments: None before the tool is called.

    Attributes:
        calls: What the app asked of the server, newest last: method, params, result or error, ms; `calls.df` is a
            table of them.
        events: What it reported (`initialized`, `log`, …), newest last.
        app_tools: The tools that the app offers.
    """

    _resource: Any
    _call: Any
    _host: Any
    _storage: Any
    _bridge: Any
    _closed: Any
    _source: AppResource
    profile: Profile = STANDARD
    """The host that is played."""
    calling: concurrent.futures.Future[dict[str, Any]] | None = None
    """The last call of its tool."""
    delivered: concurrent.futures.Future[None] | None = None
    """Done when the views have what became of it."""
    attend: Callable[[Task], object] | None = None
    """Puts what a call of the app asks to a person; None where nobody can be asked."""

    def __init__(self, server: Server, tool: Tool | None, arguments: dict[str, Any] | None) -> None:
        self.server = server
        self.client = client_of(server)
        self.tool = tool
        self.arguments = None if arguments is None else dict(arguments)
        self.app_tools = AppTools(self)
        self._number = 1
        self._started = StartedViews(self.reply)
        self._kept = Kept()
        self.calls, self.events = self._kept.calls, self._kept.events
        self._requests = AppRequests(self, self._kept)
        self._under_way = UnderWay(self._answer, self.reply, self._kept.grown)
        self._looking: asyncio.Task[None] | None = None
        self._stale = False
        super().__init__(
            _call={
                "tool": None if tool is None else dict(tool.raw),
                "arguments": self.arguments,
                "turn": 0,
                "number": self._number,
                "partial": None,
                "result": None,
                "cancelled": None,
                "error": None,
            },
            _host={
                "info": {"name": "pmcp_lab", "version": __version__},
                "capabilities": offered(sampling=self.client.sampling.callback is not None),
                "initTimeout": INIT_TIMEOUT,
                "server": server.name,
                "profile": self.profile.name,
                "only": self.profile.only,
                # What most apps get, so that the page can make the frame before it knows the app.
                "policy": {"csp": content_security_policy(Csp()), "allow": ""},
            },
            _prelude=built("prelude.js").read_text(encoding="utf-8"),
        )

    # --- what it shows ---

    @property
    def name(self) -> str:
        """Of its tool, or else of its resource."""
        return self.tool.name if self.tool is not None else self._source.uri

    def _list_changed(self, method: str) -> None:
        self.notify(method, {})

    def show(self, resource: AppResource) -> None:
        """Hand the app itself to the views, with what it stored when it was last shown here."""
        self._source = resource
        self.assign(_storage=stored(self.client.target, resource.uri), **self._granted())
        self._hear()

    def _granted(self) -> dict[str, Any]:
        """The app, with what it may have."""
        resource = self._source.trait(self.client)
        return {"_resource": resource, "_host": self._host_with(self._source.sandbox(self.client))}

    def _host_with(self, sandbox: dict[str, Any] | None) -> dict[str, Any]:
        said = offered(sampling=self._requests.sampler is not None, sandbox=sandbox)
        return {**self._host, "capabilities": said}

    def _hear(self) -> None:
        self.client.list_changes.on_changed.add(self._list_changed)
        runtime().call_soon(self.client.resource_changes.want, self._source.uri, self._changed)

    def move(self, server: Server) -> None:
        """Go on with another connection to the same server, which may have another document by now."""
        self.server, self.client = server, client_of(server)
        self._hear()
        runtime().call_soon(self._changed)

    def reload(self) -> None:
        """Read the app again and show what it is now. Happens by itself when the server says that it changed.

        What the app stored is kept, and the new one gets the call's arguments and result as the old one did.

        Raises:
            AppError, PeerError: It can't be read any more; the views stay as they are.
        """
        runtime().run(self._reload())

    def _changed(self) -> None:
        """The server says that it changed. News of one save come in twos and threes: one look is enough for them."""
        self._stale = True
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        while self._stale:
            self._stale = False
            try:
                await self._reload()
            except LabError as error:
                self._kept.add(
                    "events", {"time": now_ms(), "event": "reload-failed", "payload": {"message": error.message}}
                )
                self.assign(_host={**self._host, "stale": error.message})

    async def _read(self) -> AppResource:
        resource = await read_app(self.client, self._source.uri, self.profile)
        if self._host.get("stale"):
            self.assign(_host={**self._host, "stale": None})
        return resource

    async def _reload(self) -> None:
        resource = await self._read()
        if resource == self._source:
            return
        self._source = resource
        self.assign(**self._granted())
        self._kept.add("events", {"time": now_ms(), "event": "reloaded", "payload": {"hash": resource.hash}})

    async def refresh(self) -> None:
        """Read again what was shown from memory, and show it anew if it is another."""
        # Not while the page draws: reading takes the processor from it.
        await asyncio.sleep(LOOK_AGAIN)
        shown = self._source
        with suppress(LabError):  # what is shown worked a moment ago; the app's own requests will tell
            await self._reload()
        if self._source != shown:
            self.client.listings.documents[shown.uri] = ALWAYS_READ

    def discard(self) -> None:
        """Take back what never had anything to show."""
        raise NotImplementedError

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

    def run(self, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> HostedApp:
        """Call the tool, for a view that was opened without a call; the result follows when it is there.

        Raises:
            AppError: The call was made already.
            InvalidArguments: They don't fit the tool's schema.
        """
        if self.arguments is not None:
            raise AppError(f"{self!r} was called already; open it anew")
        self.call(self.tool, {**(arguments or {}), **named})
        return self

    def restart(self, tool: Tool, arguments: Mapping[str, Any]) -> None:
        """Read the app again, call a tool of it anew, and have the views begin from there.

        Raises:
            InvalidArguments: The arguments don't fit the tool's schema.
        """
        tool.check(dict(arguments))
        self._source = runtime().run(self._read())
        self.assign(
            **self._granted(),
            _call={**self._call, **self._fresh(tool, dict(arguments)), "partial": None, "turn": self._call["turn"] + 1},
        )
        self.follow(runtime().start(self.client.pass_on(tool.name, dict(arguments), attend=self.attend)))

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return bool(self._closed)

    def _fresh(self, tool: Tool, arguments: dict[str, Any]) -> dict[str, Any]:
        """`_call` of a call that is made now."""
        self.tool, self.arguments = tool, arguments
        self._number += 1
        made = {"tool": dict(tool.raw), "arguments": arguments, "number": self._number}
        return {**made, "result": None, "error": None, "cancelled": None}

    def call(self, tool: Tool | None, arguments: dict[str, Any]) -> None:
        """Call a tool whose app this is, and hand the app its arguments and result; after others, they replace theirs.

        Raises:
            AppError: There is no such tool.
            InvalidArguments: The arguments don't fit its schema.
        """
        if tool is None:
            raise AppError(f"No tool of server {self.server.name!r} is shown by {self._source.uri}")
        tool.check(arguments)
        self.assign(_call={**self._call, **self._fresh(tool, arguments)})
        self.follow(runtime().start(self.client.pass_on(tool.name, arguments, attend=self.attend)))

    def follow(self, calling: concurrent.futures.Future[dict[str, Any]]) -> None:
        """Hand the app the result of its tool when it is there, unless it was called again since."""
        delivered: concurrent.futures.Future[None] = concurrent.futures.Future()
        self.calling, self.delivered = calling, delivered
        number = self._number

        def settled(_: object) -> None:
            if number != self._number:
                delivered.cancel()
            elif calling.cancelled():
                self.settle(error="the call was cancelled")
            elif (error := calling.exception()) is not None:
                self.settle(error=error.message if isinstance(error, LabError) else str(error))
            else:
                self.settle(result=calling.result())
            if not delivered.cancelled():
                delivered.set_result(None)

        calling.add_done_callback(settled)

    def display(self, mode: DisplayMode) -> None:
        """Show the app "inline", in "fullscreen" (Escape leaves it) or as a window of its own ("pip")."""
        self.tell({"kind": "display", "payload": {"mode": mode}})

    # --- who asks the server ---

    @property
    def bridge(self) -> BridgeMode:
        """Who asks the server what the app wants to know: the "kernel", or "direct" the page itself.

        Can be assigned at any time; what is under way ends where it began. Where a page finds that it can't reach
        the server, this becomes "kernel" again, and the view says why. Tasks, questions and what is no request to
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
        self.assign(_bridge=direct_bridge(self.client) if mode == "direct" else KERNEL)

    # --- what the app says ---

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What the app wanted to be said in the conversation (`ui/message`), oldest first."""
        return list(self._kept.messages)

    @property
    def errors(self) -> pd.DataFrame:
        """What went wrong in the app, oldest first, for each of its views: errors that it did not deal with, scripts
        that are none, what did not load, and what its policy kept it from.

        Columns: `time`, `kind` ("error", "blocked", or "reload" where it could not be read again), `message`, and as
        the browser tells them `source`, `line`, `column`. A hostile app may leave out or invent.
        """
        return problems(self._kept.events)

    @property
    def dropped(self) -> dict[str, int]:
        """How many of `calls`, `events` and `messages` are not kept any more: of each the last 1,000 are, and of all
        together 32 MB."""
        return dict(self._kept.dropped)

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
        self.assign(_host=self._host_with(self._host["capabilities"].get("sandbox")))

    @property
    def app_capabilities(self) -> dict[str, Any]:
        """What the app in the view that started last said it can do; empty before it started."""
        return self._started.capabilities

    def ask(self, method: str, params: Mapping[str, Any], *, timeout: float) -> dict[str, Any]:
        """A request to the app in the view that started last, and its result.

        Args:
            timeout: Seconds.

        Raises:
            AppError: No app is there, or its answer is an error.
            TimeoutError: It did not answer.
        """
        return self._started.ask(repr(self), method, params, timeout)

    def notify(self, method: str, params: Mapping[str, Any], *, to: str | None = None) -> None:
        """A notification for the app, in one view or in all; kept back until it listens."""
        content = {"kind": "notify", "payload": {"method": method, "params": dict(params)}}
        self.tell(content) if to is None else self.reply(to, content)

    # --- what the browser sends ---

    def receive(self, kind: str, view: str, content: dict[str, Any]) -> None:
        handle = self._handlers.get(kind)
        payload = content.get("payload")
        if handle is not None:
            handle(self, view, content, payload if isinstance(payload, dict) else {})

    def _on_request(self, view: str, content: dict[str, Any], payload: dict[str, Any]) -> None:
        entry = {"time": now_ms(), "method": payload.get("method"), "params": payload.get("params")}
        weight = self._kept.add("calls", entry)
        self._under_way.start(view, content.get("call"), entry, weight)

    def _on_asked(self, view: str, content: dict[str, Any], payload: dict[str, Any]) -> None:
        """What the server asked within a call that the page made itself."""
        entry = {"time": now_ms(), "method": payload.get("method"), "params": payload.get("params")}
        entry["tool"] = str(payload.get("tool"))
        self._under_way.start(view, content.get("call"), entry, weigh(payload))

    def _on_cancel(self, view: str, content: dict[str, Any], _payload: dict[str, Any]) -> None:
        self._under_way.cancel(view, content.get("call"))

    def _on_answer(self, view: str, content: dict[str, Any], payload: dict[str, Any]) -> None:
        self._started.answer(view, content.get("call"), payload)

    def _on_document(self, view: str, _content: dict[str, Any], _payload: dict[str, Any]) -> None:
        document = {"hash": self._source.hash, "html": self._source.html}
        self.reply(view, {"kind": "document", "payload": document})

    def _on_code(self, view: str, content: dict[str, Any], _payload: dict[str, Any]) -> None:
        if (name := content.get("name")) in CODE:
            self.reply(view, {"kind": "code", "payload": bundle(str(name), styled=CODE[str(name)])})

    def _on_consent(self, _view: str, _content: dict[str, Any], payload: dict[str, Any]) -> None:
        # What the person saw, and what is asked for now: an app that changed meanwhile gets no more than both.
        allow(self.client, self._source.uri, self._resource.get("wanted") or {}, payload)
        self.assign(**self._granted())

    def _on_bye(self, view: str, _content: dict[str, Any], _payload: dict[str, Any]) -> None:
        self._started.end(view)
        self._under_way.leave(view)

    def _on_event(self, view: str, content: dict[str, Any], payload: dict[str, Any]) -> None:
        match content.get("event"):
            case "initialized":
                self._started.start(view, payload)
            case "closed":
                self._started.end(view)
            case "stored":
                kept = store(self.client.target, self._source.uri, self._storage, payload)
                if kept is not None:
                    self.assign(_storage=kept)
                return
            case "called":
                self._kept.add("calls", payload)
                return
            case "bridge" if payload.get("mode") == "kernel":
                self.assign(_bridge=KERNEL)
        self._kept.add("events", {"time": now_ms(), "event": str(content.get("event")), "payload": payload})

    _handlers: ClassVar[Mapping[str, Callable[[Any, str, dict[str, Any], dict[str, Any]], None]]] = {
        "rpc": _on_request,
        "asked": _on_asked,
        "rpc-cancel": _on_cancel,
        "answer": _on_answer,
        "document": _on_document,
        "code": _on_code,
        "consent": _on_consent,
        "bye": _on_bye,
        "event": _on_event,
    }
    """What is done with a message of a view (`js/MESSAGES.md`): with the view, the message and its payload."""

    async def _answer(self, view: str, entry: dict[str, Any]) -> dict[str, Any]:
        params = entry["params"] if isinstance(entry["params"], dict) else {}
        if "tool" in entry:
            return await self.relay(entry["tool"], str(entry["method"]), params)
        return await self._requests.answer(view, str(entry["method"]), params)

    async def relay(self, tool: str, method: str, params: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Answer what a server asked the page within a call that the page made itself.

        Raises:
            LabError: It is refused.
        """
        raise AppError(f"nobody here can answer {method}, which tool {tool!r} asks", code=METHOD_NOT_FOUND)

    # --- its life ---

    def end(self) -> None:
        """Tell the app that it ends, and give up what it still waits for."""
        if not self._closed:
            self.assign(_closed=True)
        self.client.list_changes.on_changed.discard(self._list_changed)
        if hasattr(self, "_source"):
            runtime().call_soon(self.client.resource_changes.forget, self._source.uri, self._changed)
        runtime().call_soon(self._under_way.end)
