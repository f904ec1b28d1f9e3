"""Which origins the HTML of an app really asks for, by reading its markup, styles and scripts.

A reader, no browser: an address that a script puts together is seen where its beginning is a text.
"""

from __future__ import annotations

import re
from bisect import bisect
from dataclasses import dataclass, field
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
        bundled: Whether it stands in a line that nobody wrote by hand, as the code of libraries does.
    """

    line: int
    kind: Kind
    how: str
    url: str
    origin: str
    bundled: bool = False


@dataclass(frozen=True)
class Script:
    """The code of one script, or of a handler in an attribute.

    Args:
        line: Where it begins in the document, counted from 1.
        code: Without its comments, which are blank.
        bare: Without the texts in it as well.
    """

    line: int
    code: str
    bare: str

    def place(self, at: int) -> tuple[int, bool]:
        """The line of the document, and whether it was made by a bundler."""
        start = self.code.rfind("\n", 0, at) + 1
        end = self.code.find("\n", at)
        return self.line + self.code.count("\n", 0, at), (len(self.code) if end < 0 else end) - start > LONGEST_LINE


@dataclass
class Reading:
    """What stands in a document.

    Args:
        marked: Elements that do what no host lets them do: the line, the markup, and where it leads.
        ids: Of its elements.
    """

    uses: list[Use] = field(default_factory=list)
    scripts: list[Script] = field(default_factory=list)
    marked: list[tuple[int, str, str]] = field(default_factory=list)
    ids: list[tuple[int, str]] = field(default_factory=list)

    @property
    def evaluates(self) -> tuple[int, bool] | None:
        """The first `eval(…)` or `new Function(…)` in a script, which hosts block: its line, and whether a bundler
        made that."""
        for script in self.scripts:
            if found := _EVAL.search(script.bare):
                return script.place(found.start())
        return None


LONGEST_LINE = 1_000
"""Characters that people write on one line."""


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
    r"(?=[\"'`/])"
    r"(?:(?P<comment>//[^\n]*|/\*.*?\*/)"
    r"""|(?P<text>"[^"\\\n]*(?:\\.[^"\\\n]*)*"|'[^'\\\n]*(?:\\.[^'\\\n]*)*'|`[^`\\]*(?:\\.[^`\\]*)*`))""",
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
SOMEWHERE = "?"
"""The origin of an address whose host is put together."""
_NOT_LINES = re.compile(r"[^\n]")
_NAMED = re.compile(
    r"""\b(?:const|let|var)\s+(?P<name>[\w$]+)\s*=\s*(?P<text>"[^"\\\n]*"|'[^'\\\n]*'|`[^`\\$]*`)\s*(?=[;,\n]|$)"""
)
"""A text with a name."""
_PART = re.compile(r"\$\{\s*([\w$]+)\s*\}")
_EVAL = re.compile(r"(?<![.\w$])eval\s*\(|\bnew\s+Function\s*\(")


def read_document(html: str) -> Reading:
    """Everything that the rules want to know of a document."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    reader.found.uses = sorted(set(reader.found.uses))
    return reader.found


def is_document(html: str) -> bool:
    """Whether it has any markup at all."""
    return re.search(r"<\s*[a-zA-Z!]", html) is not None


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found = Reading()
        self._inside = ""
        self._runs = True
        self._body: list[str] = []
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
            elif name == "id":
                self.found.ids.append((line, value))
        self._mark(line, tag, given)
        if tag == "link" and _LINKED & set(given.get("rel", "").lower().split()):
            self._add(line, "resource", "<link href>", given.get("href", ""))
        if tag in ("script", "style"):
            self._inside, self._body, self._began = tag, [], line
            kind_of_script = given.get("type", "").strip().lower()
            self._runs = (
                kind_of_script in ("", "module") or "javascript" in kind_of_script or "ecmascript" in kind_of_script
            )
            if tag == "script" and kind_of_script == "importmap":
                self._inside = "importmap"

    def _mark(self, line: int, tag: str, given: dict[str, str]) -> None:
        elsewhere = [
            ("form", "action", "<form action>"),
            ("button", "formaction", "<button formaction>"),
            ("input", "formaction", "<input formaction>"),
            ("base", "href", "<base href>"),
        ]
        for name, attribute, markup in elsewhere:
            where = given.get(attribute, "")
            if tag == name and where and not where.startswith(("#", "javascript:")):
                self.found.marked.append((line, markup, where))
        if tag == "meta" and given.get("http-equiv", "").lower() in ("refresh", "content-security-policy"):
            self.found.marked.append(
                (line, f"<meta http-equiv={given['http-equiv'].lower()}>", given.get("content", ""))
            )
        if tag == "a" and re.match(r"(https?:)?//|/\w|\.\.?/", given.get("href", "")):
            self.found.marked.append((line, "<a href>", given["href"]))

    def handle_data(self, data: str) -> None:
        if self._inside:
            if not self._body:
                self._began = self.getpos()[0]
            self._body.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._finish()

    def close(self) -> None:
        super().close()
        self._finish()

    def _finish(self) -> None:
        inside, self._inside, body = self._inside, "", "".join(self._body)
        self._body = []
        if inside == "style":
            self._read_style(body, self._began)
        elif inside == "importmap":
            for match in _ADDRESS.finditer(body):
                self._add(self._began + body.count("\n", 0, match.start()), "resource", "import map", match[0])
        elif inside == "script" and self._runs:
            self._read_script(body, self._began)

    def _read_style(self, css: str, line: int) -> None:
        css = _STYLE_COMMENT.sub(lambda match: "\n" * match[0].count("\n"), css)
        lines = _Lines(css, line)
        for match in _STYLE.finditer(css):
            url = next((group for group in match.groups() if group), "")
            at, bundled = lines.at(match.start())
            self._add(at, "resource", "url() in CSS", url, bundled=bundled)

    def _read_script(self, code: str, line: int) -> None:
        # What is left out becomes blanks of the same length, so that places stay.
        texts: list[tuple[int, str]] = []
        kept: list[str] = []
        bare: list[str] = []
        last = 0
        for match in _SCRIPT.finditer(code):
            between, blank = code[last : match.start()], _NOT_LINES.sub(" ", match[0])
            kept += between, blank if match["comment"] else match[0]
            bare += between, blank
            last = match.end()
            if not match["comment"]:
                texts.append((match.start(), match[0]))
        code, plain = "".join([*kept, code[last:]]), "".join([*bare, code[last:]])
        self.found.scripts.append(Script(line, code, plain))
        lines = _Lines(code, line)
        named = {match["name"]: match["text"][1:-1] for match in _NAMED.finditer(code)}
        for start, quoted in texts:
            text = quoted[1:-1].replace("\\/", "/")
            if quoted[0] == "`":
                text = _PART.sub(lambda part: named.get(part[1], part[0]), text)
            if "//" in text or _relative(text):
                self._read_text(text, code[max(0, start - 80) : start], lines.at(start))
        for name, text in named.items():
            if "://" in text:
                self._read_name(name, text, code, lines)

    def _read_text(self, text: str, before: str, place: tuple[int, bool]) -> None:
        kind, how = _asked(before)
        line, bundled = place
        if kind != "unknown":
            if "://" in text or text.startswith("//") or _relative(text):
                self._add(line, kind, how, text, bundled=bundled)
            return
        for found in _ADDRESS.finditer(text):
            if not found[0].lower().startswith(_NAMESPACES):
                socket = found[0].lower().startswith("ws")
                self._add(line, "connect" if socket else "unknown", "a string", found[0], bundled=bundled)

    def _read_name(self, name: str, text: str, code: str, lines: _Lines) -> None:
        """Where an address is asked for by its name, alone or with more after it."""
        for match in re.finditer(rf"(?<![\w$.]){re.escape(name)}(?![\w$])", code):
            kind, how = _asked(code[max(0, match.start() - 80) : match.start()])
            if kind != "unknown":
                line, bundled = lines.at(match.start())
                self._add(line, kind, how, text, bundled=bundled)

    def _add(self, line: int, kind: Kind, how: str, url: str, *, bundled: bool = False) -> None:
        url = url.strip()
        if not url or url.startswith("#"):
            return
        if url.startswith("//"):
            url = f"https:{url}"
        if "${" in url.split("/", 3)[:3][-1]:
            if "://" in url and kind in ("connect", "resource", "frame"):
                self.found.uses.append(Use(line, kind, how, url[:200], SOMEWHERE, bundled))
            return
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
        self.found.uses.append(Use(line, kind, how, url[:200], origin, bundled))


class _Lines:
    """Which line of the document a place of a text is on, and whether a bundler made that."""

    def __init__(self, text: str, first: int) -> None:
        self._ends = [match.start() for match in re.finditer("\n", text)] + [len(text)]
        self._first = first

    def at(self, place: int) -> tuple[int, bool]:
        line = min(bisect(self._ends, place - 1), len(self._ends) - 1)
        start = self._ends[line - 1] if line else 0
        return self._first + line, self._ends[line] - start > LONGEST_LINE


def _asked(before: str) -> tuple[Kind, str]:
    """What asks for an address, by what stands before it."""
    return next(((kind, how) for pattern, kind, how in _ASKED if pattern.search(before)), ("unknown", "a string"))


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
