"""What this host tells an app that it can do (`hostCapabilities`, MCP Apps 2026-01-26): nothing that is not built."""

from __future__ import annotations

from typing import Any

_BLOCKS = ("text", "image", "audio", "resource", "resourceLink")
"""Kinds of content blocks; whatever they hold reaches `App.messages` and `App.context` whole."""


def offered(*, sampling: bool, sandbox: dict[str, Any] | None = None) -> dict[str, Any]:
    """`hostCapabilities`.

    Args:
        sampling: Whether somebody makes completions. They are made without tools.
        sandbox: What the app was granted, once it is known.
    """
    blocks: dict[str, Any] = {name: {} for name in _BLOCKS}
    return {
        "serverTools": {"listChanged": True},
        "serverResources": {"listChanged": True},
        "openLinks": {},
        "downloadFile": {},
        "logging": {},
        "message": blocks,
        "updateModelContext": {**blocks, "structuredContent": {}},
        **({"sampling": {}} if sampling else {}),
        **({} if sandbox is None else {"sandbox": sandbox}),
    }
