"""Puts widgets on an `mcp` server: one call binds a tool, its widget's resource and what is said of both.

`Apps` is the SDK's extension of the same name with widgets that are read from files, hosts of other kinds, a text for
hosts without any, and as middleware news of what was saved.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from mcp.server import apps as sdk
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver.resources import Resource
from mcp_types import CallToolRequestParams, CallToolResult, EmbeddedResource, TextContent, TextResourceContents
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import PrivateAttr

from pmcp_lab.apps.hosts import STANDARD, HostAdapter, host, merged
from pmcp_lab.apps.resource_subscriptions import SUBSCRIBE, UNSUBSCRIBE, Subscribers
from pmcp_lab.apps.widget_dir import Widget, Widgets
from pmcp_lab.errors import AppError, UnknownWidget
from pmcp_lab.protocol.durations import Duration, milliseconds
from pmcp_lab.protocol.modern import for_one
from pmcp_lab.protocol.ui import UI_EXTENSION, tool_ui

logger = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])
Request = ServerRequestContext[Any, Any]

Fallback = Callable[[dict[str, Any]], str]
"""Says in words what a tool's structured result is, for a host that shows no widgets."""


class _WidgetResource(Resource):
    """A widget among the server's resources, read anew each time."""

    _apps: Apps = PrivateAttr()

    async def read(self) -> str:
        widget = self._apps.widget(self.uri)
        # The SDK looks at it after the contents.
        self.meta = self._apps.resource_meta(widget)
        return STANDARD.document(widget)


