"""What a tool returned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pmcp_lab.client.catalogue.content import Content, Contents, beginning, bundle
from pmcp_lab.errors import LabError

if TYPE_CHECKING:
    import pandas as pd


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
    def content(self) -> Contents:
        """The content blocks."""
        blocks = self.raw.get("content")
        return Contents(Content(b) for b in (blocks if isinstance(blocks, list) else ()) if isinstance(b, Mapping))

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
        return "\n".join(block.text or "" for block in self.content if block.kind == "text")

    @property
    def value(self) -> Any:
        """The structured content when there is any (a sole `result` unwrapped); a text that is a JSON object or array
        as Python has it, and several of those as a list; else the text."""
        structured = self.structured
        if structured is not None:
            return structured["result"] if set(structured) == {"result"} else structured
        texts = [block.text or "" for block in self.content if block.kind == "text"]
        read = [_container(text) for text in texts]
        if None in read or not read:
            return self.text
        return read[0] if len(read) == 1 else read

    @property
    def json(self) -> Any:
        """The structured content, or else the text read as JSON.

        Raises:
            LabError: It has neither.
        """
        if not isinstance(value := self.value, str) or self.structured is not None:
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise LabError(f"{self._where} returned no JSON but {self.preview(80)!r}; see .text or .content") from None

    @property
    def image(self) -> Content:
        """The first image, which shows itself; its bytes are `.image.data`.

        Raises:
            LabError: There is none.
        """
        for block in self.content:
            if (block.mime_type or "").startswith("image/") and block.data is not None:
                return block
        raise LabError(f"{self._where} returned no image but {self.preview(80)!r}")

    @property
    def df(self) -> pd.DataFrame:
        """A pandas DataFrame: of a list of objects, of columns of equal length, of one such list by name, or of
        a single object.

        Raises:
            LabError: The result has another form.
        """
        import pandas as pd

        value = self.json
        if isinstance(value, Mapping) and len(value) == 1:
            inner = next(iter(value.values()))
            value = inner if isinstance(inner, list | Mapping) else value
        if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            return pd.DataFrame(value)
        if isinstance(value, Mapping):
            lengths = {len(column) for column in value.values() if isinstance(column, list)}
            if value and not lengths and not any(isinstance(each, Mapping) for each in value.values()):
                return pd.DataFrame([dict(value)])
            if len(lengths) == 1:
                return pd.DataFrame(dict(value))
        raise LabError(f"{self._where} returned no table (a list of objects or columns of one length); see .value")

    def preview(self, limit: int = 200) -> str:
        """One line for a table."""
        value = self.value
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        if not text and self.content:
            text = ", ".join(block.line() for block in self.content)
        text = " ".join(text.split())
        return text if len(text) <= limit else text[: limit - 1] + "…"

    def __repr__(self) -> str:
        head = "ToolResult(error) " if self.is_error else ""
        if self.structured is None:
            return head + beginning("\n".join(block.line() for block in self.content), ".text")
        value = self.value
        return head + beginning(value if isinstance(value, str) else repr(value), ".value")

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        seen = self.content
        if self.structured is not None and all(block.kind == "text" for block in seen):
            return {"text/plain": repr(self)}  # the text says the same again
        return bundle(seen, repr(self))


def _container(text: str) -> Any:
    """What a text of a JSON object or array says; None for any other. A number may be a name, and stays a text."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
