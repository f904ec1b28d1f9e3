"""MCP Apps metadata (`_meta.ui`, ext-apps 2026-01-26) and the Content Security Policy computed from it.

Everything here comes from an untrusted server: what is malformed is dropped, what is missing is denied.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pmcp_lab.protocol.loose import as_mapping

UI_EXTENSION = "io.modelcontextprotocol/ui"
MIME_TYPE = "text/html;profile=mcp-app"
FLAT_URI = "ui/resourceUri"
"""Deprecated flat `_meta` key that early servers set instead of `ui.resourceUri`."""

BRIDGE_MARK = "data-pmcp-bridge"
"""Attribute of the script that `pmcp_lab.apps` gives to widgets without a bridge."""

PERMISSIONS = {
    "camera": "camera",
    "microphone": "microphone",
    "geolocation": "geolocation",
    "clipboardWrite": "clipboard-write",
}
"""Permission name in `_meta.ui.permissions` → permissions-policy feature."""

_HOST = re.compile(r"(?:\*\.(?=.+\.))?[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?", re.IGNORECASE | re.ASCII)
"""A wildcard stands for the hosts of a domain, not for those of a whole `com`."""
_SOURCE = re.compile(r"(?P<scheme>https?|wss?)://(?P<host>[^/:?#\s]+)(?P<port>:\d{1,5})?/?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ToolUi:
    """How a tool is shown.

    Args:
        resource_uri: The `ui://` resource that renders it, or None.
        visibility: Who may call it: "model" (people and code included) and/or "app".
    """

    resource_uri: str | None = None
    visibility: frozenset[str] = frozenset({"model", "app"})


@dataclass(frozen=True, kw_only=True)
class Csp:
    """The domains a UI resource declares, after what is not a plain origin was dropped into `dropped`."""

    connect: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()
    base: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ResourceUi:
    """`_meta.ui` of a UI resource."""

    csp: Csp = field(default_factory=Csp)
    permissions: tuple[str, ...] = ()
    prefers_border: bool | None = None


@dataclass(frozen=True, kw_only=True)
class AppGrants:
    """What the apps of a server may have without asking, of what they declare.

    Args:
        domains: Origins as an app declares them (`https://cdn.example`), or True for all.
        permissions: Of `camera`, `microphone`, `geolocation`, `clipboardWrite`.
        unsafe_eval: Let scripts make code from text (`eval`, `new Function`), which some libraries need.
        sandbox_origin: Where a sandbox proxy as of ext-apps is served, on an origin of its own that is given to
            nothing else; None uses an opaque origin, which needs no server.

    Raises:
        ValueError: A permission or an address is none.
    """

    domains: bool | frozenset[str] = frozenset()
    permissions: frozenset[str] = frozenset()
    unsafe_eval: bool = False
    sandbox_origin: str | None = None

    def __post_init__(self) -> None:
        if unknown := sorted(self.permissions - PERMISSIONS.keys()):
            raise ValueError(f"{unknown[0]!r} is no permission of an app; there are {', '.join(PERMISSIONS)}")
        if not isinstance(self.domains, bool) and (bad := split_origins(sorted(self.domains))[1]):
            raise ValueError(f"{bad[0]!r} is no origin such as https://cdn.example")
        if self.sandbox_origin is not None and not re.match(r"https?://[^/\s\"'<>]+", self.sandbox_origin):
            raise ValueError(f"{self.sandbox_origin!r} is no http(s) address")

    def covers(self, origin: str) -> bool:
        return self.domains if isinstance(self.domains, bool) else origin in self.domains


def tool_ui(meta: Mapping[str, Any] | None) -> ToolUi:
    """Read a tool's `_meta`: `ui.resourceUri` or the flat key, `ui.visibility`."""
    meta = meta or {}
    ui = meta.get("ui")
    ui = ui if isinstance(ui, Mapping) else {}
    uri = ui.get("resourceUri", meta.get(FLAT_URI))
    visibility = ui.get("visibility")
    seen = frozenset(map(str, visibility)) if isinstance(visibility, list | tuple) else ToolUi.visibility
    return ToolUi(resource_uri=uri if isinstance(uri, str) and uri.startswith("ui://") else None, visibility=seen)


