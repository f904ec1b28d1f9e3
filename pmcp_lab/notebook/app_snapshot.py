"""What stands in a cell where no widget runs (GitHub, nbconvert, another kernel): the call, and what the tool said.

Not a picture of the app: only the app itself could take one, and no host may look into its frame.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pmcp_lab.notebook.saved_html import block, text

PICTURES = 500_000
"""Characters of base64 in all; more would be in the notebook file for good."""
BLOCKS = 20

_IMAGE = re.compile(r"image/(?:png|jpeg|gif|webp)")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+")


def snapshot(server: str, tool: str, call: Mapping[str, Any], context: Mapping[str, Any] | None = None) -> str:
    """HTML for the call of an app's tool; every word of the server's in it is text.

    Args:
        call: The `_call` trait.
        context: What the app last wanted a model to know, which is how it stands.
    """
    known = call.get("tool") or {}
    parts = [f"<p><b>{text(known.get('title') or tool)}</b>, MCP App of <code>{text(server)}.{text(tool)}</code></p>"]
    arguments = call.get("arguments")
    if arguments:
        parts.append(block(json.dumps(arguments, ensure_ascii=False, default=str)))
    result = call.get("result")
    if isinstance(result, Mapping):
        parts += _content(result)
    elif call.get("error"):
        parts.append(block(f"The call failed: {call['error']}"))
    if context and (said := _content(context)):
        parts += ["<p>What the app says of itself:</p>", *said]
    return "".join([*parts, "<p><i>Run the cell to open the app.</i></p>"])


def _content(result: Mapping[str, Any]) -> list[str]:
    blocks = result.get("content")
    blocks = [each for each in blocks if isinstance(each, Mapping)] if isinstance(blocks, list) else []
    shown, left, room = [], max(0, len(blocks) - BLOCKS), PICTURES
    for each in blocks[:BLOCKS]:
        kind, data = each.get("type"), each.get("data")
        if kind == "text" and each.get("text"):
            shown.append(block(str(each["text"])))
        elif kind == "image" and isinstance(data, str):
            mime = str(each.get("mimeType"))
            if len(data) <= room and _IMAGE.fullmatch(mime) and _BASE64.fullmatch(data):
                room -= len(data)
                shown.append(f'<img alt="" style="max-width: 100%" src="data:{mime};base64,{data}">')
            else:
                left += 1
    if left:
        shown.append(f"<p><i>{left} more, which are too large or of another kind, are left out.</i></p>")
    if not shown and result.get("structuredContent") is not None:
        shown.append(block(json.dumps(result["structuredContent"], ensure_ascii=False, default=str)))
    return shown