class Apps(sdk.Apps):
    """MCP Apps on a server, from widgets in files.

    ```python
    apps = Apps(WidgetDir("widgets", app="chess"))

    @apps.tool("board")                      # shown by widgets/board.html, which is ui://chess/board
    def new_game() -> Position: ...

    @apps.tool("board", visibility=["app"])  # only the widget may call it
    def move(square: str) -> Position: ...

    server = MCPServer("chess", extensions=[apps], middleware=[apps])
    ```

    As an extension alone it serves what was there when the server was made. As middleware too, it lists what comes
    later, tells hosts of what was saved, and serves other kinds of hosts.

    A 2026-07-28 host is told how long it may keep what it is given. For lists and resources that is said with
    `MCPServer(…, cache_hints={"tools/list": CacheHint(ttl_ms=60_000, scope="public")})`, and is nothing without. What
    is made for the kind of host that asks is marked "private", whatever is said there.

    Args:
        widgets: Where widgets come from; each has a name of its own in their addresses.
        hosts: Kinds of hosts to serve besides standard ones: "chatgpt", "mcp-ui", or adapters.
        fresh: How long a host may keep a widget before it asks for it again (seconds, or "5m"). What is saved
            meanwhile is told at once to those who listen. None says of widgets what `cache_hints` say of resources.

    Raises:
        AppError: Two sources have one name, or there is no such kind of host.
        ValueError: `fresh` is no duration.
    """

    def __init__(
        self, *widgets: Widgets, hosts: Iterable[str | HostAdapter] = (), fresh: Duration | None = None
    ) -> None:
        super().__init__()
        self._fresh_ms = milliseconds(fresh, "fresh")
        others = [adapter for adapter in map(host, hosts) if adapter is not STANDARD]
        self.hosts: tuple[HostAdapter, ...] = (STANDARD, *others)
        self._sources: dict[str, Widgets] = {}
        self._added: set[str] = set()
        self._fallbacks: dict[str, Fallback] = {}
        self._uris: dict[str, str] = {}
        self._private: set[str] = set()
        self._subscribers = Subscribers(self._sources)
        for each in widgets:
            self.add_widgets(each)

    # --- what an author writes ---

    def add_widgets(self, widgets: Widgets) -> None:
        """Serve more widgets. Before the server is made.

        Raises:
            AppError: Others have the same name.
        """
        if widgets.app in self._sources:
            raise AppError(f"there are widgets of {widgets.app!r} already: give one of the two another app=…")
        self._sources[widgets.app] = widgets
        for name in widgets.names():
            self._add(widgets.read(name))

    def tool(
        self,
        widget: str | None = None,
        *,
        resource_uri: str | None = None,
        visibility: Sequence[sdk.Visibility] | None = None,
        fallback: Fallback | None = None,
        meta: dict[str, Any] | None = None,
        **tool_kwargs: Any,
    ) -> Callable[[F], F]:
        """Register a tool that a widget shows.

        Args:
            widget: Its name; "chess/board" or "ui://chess/board" where two apps have one of this name.
            resource_uri: Of a resource that was added by itself, instead of a widget.
            visibility: Who may call it: `["model", "app"]`, which is also the default, or `["app"]`.
            fallback: Makes the text for hosts without widgets from the structured result.
            meta: Further `_meta`.
            tool_kwargs: As for `MCPServer.tool`: name, title, description, annotations, icons, structured_output.

        Raises:
            UnknownWidget: There is none of this name; offers the nearest.
            AppError: What is said of the widget can't be used.
            ValueError: As the SDK's `Apps.tool`.
        """
        if callable(widget):
            raise TypeError("use @apps.tool(…) with the widget's name")
        if (widget is None) == (resource_uri is None):
            raise TypeError("a tool is shown by a widget or by resource_uri=: give one of them")
        if widget is not None:
            found = self.widget(widget)
            if found.problem is not None:
                raise AppError(found.problem)
            self._add(found)
            uri = found.uri
        else:
            assert resource_uri is not None
            uri = resource_uri
        extra = {key: value for key, value in self.tool_meta(uri, visibility).items() if key != "ui"}
        register = super().tool(resource_uri=uri, visibility=visibility, meta={**extra, **(meta or {})}, **tool_kwargs)

        def decorate(fn: F) -> F:
            name = str(tool_kwargs.get("name") or fn.__name__)
            self._uris[name] = uri
            if fallback is not None:
                self._fallbacks[name] = fallback
            return register(fn)

        return decorate

    def meta(self, widget: str, *, visibility: Sequence[sdk.Visibility] | None = None) -> dict[str, Any]:
        """`_meta` for a tool that is declared elsewhere, as with `@tasks.tool(meta=apps.meta("board"))`.

        Raises:
            UnknownWidget: There is none of this name.
        """
        found = self.widget(widget)
        self._add(found)
        return self.tool_meta(found.uri, visibility)

    # --- what is known ---

    def widget(self, name: str) -> Widget:
        """A widget by its name, with its app's name before it or without, or by its address.

        Raises:
            UnknownWidget: There is none of this name, or there are several.
        """
        app, _, stem = name.removeprefix("ui://").rpartition("/")
        if app:
            if app not in self._sources:
                known = [f"{each.app}/{there}" for each in self._sources.values() for there in each.names()]
                raise UnknownWidget(app, name, known)
            return self._sources[app].read(stem)
        holders = [each for each in self._sources.values() if stem.removesuffix(".html") in each.names()]
        if len(holders) > 1:
            names = " or ".join(repr(f"{each.app}/{stem}") for each in holders)
            raise AppError(f"several apps have a widget {stem!r}: say {names}")
        if not holders:
            known = [there for each in self._sources.values() for there in each.names()]
            raise UnknownWidget(", ".join(self._sources) or "(none)", name, known)
        return holders[0].read(stem)

    def tool_meta(self, uri: str, visibility: Sequence[str] | None = None) -> dict[str, Any]:
        """`_meta` of a tool, for all kinds of hosts that are served."""
        return merged([adapter.tool_meta(uri, visibility) for adapter in self.hosts])

    def resource_meta(self, widget: Widget) -> dict[str, Any] | None:
        """`_meta` of a widget's resource, for all kinds of hosts that are served."""
        return merged([adapter.resource_meta(widget.metadata) for adapter in self.hosts]) or None

    def _add(self, widget: Widget) -> None:
        if widget.uri in self._added:
            return
        self._added.add(widget.uri)
        resource = _WidgetResource(
            uri=widget.uri,
            name=widget.name,
            title=widget.metadata.title,
            description=widget.metadata.description,
            mime_type=STANDARD.mime_type,
            meta=self.resource_meta(widget),
        )
        resource._apps = self  # noqa: SLF001 - our own class
        self.add_resource(resource)

    def _host_of(self, ctx: Request) -> HostAdapter | None:
        """The kind of host that asks: by what it says it shows, or by its name; None for one without widgets."""
        capabilities = ctx.session.client_capabilities
        settings = (capabilities.extensions or {}).get(UI_EXTENSION) if capabilities is not None else None
        shown = settings.get("mimeTypes") if settings is not None else None
        for adapter in self.hosts:
            if isinstance(shown, list | tuple) and adapter.mime_type in shown:
                return adapter
        client = ctx.session.client_params
        name = client.client_info.name if client is not None else None
        return next((adapter for adapter in self.hosts if adapter.serves(name)), None)

    # --- serving ---

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: Request, call_next: CallNext
    ) -> HandlerResult:
        """Add what the host at hand needs to a result: a text for one without widgets, the widget for one of MCP-UI."""
        result = await call_next(ctx)
        if not isinstance(result, CallToolResult) or result.is_error or params.name not in self._uris:
            return result
        adapter = self._host_of(ctx)
        fallback = self._fallbacks.get(params.name)
        if fallback is not None and (adapter is None or adapter.embeds) and result.structured_content is not None:
            try:
                text = fallback(result.structured_content)
            except Exception:
                # The call did what it was for; what the SDK makes of the result is a text too.
                logger.exception("the fallback of tool %r raised", params.name)
            else:
                result = result.model_copy(update={"content": [TextContent(type="text", text=text)]})
        if adapter is not None and adapter.embeds:
            result = result.model_copy(update={"content": [*result.content, self._embedded(params.name, adapter)]})
        return result

    def _embedded(self, tool: str, adapter: HostAdapter) -> EmbeddedResource:
        contents = adapter.contents(self.widget(self._uris[tool]))
        return EmbeddedResource(type="resource", resource=TextResourceContents.model_validate(contents))

    async def __call__(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        """The middleware half."""
        match ctx.method:
            case "initialize":
                return self._subscribers.advertise(await call_next(ctx))
            case "notifications/initialized":
                await call_next(ctx)
                self._subscribers.add_session(ctx)
                return None
            case "subscriptions/listen":
                return await self._subscribers.listen(ctx, call_next)
            case method if method in (SUBSCRIBE, UNSUBSCRIBE):
                return await self._subscribers.subscribe(ctx, call_next)
            case "tools/list":
                return self._without_private(ctx, await call_next(ctx))
            case "resources/list":
                return self._listed(ctx, await call_next(ctx))
            case "resources/read":
                return await self._read(ctx, call_next)
            case _:
                return await call_next(ctx)

    def _without_private(self, ctx: Request, result: HandlerResult) -> HandlerResult:
        """Without the tools that only widgets may call, for a host that has none and would show them to its model."""
        if not isinstance(result, dict):
            return result
        if any(map(_private, result.get("tools") or [])):
            result = for_one(result)
        if self._host_of(ctx) is not None:
            return result
        return {**result, "tools": [tool for tool in result.get("tools") or [] if not _private(tool)]}

    def _listed(self, ctx: Request, result: HandlerResult) -> HandlerResult:
        """With the widgets that there are now."""
        if not isinstance(result, dict):
            return result
        if len(self.hosts) > 1:
            result = for_one(result)
        others = [item for item in result.get("resources") or [] if self._place(item.get("uri")) is None]
        adapter = self._host_of(ctx) or STANDARD
        return {**result, "resources": [*others, *(self._entry(each, adapter) for each in self._present())]}

    def _present(self) -> list[Widget]:
        return [source.read(name) for source in self._sources.values() for name in source.names()]

    def _entry(self, widget: Widget, adapter: HostAdapter) -> dict[str, Any]:
        entry = {
            "uri": widget.uri,
            "name": widget.name,
            "title": widget.metadata.title,
            "description": widget.metadata.description,
            "mimeType": adapter.mime_type,
            "_meta": self.resource_meta(widget),
        }
        return {key: value for key, value in entry.items() if value is not None}

    async def _read(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        uri = (ctx.params or {}).get("uri")
        place = self._place(uri)
        if place is None:
            return await call_next(ctx)
        source, name = place
        try:
            widget = source.read(name)
        except UnknownWidget:
            return await call_next(ctx)
        adapter = self._host_of(ctx) or STANDARD
        item = {**adapter.contents(widget), "uri": uri}
        if (meta := self.resource_meta(widget)) is not None:
            item["_meta"] = meta
        result: Mapping[str, Any] = {}
        if widget.uri in self._added:
            # What the SDK does with a request is done to this one too.
            answered = await call_next(replace(ctx, params={**(ctx.params or {}), "uri": widget.uri}))
            result = answered if isinstance(answered, dict) else {}
        elif ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
            result = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        if self._fresh_ms is not None and "cacheScope" in result:
            result = {**result, "ttlMs": self._fresh_ms, "cacheScope": "public"}
        if len(self.hosts) > 1:
            result = for_one(result)
        return {**result, "contents": [item]}

    def _place(self, uri: object) -> tuple[Widgets, str] | None:
        """Whose address it is, and of which widget; None for everybody else's."""
        if not isinstance(uri, str) or not uri.startswith("ui://"):
            return None
        app, _, name = uri.removeprefix("ui://").partition("/")
        return (self._sources[app], name) if app in self._sources else None


def _private(tool: Mapping[str, Any]) -> bool:
    """Whether only widgets may call it."""
    return "model" not in tool_ui(tool.get("_meta")).visibility
