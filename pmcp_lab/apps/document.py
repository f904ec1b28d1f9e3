"""A widget's document as it is served: with the bridge where it has none, or as a page that says what is wrong."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from pathlib import Path

from pmcp_lab.errors import LabError
from pmcp_lab.protocol.ui import BRIDGE_MARK

BRIDGE = Path(__file__).parent.parent / "static" / "bridge.js"

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_OWN = re.compile(
    rf"""<script\b[^>]*\b{BRIDGE_MARK}\b
    | ["'`]ui/initialize["'`]
    | (?:\bfrom|\bimport|\bimport\(|\bsrc=)\s*["'][^"']*@(?:modelcontextprotocol/ext-apps|pmcp-lab/bridge)\b""",
    re.IGNORECASE | re.VERBOSE,
)
"""What documents that bring a bridge have in them; whoever speaks the protocol has to name its first method."""

_DOCTYPE = re.compile(r"\A\ufeff?\s*(?:<!--.*?-->\s*)*<!doctype[^>]*>", re.IGNORECASE | re.DOTALL)


def has_bridge(html: str) -> bool:
    """Whether a document brings its own half of the conversation."""
    return _OWN.search(_COMMENT.sub("", html)) is not None


def with_bridge(html: str, *, host: str = "standard") -> str:
    """The document with the bridge before all of its own, in a classic script that runs before anything else does.

    It goes behind the doctype, where a parser can't be misled as to where it stands, and nothing becomes quirky. A
    document that has a bridge stays as it is.

    Args:
        host: What the bridge speaks with: "standard", "chatgpt" or "mcp-ui".

    Raises:
        LabError: The front end was never built.
    """
    return html if has_bridge(html) else prefixed(html, bridge_script(host))


def prefixed(html: str, prefix: str) -> str:
    """The document with something before all of its own, behind the doctype."""
    doctype = _DOCTYPE.match(html)
    at = doctype.end() if doctype else 0
    return f"{html[:at]}{prefix}{html[at:]}"


def bridge_script(host: str) -> str:
    """The bridge as an element that needs no network.

    Raises:
        LabError: The front end was never built.
    """
    return f'<script {BRIDGE_MARK}="{escape(host)}">{_bridge()}</script>'


@cache
def _bridge() -> str:
    try:
        return BRIDGE.read_text(encoding="utf-8")
    except OSError:
        raise LabError(
            "The front end is not built (bridge.js is missing): run `make front-end` in the source tree."
        ) from None


def error_page(name: str, problem: str, *, then: str = "Mend the file and save it: this view follows.") -> str:
    """A document in place of one that can't be shown. Every word in it is text.

    Args:
        problem: For the author; must not hold paths of this machine.
        then: What comes after mending it.
    """
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{escape(name)}: error</title>
<style>
:root {{ color-scheme: light dark }}
body {{ margin: 0; padding: 16px; font: 14px/1.5 var(--font-sans, system-ui, sans-serif) }}
main {{ border-left: 3px solid #c62828; padding: 2px 14px }}
h1 {{ font-size: 15px; margin: 0 0 6px }}
pre {{ margin: 0 0 6px; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 13px/1.5 var(--font-mono, ui-monospace, monospace) }}
p {{ margin: 0; opacity: .75 }}
</style>
<main role="alert"><h1>The widget {escape(name)} can&#39;t be shown</h1>
<pre>{escape(problem)}</pre><p>{escape(then)}</p></main>
</html>"""
