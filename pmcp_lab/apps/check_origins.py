"""Which origins the HTML of an app really asks for, by reading its markup, styles and scripts.

A reader, no browser: an address that a script puts together from parts is not seen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Literal
from urllib.parse import urlsplit

Kind = Literal["connect", "resource", "frame", "unknown"]

DOMAINS: dict[Kind, str] = {"connect": "connectDomains", "resource": "resourceDomains", "frame": "frameDomains"}
"""Which list of `_meta.ui.csp` lets it through."""


@dataclass(frozen=True, order=True)
class Use:
    """One address in a document.

    Args:
        line: Counted from 1.
        how: The markup or code that asks, for people: `<script src>`, `fetch()`.
        origin: Scheme, host and port; empty for an address relative to the document.
    """

    line: int
    kind: Kind
    how: str
    url: str
    origin: str


_LOADED: dict[tuple[str, str], Kind] = {
    ("script", "src"): "resource",
    ("img", "src"): "resource",
    ("img", "srcset"): "resource",
    ("image", "href"): "resource",
    ("image", "xlink:href"): "resource",
    ("use", "href"): "resource",
    ("input", "src"): "resource",
    ("source", "src"): "resource",
    ("source", "srcset"): "resource",
    ("video", "src"): "resource",
    ("video", "poster"): "resource",
    ("audio", "src"): "resource",
    ("track", "src"): "resource",
    ("iframe", "src"): "frame",
    ("frame", "src"): "frame",
    ("embed", "src"): "frame",
    ("object", "data"): "frame",
}
_LINKED = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "manifest", "shortcut", "apple-touch-icon"}

# Kept apart so that an address in a comment counts for nothing, and one in a string for what it is.
_SCRIPT = re.compile(
    r"(?P<comment>//[^\n]*|/\*.*?\*/)"
    r"""|(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)""",
    re.DOTALL,
)
_STYLE = re.compile(
    r"""url\(\s*(?:"([^"]*)"|'([^']*)'|([^)\s]*))\s*\)|@import\s+(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE
)
_STYLE_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_ADDRESS = re.compile(r"(?:https?|wss?):\\?/\\?/[^\s\"'`<>\\]+", re.IGNORECASE)

_ASKS: tuple[tuple[str, Kind, str], ...] = (
    (r"\bfetch\s*\(\s*$", "connect", "fetch()"),
    (r"\bnew\s+WebSocket\s*\(\s*$", "connect", "WebSocket"),
    (r"\bnew\s+EventSource\s*\(\s*$", "connect", "EventSource"),
    (r"\bnew\s+Request\s*\(\s*$", "connect", "Request"),
    (r"\bsendBeacon\s*\(\s*$", "connect", "sendBeacon()"),
    (r"\.open\s*\(\s*[\"'`]\w+[\"'`]\s*,\s*$", "connect", "XMLHttpRequest"),
    (r"\baxios(?:\.\w+)?\s*\(\s*$", "connect", "axios"),
    (r"\bimportScripts\s*\(\s*$", "resource", "importScripts()"),
    (r"\bimport\s*\(\s*$", "resource", "import()"),
    (r"\bimport\s*$", "resource", "import"),
    (r"\bfrom\s*$", "resource", "import"),
    (r"\bnew\s+(?:Shared)?Worker\s*\(\s*$", "resource", "Worker"),
    (r"\bnew\s+(?:Audio|FontFace)\s*\([^()]*$", "resource", "Audio or FontFace"),
    (r"\.(?:src|srcset|poster)\s*=\s*$", "resource", ".src ="),
)
_ASKED = tuple((re.compile(pattern), kind, how) for pattern, kind, how in _ASKS)
# Names, not places: nothing is loaded from them.
_NAMESPACES = (
    "http://www.w3.org/",
    "https://www.w3.org/",
    "http://schemas.",
    "https://json-schema.org/",
    "http://json-schema.org/",
)
_EVAL = re.compile(r"(?<![.\w$])eval\s*\(|\bnew\s+Function\s*\(")


def uses_of(html: str) -> list[Use]:
    """Every address that a document loads from, connects to or frames; each once per line and manner."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return sorted(set(reader.uses))


def evaluates(html: str) -> int | None:
    """The line of the first `eval(…)` or `new Function(…)` in a script, which hosts block; None without one."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.evaluates


