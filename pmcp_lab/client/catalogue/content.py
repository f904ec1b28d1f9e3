"""One piece of what a server sends to be looked at: text, an image, sound, a resource or a link to one.

Results, prompts and resources are made of these. Nothing in them is trusted: text is shown as text, and a
type that the browser might take for a page is not handed to it.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

_MEDIA = re.compile(r"(?:image|audio)/[a-z0-9][a-z0-9.+-]*")
SHOWN: Final = 4000
"""Characters of a text that a cell shows."""
_NATIVE = frozenset({"image/png", "image/jpeg", "image/gif"})
"""What every front end shows by itself."""


class Content:
    """A content block of a tool result or prompt, or the contents of a resource.

    Args:
        raw: The block as it came; `Content.of_resource` makes one from an item of `resources/read`.
    """

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = dict(raw)

    @classmethod
    def of_resource(cls, contents: Mapping[str, Any]) -> Content:
        return cls({"type": "resource", "resource": dict(contents)})

    @property
    def kind(self) -> str:
        """`text`, `image`, `audio`, `resource`, `resource_link`, or what else the server calls it."""
        return str(self.raw.get("type"))

    @property
    def resource(self) -> dict[str, Any]:
        """The contents of an embedded resource as they came; empty for other kinds."""
        inner = self.raw.get("resource")
        return dict(inner) if isinstance(inner, Mapping) else {}

    @property
    def _body(self) -> Mapping[str, Any]:
        return self.resource or self.raw

    @property
    def text(self) -> str | None:
        """The text, of a text block or of a resource that is text."""
        text = self._body.get("text")
        return text if isinstance(text, str) else None

    @property
    def data(self) -> bytes | None:
        """The bytes of an image, of sound or of a binary resource; None when there are none, or not readable."""
        encoded = self._body.get("data", self._body.get("blob"))
        if not isinstance(encoded, str):
            return None
        try:
            return base64.b64decode(encoded, validate=True)
        except ValueError:
            return None

    @property
    def mime_type(self) -> str | None:
        mime = self._body.get("mimeType")
        return mime.strip().lower() if isinstance(mime, str) else None

    @property
    def uri(self) -> str | None:
        uri = self._body.get("uri")
        return uri if isinstance(uri, str) else None

    @property
    def name(self) -> str:
        """What to call it: its title, name or address."""
        return str(self._body.get("title") or self._body.get("name") or self.uri or self.kind)

    def save(self, path: Any) -> None:
        """Write the bytes, or the text as UTF-8, to a file."""
        from pathlib import Path

        data = self.data
        Path(path).write_bytes(data if data is not None else (self.text or "").encode())

    @property
    def _media(self) -> str | None:
        """The MIME type when it is one that an <img> or <audio> takes."""
        mime = self.mime_type
        return mime if mime is not None and _MEDIA.fullmatch(mime) and self.data is not None else None

    def line(self) -> str:
        """One line that says what it is."""
        if self.kind == "text":
            return self.text or ""
        data, text = self.data, self.text
        size = size_text(len(data)) if data is not None else size_text(len(text.encode())) if text is not None else ""
        words = (self.kind.replace("_", " "), self.uri or "", self.mime_type or "", size)
        return f"<{' '.join(word for word in words if word)}>"

    def as_html(self) -> str:
        """It as HTML of our making, with what came from the server escaped."""
        media = self._media
        if media is not None:
            encoded = base64.b64encode(self.data or b"").decode()
            if media.startswith("audio/"):
                return f'<audio controls src="data:{media};base64,{encoded}"></audio>'
            name = html.escape(self.uri or f"{self.kind} from the server", quote=True)
            return f'<img alt="{name}" style="max-width:100%" src="data:{media};base64,{encoded}">'
        if self.kind == "resource_link":
            return _link(self)
        text = self.text
        if text is None:
            return f"<p><code>{html.escape(self.line())}</code></p>"
        shown = html.escape(beginning(text, ".text"))
        caption = f"<figcaption><code>{html.escape(self.uri)}</code></figcaption>" if self.uri else ""
        return f'<figure style="margin:0">{caption}<pre style="white-space:pre-wrap">{shown}</pre></figure>'

    def __repr__(self) -> str:
        return beginning(self.text, ".text") if self.text is not None else self.line()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        if self._media in _NATIVE:
            return {"text/plain": repr(self), str(self._media): base64.b64encode(self.data or b"").decode()}
        if self.text is not None and not self.uri:
            return {"text/plain": repr(self)}
        return {"text/plain": repr(self), "text/html": self.as_html()}


class Contents(list[Content]):
    """Several pieces, shown one below the other."""

    @property
    def text(self) -> str:
        """The texts, joined by newlines."""
        return "\n".join(item.text for item in self if item.text is not None)

    @property
    def data(self) -> bytes | None:
        """The bytes of the first piece that has any."""
        return next((item.data for item in self if item.data is not None), None)

    @property
    def json(self) -> Any:
        """The text read as JSON.

        Raises:
            ValueError: It is none.
        """
        return json.loads(self.text)

    def __repr__(self) -> str:
        return beginning("\n".join(map(repr, self)), ".text")

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return bundle(self, repr(self))


def bundle(items: Iterable[Content], plain: str) -> dict[str, Any]:
    """How several pieces are shown: as plain text when that is all they are."""
    items = list(items)
    if len(items) == 1:
        return {**items[0]._repr_mimebundle_(), "text/plain": plain}
    if all(item.kind == "text" for item in items):
        return {"text/plain": plain}
    return {"text/plain": plain, "text/html": "".join(item.as_html() for item in items)}


def _link(item: Content) -> str:
    uri = item.uri or ""
    about = " · ".join(
        html.escape(str(part)) for part in (item.mime_type, item.raw.get("description")) if isinstance(part, str)
    )
    shown = f"<code>{html.escape(uri)}</code>"
    if uri.startswith(("https://", "http://")):
        shown = f'<a href="{html.escape(uri, quote=True)}" target="_blank" rel="noopener noreferrer">{shown}</a>'
    return f"<p>{html.escape(item.name)}: {shown}{f' <small>{about}</small>' if about else ''}</p>"


def beginning(text: str, whole: str) -> str:
    """As much of a text as a cell is to show; with its size and where it is `whole`, when that is not all."""
    if len(text) <= SHOWN:
        return text
    size = size_text(len(text.encode(errors="replace")))
    return f"{text[:SHOWN]}…\n({size} in all, of which this is the beginning; {whole} has the rest)"


def size_text(count: int) -> str:
    """A number of bytes for a person."""
    return f"{count} B" if count < 1000 else f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1e6:.1f} MB"
