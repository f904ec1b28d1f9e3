"""What an author says of a widget (title, CSP, permissions, border), in a side file or in its first comment.

What a server of others says of its widgets is read in `protocol.ui`, which drops what is malformed; here it is an
error, because its author is the one who reads it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pmcp_lab.errors import AppError, nearest
from pmcp_lab.protocol.ui import PERMISSIONS, split_origins

SIDE_FILES = (".yaml", ".yml", ".json")
"""Endings of the file beside `board.html` that describes it; the first that is there counts."""

_FRONT_MATTER = re.compile(
    r"\A\ufeff?\s*(?:<!doctype[^>]*>\s*)?<!--\s*mcp-app\b[ \t]*\r?\n(?P<text>.*?)-->", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True, kw_only=True)
class WidgetCsp:
    """The origins a widget uses, such as `https://api.example` or `https://*.cdn.example`.

    Args:
        connect: Where it fetches from (`https:` and `wss:`).
        resources: Where its scripts, styles, images and fonts come from.
        frames: What it shows in frames.
        base_uri: What a `<base>` of it may point to.
        redirect: Where links of it may lead without a question (ChatGPT alone asks for these).
    """

    connect: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()
    base_uri: tuple[str, ...] = ()
    redirect: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class WidgetMetadata:
    """What is said of a widget besides its document.

    Args:
        permissions: Of `camera`, `microphone`, `geolocation`, `clipboardWrite`.
        border: Whether the host should draw a border; None leaves it to the host.
        domain: An origin of its own for the widget, in the form a host asks for.
    """

    title: str | None = None
    description: str | None = None
    csp: WidgetCsp = field(default_factory=WidgetCsp)
    permissions: tuple[str, ...] = ()
    border: bool | None = None
    domain: str | None = None


_KEYS = {name: name for name in WidgetMetadata.__dataclass_fields__} | {"prefersBorder": "border"}
_CSP_KEYS = {name: name for name in WidgetCsp.__dataclass_fields__} | {
    "connectDomains": "connect",
    "resourceDomains": "resources",
    "frameDomains": "frames",
    "baseUriDomains": "base_uri",
}
"""Both spellings are taken: the one of this package and the one of the wire."""


def front_matter(html: str) -> str | None:
    """The YAML in the comment `<!-- mcp-app … -->` that a document begins with, after its doctype if it has one."""
    match = _FRONT_MATTER.match(html)
    return match["text"] if match else None


def parse_metadata(text: str, where: str) -> WidgetMetadata:
    """Metadata written as YAML or JSON.

    Args:
        where: The file, for the error.

    Raises:
        AppError: It can't be read, or says what no host could use. One line.
    """
    import yaml

    try:
        said = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise AppError(f"{where}: the metadata is no YAML: {' '.join(str(error).split())}") from None
    if said is None:
        return WidgetMetadata()
    if not isinstance(said, Mapping):
        raise AppError(f"{where}: the metadata must be names with values, not a {type(said).__name__}")
    return metadata(said, where)


def metadata(said: Mapping[str, Any], where: str) -> WidgetMetadata:
    """The same of what is a mapping already.

    Raises:
        AppError: See `parse_metadata`.
    """
    known = _named(said, _KEYS, where)
    for name in ("title", "description", "domain"):
        if known.get(name) is not None and not isinstance(known[name], str):
            raise AppError(f"{where}: {name} must be text, not {known[name]!r}")
    if not isinstance(known.get("border"), bool | None):
        raise AppError(f"{where}: border must be true or false, not {known['border']!r}")
    if "permissions" in known:
        known["permissions"] = _permissions(known["permissions"], where)
    if "csp" in known:
        known["csp"] = _csp(known["csp"], where)
    return WidgetMetadata(**known)


def _named(said: Mapping[str, Any], keys: Mapping[str, str], where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in said.items():
        if key not in keys:
            raise AppError(f"{where}: {key!r} is nothing that can be said of a widget.{nearest(str(key), keys)}")
        if keys[key] in found:
            raise AppError(f"{where}: {keys[key]!r} is said twice")
        found[keys[key]] = value
    return found


def _permissions(said: Any, where: str) -> tuple[str, ...]:
    # The wire has an object whose keys count; a list is what people write.
    names = list(said) if isinstance(said, list | tuple | Mapping) else [said]
    for name in names:
        if name not in PERMISSIONS:
            raise AppError(f"{where}: {name!r} is no permission of an app.{nearest(str(name), PERMISSIONS)}")
    return tuple(dict.fromkeys(names))


def _csp(said: Any, where: str) -> WidgetCsp:
    if not isinstance(said, Mapping):
        raise AppError(f"{where}: csp must be names with lists of origins, not {said!r}")
    policy: dict[str, tuple[str, ...]] = {}
    for name, values in _named(said, _CSP_KEYS, f"{where}: csp").items():
        origins = [values] if isinstance(values, str) else values
        if not isinstance(origins, list | tuple):
            raise AppError(f"{where}: csp {name} must be a list of origins, not {values!r}")
        kept, bad = split_origins(origins)
        if bad:
            raise AppError(
                f"{where}: csp {name}: {bad[0]!r} is no origin such as https://api.example "
                "(scheme and host, perhaps *. before it and a port behind; no path, no address of this machine)"
            )
        policy[name] = kept
    return WidgetCsp(**policy)