def question_app(params: Mapping[str, Any]) -> str | None:
    """The `ui://` resource that would ask a question, of the params of `elicitation/create` (SEP-3118, a draft)."""
    uri = as_mapping(as_mapping(params.get("_meta")).get("ui")).get("resourceUri")
    return uri if isinstance(uri, str) and uri.startswith("ui://") else None


def read_csp(declared: object, connect: str, resources: str, frames: str, base: str) -> Csp:
    """The domains that are declared under these names."""
    known = declared if isinstance(declared, Mapping) else {}
    dropped: list[str] = []

    def origins(key: str) -> tuple[str, ...]:
        value = known.get(key)
        kept, bad = split_origins(value if isinstance(value, list | tuple) else ())
        dropped.extend(bad)
        return kept

    read = {"connect": connect, "resources": resources, "frames": frames, "base": base}
    found = {name: origins(key) for name, key in read.items()}
    return Csp(**found, dropped=tuple(dropped))


def resource_ui(*metas: Mapping[str, Any] | None) -> ResourceUi:
    """Read a resource's `_meta`; the first of several that has a `ui` entry wins (content before listing)."""
    ui: Mapping[str, Any] = next((meta["ui"] for meta in metas if meta and isinstance(meta.get("ui"), Mapping)), {})
    permissions = ui.get("permissions")
    names = permissions.keys() if isinstance(permissions, Mapping) else ()
    border = ui.get("prefersBorder")
    return ResourceUi(
        csp=read_csp(ui.get("csp"), "connectDomains", "resourceDomains", "frameDomains", "baseUriDomains"),
        permissions=tuple(name for name in PERMISSIONS if name in names),
        prefers_border=border if isinstance(border, bool) else None,
    )


def split_origins(values: Iterable[object]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Declared domains that are plain origins (scheme, host, optional port and leading wildcard), and the rest.

    Loopback and other addresses of this machine are refused: an app must not reach what its author can't.
    """
    kept: list[str] = []
    dropped: list[str] = []
    for value in values:
        match = _SOURCE.fullmatch(value) if isinstance(value, str) else None
        if match is None or not _HOST.fullmatch(match["host"]) or _local(match["host"]):
            dropped.append(str(value)[:200])
        else:
            origin = f"{match['scheme'].lower()}://{match['host'].lower()}{match['port'] or ''}"
            kept.append(origin)
    return tuple(dict.fromkeys(kept)), tuple(dropped)


def _local(host: str) -> bool:
    host = host.lower().rstrip(".").removeprefix("*.")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # Browsers read 127.1, 0x7f000001 and 2130706433 as addresses too.
        return re.fullmatch(r"(?:0x[0-9a-f]+|\d+)(?:\.(?:0x[0-9a-f]+|\d+))*", host) is not None
    return address.is_loopback or address.is_unspecified or address.is_link_local


def content_security_policy(csp: Csp, *, unsafe_eval: bool = False) -> str:
    """The policy of an app's frame: nothing but inline code and what was declared.

    `frame-src` of the outer document also governs where the app may navigate itself: 'none' keeps it in place.
    """

    def sources(*words: str, more: tuple[str, ...] = ()) -> str:
        return " ".join((*words, *more)) or "'none'"

    # With the sample, a library that only tries whether it may make code from text is told from one that has to.
    script = ("'report-sample'", "'unsafe-inline'", *(("'unsafe-eval'",) if unsafe_eval else ()), "blob:", "data:")
    directives = {
        "default-src": "'none'",
        "script-src": sources(*script, more=csp.resources),
        "style-src": sources("'unsafe-inline'", "blob:", "data:", more=csp.resources),
        "img-src": sources("data:", "blob:", more=csp.resources),
        "font-src": sources("data:", "blob:", more=csp.resources),
        "media-src": sources("data:", "blob:", more=csp.resources),
        "connect-src": sources(more=csp.connect),
        "worker-src": "blob: data:",
        "frame-src": sources(more=csp.frames),
        "object-src": "'none'",
        "base-uri": sources(more=csp.base),
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in directives.items())
