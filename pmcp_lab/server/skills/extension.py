"""`Skills`: one object that is both an SDK extension and a middleware, as `Tasks` is.

As an extension it answers `skills/list`, `skills/get` and `resources/directory/read`; as a middleware it declares
itself in the handshake of 2025-11-25, where the SDK has no place for it, and puts the files among the resources.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, Protocol, Self, TypeVar, get_args

import anyio.to_thread
from mcp.server.context import CallNext, HandlerResult
from mcp.server.extension import Extension, MethodBinding
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    ListResourcesResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    RequestParams,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from pmcp_lab.errors import LabError, nearest
from pmcp_lab.protocol import legacy
from pmcp_lab.protocol import skills as wire
from pmcp_lab.protocol.durations import Duration, milliseconds
from pmcp_lab.protocol.skill_uri import SCHEME, InvalidSkill, SkillUri
from pmcp_lab.server.lowlevel import add_methods
from pmcp_lab.server.request import Request, is_modern
from pmcp_lab.server.skills.folder import SkillFolder
from pmcp_lab.server.skills.library import Library, Shelf, Source, Written
from pmcp_lab.server.skills.skill import PlacedSkill, Skill

logger = logging.getLogger(__name__)

S = TypeVar("S", bound="MCPServer[Any] | Server[Any]")
T = TypeVar("T")

VERSIONS: Final = frozenset({legacy.VERSION, *MODERN_PROTOCOL_VERSIONS})

_READ: Final = "pmcp_lab/skills/read"
"""Where the middleware sends `resources/read` of a skill's file, so that the SDK gives the answer its envelope."""

_NO_MIDDLEWARE: Final = (
    "this server can't serve the files of its skills: "
    "pass the same object as middleware too, MCPServer(..., extensions=[skills], middleware=[skills])"
)

_Part = Literal["none", "middleware", "read"]

_PART: ContextVar[_Part] = ContextVar("pmcp_lab_skills", default="none")
"""What the middleware has to do with the request that is answered."""


class _GetParams(RequestParams):
    uri: str


class _DirectoryParams(PaginatedRequestParams):
    uri: str


class OffersSkill(Protocol):
    """What can be told as a skill, such as a `SequentialWorkflow`."""

    def as_skill(self) -> Skill: ...


