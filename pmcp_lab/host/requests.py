"""What an app may ask of its host, and who answers: the server, the kernel, or a callback of the notebook's.

Everything an app sends is untrusted. What needs the person at the page (links, downloads) is asked there.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import mcp_types as types

from pmcp_lab.client import Client, SamplingCallback, Task, Tool, sample
from pmcp_lab.errors import INVALID_PARAMS, METHOD_NOT_FOUND, AppError, nearest
from pmcp_lab.host.kept import Kept
from pmcp_lab.host.profile import Profile
from pmcp_lab.protocol.meta import reserved

PASSED_ON = frozenset({"resources/read", "resources/list", "resources/templates/list", "prompts/list"})

Callback = Callable[[dict[str, Any]], object]
"""Gets the params of an app's request; may be a coroutine function. Runs in a thread of its own, or on the loop."""


class Asking(Protocol):
    """An app that asks."""

    @property
    def client(self) -> Client: ...

    @property
    def profile(self) -> Profile: ...

    @property
    def attend(self) -> Callable[[Task], object] | None:
        """Puts what a call of the app asks to a person; None where nobody can be asked."""

    def notify(self, method: str, params: dict[str, Any], *, to: str | None = None) -> None:
        """Tell its views something."""


class AppRequests:
    """Answers the requests of one app.

    Attributes:
        context: The last `ui/update-model-context`: what the app wants a model to know.
        on_message: Called with each message; what it raises makes the app's request fail.
        on_context: Called with each update of the context.
        on_sampling: Makes the completions that the app asks for, before the server's own does.
    """

    def __init__(self, app: Asking, kept: Kept) -> None:
        self._app = app
        self._kept = kept
        self.context: dict[str, Any] = {}
        self.on_message: Callback | None = None
        self.on_context: Callback | None = None
        self.on_sampling: SamplingCallback | None = None

    @property
    def _client(self) -> Client:
        return self._app.client

    async def answer(self, view: str, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The result of a request.

        Args:
            view: Which of the widget's views asked; it is told of progress.

        Raises:
            LabError: The answer is an error, with its code.
        """
        match method:
            case "tools/call":
                return await self._call(view, params)
            case "tools/list":
                raw_tools = await self._client.ask(lambda peer: peer.list_tools(), again=True)
                listed = [Tool(self._client.name, raw) for raw in raw_tools]
                return {"tools": [dict(tool.raw) for tool in listed if self._visible(tool)]}
            case "ui/message":
                message = {**params, "content": _blocks(params.get("content"), method)}
                self._kept.add("messages", message)
                await _hand_to(self.on_message, message)
                return {}
            case "sampling/createMessage" if self.sampler is not None:
                said = await sample(self.sampler, params)
                if isinstance(said, types.ErrorData):
                    raise AppError(said.message, code=said.code)
                return said
            case "ui/update-model-context":
                if "content" in params:
                    _blocks(params["content"], method)
                self.context = dict(params)
                await _hand_to(self.on_context, self.context)
                return {}
        if method in PASSED_ON:
            # All of them only read.
            return await self._client.ask(lambda peer: peer.request(method, params), again=True)
        raise AppError(f"this host does not offer {method}", code=METHOD_NOT_FOUND)

    async def _call(self, view: str, params: dict[str, Any]) -> dict[str, Any]:
        tool = await self._callable(str(params.get("name")))
        given, meta = params.get("arguments", {}), params.get("_meta", {})
        if not isinstance(given, Mapping) or not isinstance(meta, Mapping):
            raise _wrong(tool, f"{'arguments' if isinstance(meta, Mapping) else '_meta'} must be an object")
        if "task" in params:
            raise _wrong(tool, "this host makes a task of it where the tool wants one; leave out task")
        own = dict(meta)
        token = own.pop("progressToken", None)
        if "progressToken" in meta and (isinstance(token, bool) or not isinstance(token, str | int)):
            raise _wrong(tool, "a progressToken is a text or a whole number")
        # A name without a prefix may be one by which a call is taken for more than the app's: PMCP's servers carry a
        # workflow on by `_task_id` and `_step`.
        if ours := [name for name in own if "/" not in str(name) or reserved(str(name))]:
            raise _wrong(tool, f"{', '.join(map(repr, ours))} in _meta is the host's to set")

        def report(progress: float, total: float | None, message: str | None) -> None:
            about = {"progressToken": token, "progress": progress, "total": total, "message": message}
            known = {name: value for name, value in about.items() if value is not None}
            self._app.notify("notifications/progress", known, to=view)

        return await self._client.pass_on(
            tool.name,
            given,
            meta=own,
            on_progress=None if token is None else report,
            attend=self._app.attend,
        )

    @property
    def sampler(self) -> SamplingCallback | None:
        """What makes completions for the app."""
        return self.on_sampling or self._client.sampling.callback

    async def _callable(self, name: str) -> Tool:
        """The tool, if apps may call it (ext-apps: a host must refuse tools not visible to apps)."""
        tools = await self._client.listings.tools_with(name)
        server = self._client.name
        if name not in tools:
            raise AppError(f"Server {server!r} has no tool {name!r}.{nearest(name, tools)}", code=INVALID_PARAMS)
        tool = tools[name]
        if not self._visible(tool):
            raise AppError(f"Tool {name!r} of server {server!r} is not visible to apps", code=INVALID_PARAMS)
        return tool

    def _visible(self, tool: Tool) -> bool:
        return "app" in self._app.profile.tool_ui(tool.raw.get("_meta")).visibility


def _wrong(tool: Tool, why: str) -> AppError:
    return AppError(f"tools/call of {tool.name!r}: {why}", code=INVALID_PARAMS)


def _blocks(content: object, method: str) -> list[dict[str, Any]]:
    """The content blocks; the draft text shows a single one where the types say a list."""
    blocks: list[Any] = content if isinstance(content, list) else [content]
    if not blocks or not all(isinstance(block, dict) and isinstance(block.get("type"), str) for block in blocks):
        raise AppError(f"{method} needs content blocks", code=INVALID_PARAMS)
    return blocks


async def _hand_to(callback: Callback | None, params: dict[str, Any]) -> None:
    if callback is None:
        return
    if inspect.iscoroutinefunction(callback):
        await callback(params)
        return
    done = await asyncio.to_thread(callback, params)
    if isinstance(done, Awaitable):
        await done
