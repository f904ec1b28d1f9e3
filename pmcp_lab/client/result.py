"""What a tool returned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class ToolResult:
    """A `CallToolResult`.

    Args:
        raw: The result as it came over the wire.
        where: `server.tool`, for messages.
    """

    def __init__(self, raw: Mapping[str, Any], where: str) -> None:
        self.raw = dict(raw)
        self._where = where

    @property
    def content(self) -> list[dict[str, Any]]:
        return list(self.raw.get("content") or ())

    @property
    def structured(self) -> dict[str, Any] | None:
        value = self.raw.get("structuredContent")
        return dict(value) if isinstance(value, Mapping) else None

    @property
    def is_error(self) -> bool:
        return bool(self.raw.get("isError"))

    @property
    def text(self) -> str:
        """The text blocks, joined by newlines."""
        return "\n".join(str(block.get("text", "")) for block in self.content if block.get("type") == "text")

    @property
    def value(self) -> Any:
        """The structured content when there is any (a sole `result` unwrapped), else the text."""
        structured = self.structured
        if structured is None:
            return self.text
        return structured["result"] if set(structured) == {"result"} else structured

    def preview(self, limit: int = 200) -> str:
        """One line for a table."""
        value = self.value
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        if not text and self.content:
            text = ", ".join(str(block.get("type")) for block in self.content)
        text = " ".join(text.split())
        return text if len(text) <= limit else text[: limit - 1] + "…"

    def __repr__(self) -> str:
        head = "ToolResult(error) " if self.is_error else ""
        value = self.value
        if not value and self.content:
            return head + ", ".join(f"<{block.get('type')}>" for block in self.content)
        return head + (value if isinstance(value, str) else repr(value))