class Skills(Extension):
    """Skills on an MCP server, for 2025-11-25 and 2026-07-28 clients at once (SEP-2640).

    ```python
    skills = Skills("skills/", release)

    server = MCPServer("lab", extensions=[skills], middleware=[skills])
    ```

    A folder is a skill, if it has a SKILL.md, or has skills in it at any depth; `skills/billing/refunds/SKILL.md` is
    `skill://billing/refunds/SKILL.md`. What is in it is served byte for byte, but for names that begin with a dot and
    `__pycache__`. Symbolic links, pipes, names that no URI has, and what exceeds 512 files or 16 MiB, are refused.

    Folders are looked at when something is asked, large ones once a second at most: a skill whose files changed is
    read again as a whole, a new one is there, one that is gone is not. A skill that can't be served any more stays as
    it was, and the log says why. Clients notice by `skills/get`, or when a file is not what its entry says; nothing is
    sent to them.

    Args:
        sources: Folders, `Skill`s, and what can be told as one: a `SequentialWorkflow`.
        prefix: What comes before the skills' own paths in their URIs, such as "acme" or "acme/finance".
        ttl: For how long clients may keep what they are answered: seconds, text such as "5m", or a `timedelta`. The
            default has them ask each time.
        cache_scope: "public" where it is the same for everybody who may ask, so that proxies may keep it.
        page_size: Entries of one answer to `skills/list`, and ten times as many children of one to
            `resources/directory/read`.

    Raises:
        SkillInvalid: A skill can't be served; every problem of every skill is named.
        TypeError, ValueError: An argument can't be used.
    """

    identifier = wire.EXTENSION

    def __init__(
        self,
        *sources: str | os.PathLike[str] | Skill | OffersSkill,
        prefix: str = "",
        ttl: Duration = 0,
        cache_scope: wire.CacheScope = "private",
        page_size: int = 50,
    ) -> None:
        if cache_scope not in get_args(wire.CacheScope):
            raise ValueError(f'cache_scope is "public" or "private", not {cache_scope!r}')
        if type(page_size) is not int or page_size < 1:
            raise ValueError(f"page_size is a number of at least 1, not {page_size!r}")
        self._caching = wire.Caching(milliseconds(ttl, "ttl"), cache_scope)
        self._page_size = page_size
        self._library = Library()
        self._extends = False
        self.add(*sources, prefix=prefix)

    def add(self, *sources: str | os.PathLike[str] | Skill | OffersSkill, prefix: str = "") -> Self:
        """Serve more skills, also while the server runs. Arguments and errors as above."""
        above = _prefix(prefix)
        found: list[Source] = []
        for source in sources:
            if isinstance(source, str | os.PathLike):
                # Links on the way to it stay: what is deployed anew is often a link that is changed.
                found.append(SkillFolder(Path(os.path.normpath(Path(source).expanduser().absolute())), above))
                continue
            skill = source if isinstance(source, Skill) else _told(source)
            found.append(Written([PlacedSkill.below(above, skill)]))
        self._library.add(found)
        return self

    def entries(self) -> list[wire.SkillEntry]:
        """The skills as they are now, in the order of their URIs."""
        return list(self._library.look(fresh=True).entries.values())

    def attach(self, server: S) -> S:
        """Connect with a server: a lowlevel `Server`, or an `MCPServer` built with `extensions=[skills]`.

        Raises:
            LabError: A lowlevel server answers one of the methods already, or the other was built without.
        """
        if isinstance(server, Server):
            self._extend(server)
        elif not self._extends:
            raise LabError(
                f"server {server.name!r} was built without these skills: MCPServer(..., extensions=[skills])"
            )
        if not any(present is self for present in server.middleware):
            server.middleware.append(self)
        return server

    # --- the extension ---

    def settings(self) -> dict[str, Any]:
        return {wire.DIRECTORY_READ: True}

    def methods(self) -> Sequence[MethodBinding]:
        self._extends = True
        return [
            MethodBinding(wire.LIST, PaginatedRequestParams, self._list, VERSIONS),
            MethodBinding(wire.GET, _GetParams, self._get, VERSIONS),
            MethodBinding(wire.READ_DIRECTORY, _DirectoryParams, self._read_directory, VERSIONS),
            MethodBinding(_READ, ReadResourceRequestParams, self._read),
        ]

    async def _list(self, ctx: Request, params: PaginatedRequestParams) -> HandlerResult:
        shelf = await self._look()
        page, cursor = _page(shelf.entries, params.cursor, self._page_size)
        return wire.encode_listed(page, next_cursor=cursor, caching=self._caching_for(ctx))

    async def _get(self, ctx: Request, params: _GetParams) -> HandlerResult:
        shelf = await self._look()
        entry = shelf.entries.get(_parsed(params.uri))
        if entry is None:
            known = [each.uri for each in shelf.entries.values()]
            raise _unknown(f"there is no skill {params.uri!r}.{nearest(params.uri, known)}", params.uri)
        return wire.encode_got(entry, caching=self._caching_for(ctx))

    async def _read_directory(self, ctx: Request, params: _DirectoryParams) -> HandlerResult:
        shelf, uri = await self._look(), _parsed(params.uri)
        children = shelf.directories.get(uri)
        if children is None:
            what = "is a file" if uri in shelf.files else "is no directory of a skill"
            raise _unknown(f"{params.uri!r} {what}", params.uri)
        items = {SkillUri.parse(child.uri): child for child in children}
        page, cursor = _page(items, params.cursor, self._page_size * 10)
        return wire.encode_directory(page, next_cursor=cursor, caching=self._caching_for(ctx))

    async def _read(self, ctx: Request, params: ReadResourceRequestParams) -> HandlerResult:
        if _PART.get() != "read":
            raise MCPError(METHOD_NOT_FOUND, "Method not found", _READ)
        shelf, uri = await self._look(), _parsed(params.uri)
        file = shelf.files.get(uri)
        if file is None:
            what = "is a directory, and no file" if uri in shelf.directories else "is no file of a skill"
            raise _unknown(f"{params.uri!r} {what}", params.uri)
        content = wire.encode_content(params.uri, file.data, file.mime_type)
        caching = self._caching_for(ctx)
        return {"contents": [content]} | (caching.encode() if caching else {})

    def _caching_for(self, ctx: Request) -> wire.Caching | None:
        return self._caching if is_modern(ctx) else None

    async def _look(self) -> Shelf:
        if _PART.get() == "none":
            logger.error(_NO_MIDDLEWARE)
            raise MCPError(INTERNAL_ERROR, _NO_MIDDLEWARE)
        recent = self._library.recent()
        return recent if recent is not None else await anyio.to_thread.run_sync(self._library.look)

    # --- the middleware ---

    async def __call__(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        """The middleware half."""
        token = _PART.set("middleware")
        try:
            match ctx.method:
                case "initialize":
                    return self._declared(await call_next(ctx))
                case "resources/list" if self._extends:
                    return await self._listed(await call_next(ctx))
                case "resources/read" if self._extends and await self._serves(ctx):
                    _PART.set("read")
                    return await call_next(replace(ctx, method=_READ))
                case _:
                    return await call_next(ctx)
        finally:
            _PART.reset(token)

    def _declared(self, result: HandlerResult) -> HandlerResult:
        """`capabilities.extensions`, which the SDK leaves out of a handshake (SEP-2133)."""
        if not self._extends or not isinstance(result, dict) or result.get("protocolVersion") != legacy.VERSION:
            return result
        capabilities = dict(result.get("capabilities") or {})
        capabilities["extensions"] = {**(capabilities.get("extensions") or {}), self.identifier: self.settings()}
        return {**result, "capabilities": capabilities}

    async def _listed(self, result: HandlerResult) -> HandlerResult:
        """Each SKILL.md, after the server's own resources."""
        if not isinstance(result, dict) or result.get("nextCursor") is not None:
            return result
        own = list(result.get("resources") or ())
        known = {each.get("uri") for each in own if isinstance(each, dict)}
        entries = (await self._look()).entries.values()
        return {**result, "resources": [*own, *(_resource(each) for each in entries if each.uri not in known)]}

    async def _serves(self, ctx: Request) -> bool:
        uri = (ctx.params or {}).get("uri")
        if not isinstance(uri, str) or not uri.lower().startswith(f"{SCHEME}:"):
            return False
        try:
            parsed = SkillUri.parse(uri)
        except InvalidSkill:
            return False
        return (await self._look()).covers(parsed)

    def _extend(self, server: Server[Any]) -> None:
        add_methods(server, self, "skills")
        if server.get_request_handler("resources/list") is None:
            server.add_request_handler("resources/list", PaginatedRequestParams, _no_resources)
        if server.get_request_handler("resources/read") is None:
            server.add_request_handler("resources/read", ReadResourceRequestParams, _no_resource)


def _told(source: OffersSkill) -> Skill:
    tell = getattr(source, "as_skill", None)
    skill = tell() if callable(tell) else None
    if not isinstance(skill, Skill):
        raise TypeError(
            f"a skill comes from a folder, a Skill, or what has as_skill(), such as a SequentialWorkflow; not from a "
            f"{type(source).__name__}"
        )
    return skill


def _prefix(prefix: str) -> tuple[str, ...]:
    if not prefix:
        return ()
    try:
        return SkillUri(SCHEME, ()).below(prefix).segments
    except InvalidSkill as error:
        raise ValueError(f"prefix: {error}") from None


def _resource(entry: wire.SkillEntry) -> dict[str, Any]:
    return {
        "uri": entry.uri,
        "name": entry.name,
        "description": entry.description,
        "mimeType": wire.SKILL_TYPE,
    }


def _parsed(uri: str) -> SkillUri:
    try:
        return SkillUri.parse(uri)
    except InvalidSkill as error:
        raise _unknown(str(error), uri[:1000]) from None


def _unknown(message: str, uri: str) -> MCPError:
    return MCPError(INVALID_PARAMS, message, {"uri": uri})


def _page(items: dict[SkillUri, T], cursor: str | None, size: int) -> tuple[list[T], str | None]:
    """Some of them, and the cursor of the next ones: it says after which it goes on, so that none is missed when others
    come or go meanwhile.
    """
    after = () if cursor is None else _after(cursor)
    rest = sorted((uri for uri in items if uri.segments > after), key=lambda uri: uri.segments)
    page = rest[:size]
    following = base64.urlsafe_b64encode("/".join(page[-1].segments).encode()).decode() if len(rest) > size else None
    return [items[uri] for uri in page], following


def _after(cursor: str) -> tuple[str, ...]:
    try:
        path = base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        path = ""
    if not path:
        raise MCPError(INVALID_PARAMS, f"{cursor[:80]!r} is no cursor of this server")
    return tuple(path.split("/"))


async def _no_resources(_ctx: Request, _params: PaginatedRequestParams) -> HandlerResult:
    return ListResourcesResult(resources=[])


async def _no_resource(_ctx: Request, params: ReadResourceRequestParams) -> ReadResourceResult:
    raise _unknown(f"there is no resource {params.uri!r}", str(params.uri))
