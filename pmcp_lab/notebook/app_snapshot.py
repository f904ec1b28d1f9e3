"""What stands in a cell where no widget runs (GitHub, nbconvert, another kernel): the call, and what the tool said.

Not a picture of the app: only the app itself could take one, and no host may look into its frame.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from html import escape
from typing import Any

from IPython.core.getipython import get_ipython

WIDGET = "application/vnd.jupyter.widget-view+json"
TEXT_SHOWN = 2_000
IMAGE_SHOWN = 500_000
"""Characters of base64; a larger one would be in the notebook file for good."""

_IMAGE = re.compile(r"image/(?:png|jpeg|gif|webp)")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+")


def in_batch() -> bool:
    """Whether the cell runs where nobody looks on (nbconvert, papermill): a widget would be shown by nothing later.

    Voilà runs cells so, too, and shows their widgets to people afterwards.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None or os.environ.get("SERVER_SOFTWARE", "").startswith("voila"):
        return False
    return not (kernel.get_parent("shell").get("content") or {}).get("allow_stdin")


def snapshot(server: str, tool: str, call: Mapping[str, Any]) -> str:
    """HTML for the call of an app's tool; every word of the server's in it is text.

    Args:
        call: The `_call` trait.
    """
    known = call.get("tool") or {}
    title = escape(str(known.get("title") or tool))
    arguments = call.get("arguments")
    parts = [f"<p><b>{title}</b>, MCP App of <code>{escape(server)}.{escape(tool)}</code></p>"]
    if arguments:
        parts.append(_pre(json.dumps(arguments, ensure_ascii=False, default=str)))
    result = call.get("result")
    if isinstance(result, Mapping):
        parts.extend(_content(result))
    elif call.get("error"):
        parts.append(_pre(f"The call failed: {call['error']}"))
    parts.append("<p><i>Run the cell to open the app.</i></p>")
    return f"<div>{''.join(parts)}</div>"


def _content(result: Mapping[str, Any]) -> list[str]:
    blocks = result.get("content")
    blocks = [block for block in blocks if isinstance(block, Mapping)] if isinstance(blocks, list) else []
    shown = []
    for block in blocks:
        kind, data = block.get("type"), block.get("data")
        if kind == "text" and block.get("text"):
            shown.append(_pre(str(block["text"])))
        elif kind == "image" and isinstance(data, str) and len(data) <= IMAGE_SHOWN:
            mime = str(block.get("mimeType"))
            if _IMAGE.fullmatch(mime) and _BASE64.fullmatch(data):
                shown.append(f'<img alt="" style="max-width: 100%" src="data:{mime};base64,{data}">')
    if not shown and result.get("structuredContent") is not None:
        shown.append(_pre(json.dumps(result["structuredContent"], ensure_ascii=False, default=str)))
    return shown


def _pre(text: str) -> str:
    cut = text if len(text) <= TEXT_SHOWN else text[: TEXT_SHOWN - 1] + "…"
    return f'<pre style="white-space: pre-wrap">{escape(cut)}</pre>'