def is_document(html: str) -> bool:
    """Whether it has any markup at all."""
    return re.search(r"<\s*[a-zA-Z!]", html) is not None


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.uses: list[Use] = []
        self.evaluates: int | None = None
        self._inside = ""
        self._runs = True
        self._body = ""
        self._began = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        line = self.getpos()[0]
        given = {name: value or "" for name, value in attrs}
        for name, value in given.items():
            kind = _LOADED.get((tag, name))
            if kind is not None and value:
                for url in _candidates(value) if name == "srcset" else (value,):
                    self._add(line, kind, f"<{tag} {name}>", url)
            elif name == "style":
                self._read_style(value, line)
            elif name.startswith("on"):
                self._read_script(value, line)
        if tag == "link" and _LINKED & set(given.get("rel", "").lower().split()):
            self._add(line, "resource", "<link href>", given.get("href", ""))
        if tag in ("script", "style"):
            self._inside, self._body, self._began = tag, "", line
            kind_of_script = given.get("type", "").strip().lower()
            self._runs = (
                kind_of_script in ("", "module") or "javascript" in kind_of_script or "ecmascript" in kind_of_script
            )
            if tag == "script" and kind_of_script == "importmap":
                self._inside = "importmap"

    def handle_data(self, data: str) -> None:
        if self._inside:
            if not self._body:
                self._began = self.getpos()[0]
            self._body += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._finish()

    def close(self) -> None:
        super().close()
        self._finish()

    def _finish(self) -> None:
        inside, self._inside = self._inside, ""
        if inside == "style":
            self._read_style(self._body, self._began)
        elif inside == "importmap":
            for match in _ADDRESS.finditer(self._body):
                self._add(self._began + self._body.count("\n", 0, match.start()), "resource", "import map", match[0])
        elif inside == "script" and self._runs:
            self._read_script(self._body, self._began)
        self._body = ""

    def _read_style(self, css: str, line: int) -> None:
        css = _STYLE_COMMENT.sub(lambda match: "\n" * match[0].count("\n"), css)
        for match in _STYLE.finditer(css):
            url = next((group for group in match.groups() if group), "")
            self._add(line + css.count("\n", 0, match.start()), "resource", "url() in CSS", url)

    def _read_script(self, code: str, line: int) -> None:
        # Comments become blanks of the same length, so that places stay.
        code = _SCRIPT.sub(lambda match: re.sub(r"[^\n]", " ", match[0]) if match["comment"] else match[0], code)
        for match in _SCRIPT.finditer(code):
            text = match[0][1:-1].replace("\\/", "/")
            at = line + code.count("\n", 0, match.start())
            before = code[max(0, match.start() - 80) : match.start()]
            kind, how = next(
                ((kind, how) for pattern, kind, how in _ASKED if pattern.search(before)), ("unknown", "a string")
            )
            if kind == "unknown":
                for found in _ADDRESS.finditer(text):
                    if not found[0].lower().startswith(_NAMESPACES):
                        socket = found[0].lower().startswith("ws")
                        self._add(at, "connect" if socket else "unknown", "a string", found[0])
            elif "://" in text or text.startswith("//") or _relative(text):
                self._add(at, kind, how, text)
        bare = _SCRIPT.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), code)
        if self.evaluates is None and (found_eval := _EVAL.search(bare)):
            self.evaluates = line + bare.count("\n", 0, found_eval.start())

    def _add(self, line: int, kind: Kind, how: str, url: str) -> None:
        url = url.strip()
        if not url or url.startswith("#") or "${" in url.split("/", 3)[:3][-1]:
            return
        if url.startswith("//"):
            url = f"https:{url}"
        try:
            parts = urlsplit(url)
            port = f":{parts.port}" if parts.port else ""
        except ValueError:
            return
        scheme = parts.scheme.lower()
        if scheme in ("data", "blob", "about", "javascript", "mailto"):
            return
        if scheme and scheme not in ("http", "https", "ws", "wss"):
            return
        origin = f"{scheme}://{(parts.hostname or '').lower()}{port}" if scheme and parts.hostname else ""
        self.uses.append(Use(line, kind, how, url[:200], origin))


def _relative(text: str) -> bool:
    """Whether it is the address of a file beside the document, and not the name of a package or an expression."""
    return text.startswith(("./", "../", "/")) and "${" not in text


def _candidates(srcset: str) -> list[str]:
    return [part.split()[0] for part in srcset.split(",") if part.split()]


_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
# What a declared scheme lets through beside itself, as CSP matches schemes.
_BETTER = {"http": ("https", "ws", "wss"), "https": ("wss",), "ws": ("wss",)}


def allows(declared: str, origin: str) -> bool:
    """Whether a declared source lets an origin through, as CSP matches them: wildcard hosts, and better schemes."""
    given, wanted = urlsplit(declared), urlsplit(origin)
    if wanted.scheme != given.scheme and wanted.scheme not in _BETTER.get(given.scheme, ()):
        return False
    host, asked = given.hostname or "", wanted.hostname or ""
    if not (asked.endswith(host[1:]) and asked != host[2:] if host.startswith("*.") else asked == host):
        return False
    port = wanted.port or _PORTS[wanted.scheme]
    return port == given.port if given.port else port in (_PORTS[given.scheme], _PORTS[wanted.scheme])
