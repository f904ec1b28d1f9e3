"""A UI resource as its server sends it, read from the contents of `resources/read`. No I/O."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pmcp_lab.errors import AppError
from pmcp_lab.protocol.ui import BRIDGE_MARK, ResourceUi

OLD_TYPES = frozenset({"text/html+mcp", "text/html+skybridge", "text/html"})
"""What widgets were served as before `text/html;profile=mcp-app`; they are shown too, and get `window.mcpBridge`."""


@dataclass(frozen=True)
class UiResource:
    """The document of an app, and what it asks for."""

    uri: str
    name: str
    html: str
    mime_type: str
    ui: ResourceUi

    @cached_property
    def hash(self) -> str:
        return hashlib.blake2b(self.html.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    @property
    def old(self) -> bool:
        """Whether it was written for `window.mcpBridge`, and has none of its own: two would shake hands twice."""
        return BRIDGE_MARK not in self.html and (plain(self.mime_type) in OLD_TYPES or "mcpBridge" in self.html)


def document(content: Mapping[str, Any], where: str) -> str:
    """The HTML of an item of `resources/read`.

    Args:
        where: What it is, for the error.

    Raises:
        AppError: There is none.
    """
    page = content.get("text")
    if isinstance(page, str):
        return page
    try:
        return base64.b64decode(content.get("blob") or "", validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, TypeError):
        raise AppError(f"{where} has neither text nor a readable blob.") from None


def plain(mime_type: str) -> str:
    return mime_type.replace(" ", "").lower()
