"""The rules for the code of an app that can be told by reading it, without a browser: what no host lets it do, whom it
calls, and what must not be in it.

In lines that a bundler made this says nothing: libraries do much that is never reached, and the browser knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pmcp_lab.apps.check_origins import Reading, Script
from pmcp_lab.apps.finding import Finding, Level
from pmcp_lab.apps.served import Page, Served
from pmcp_lab.errors import nearest
from pmcp_lab.protocol.ui import resource_ui, tool_ui

BEFORE = 200
"""Characters in which a call names its tool."""


@dataclass(frozen=True)
class _Rule:
    """
    Args:
        said: What is wrong; `{0}` is what was found.
        name: Group 1 is a function of the browser, unless the script has one of that name.
    """

    level: Level
    code: str
    pattern: re.Pattern[str]
    said: str
    fix: str
    name: bool = False


_GLOBAL = r"(?<![\w$.#])(?:window\.|self\.|globalThis\.)?"
_RULES = (
    _Rule(
        "error",
        "dialog",
        re.compile(_GLOBAL + r"(alert|confirm|prompt|print)\s*\("),
        "calls {0}(), which does nothing in an app: hosts allow no dialogs",
        "show it in the document, or use app.sendMessage",
        name=True,
    ),
    _Rule(
        "error",
        "popup",
        re.compile(r"(?<![\w$.#])(?:(?:window|self|globalThis)\.(open)|(?<!\.)\b(open))\s*\("),
        "calls open(), which does nothing in an app: hosts allow no windows",
        "ask the host by ui/open-link (app.openLink)",
        name=True,
    ),
    _Rule(
        "error",
        "navigates",
        re.compile(
            r"(?<![\w$.#])(?:(?:window|self|document|globalThis|top|parent)\.)*(location)"
            r"(?:\.href)?\s*=(?![=>])|(?<![\w$])(location)\.(?:assign|replace)\s*\("
        ),
        "goes to another address, which hosts keep an app from",
        "stay in the document; ask the host by ui/open-link for what is elsewhere",
        name=True,
    ),
    _Rule(
        "error",
        "reaches-out",
        re.compile(
            r"(?<![\w$.#])(?:window\.)?((?:parent|top|opener)\."
            r"(?:document|location|frames|localStorage|sessionStorage|history|navigator)\b)"
        ),
        "reads {0}: the window above is of another origin, and throws",
        "say it by messages",
    ),
    _Rule(
        "warning",
        "no-storage",
        re.compile(
            r"(?<![\w$.#])(?:window\.|self\.)?(indexedDB\.open|caches\.open|document\.cookie|"
            r"navigator\.serviceWorker|navigator\.storage)\b"
        ),
        "uses {0}, which an app without an origin of its own has not",
        "keep what matters at the server; localStorage is there in many hosts",
    ),
    _Rule(
        "warning",
        "eval",
        re.compile(r"(?<![\w$.#])(setTimeout|setInterval)\s*\(\s*[\"'`]"),
        "gives {0} a text, which hosts do not run",
        "give it a function",
    ),
)
_PERMISSIONS = (
    ("camera", re.compile(r"\bgetUserMedia\s*\([^)]*\bvideo\b(?!\s*:\s*false)")),
    ("microphone", re.compile(r"\bgetUserMedia\s*\([^)]*\baudio\b(?!\s*:\s*false)")),
    ("geolocation", re.compile(r"\bgeolocation\s*\.\s*(?:getCurrentPosition|watchPosition)\b")),
    ("clipboardWrite", re.compile(r"\bclipboard\s*\.\s*write(?:Text)?\b")),
    ("clipboardRead", re.compile(r"\bclipboard\s*\.\s*read(?:Text)?\b")),
    ("display-capture", re.compile(r"\bgetDisplayMedia\s*\(")),
    ("notifications", re.compile(r"\bNotification\s*\.\s*requestPermission\b")),
    ("bluetooth", re.compile(r"\bnavigator\s*\.\s*bluetooth\b")),
    ("usb", re.compile(r"\bnavigator\s*\.\s*usb\b")),
    ("serial", re.compile(r"\bnavigator\s*\.\s*serial\b")),
)
_TEXT = r"[\"'`]([^\"'`$\n]+)[\"'`]"
_CALLS = re.compile(
    rf"\b(?:callServerTool|callTool)\s*\(\s*(?:\{{[^{{}}]*?\bname\s*:\s*)?{_TEXT}"
    rf"|[\"'`]tools/call[\"'`]\s*,\s*(?:params\s*:\s*)?\{{\s*[\"']?name[\"']?\s*:\s*{_TEXT}"
)
_READS = re.compile(
    rf"\b(?:readServerResource|readResource)\s*\(\s*(?:\{{\s*uri\s*:\s*)?{_TEXT}"
    rf"|[\"'`]resources/read[\"'`]\s*,\s*(?:params\s*:\s*)?\{{\s*[\"']?uri[\"']?\s*:\s*{_TEXT}"
)
_CONNECTS = re.compile(r"(?<![\w$])(\w+)\s*\.\s*connect\s*\(")
_IDS = re.compile(r"\bgetElementById\s*\(\s*[\"'`]([\w:.-]+)[\"'`]\s*\)(?!\s*\?)")

SECRETS = re.compile(
    r"\b(?:AKIA[0-9A-Z]{16}|sk-(?:ant-|proj-)?[A-Za-z0-9_-]{20,}|[sr]k_live_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{30,}"
    r"|github_pat_\w{30,}|glpat-[\w-]{18,}|xox[abprs]-[\w-]{10,}|AIza[\w-]{35}|npm_[A-Za-z0-9]{36}|hf_[A-Za-z]{30,}"
    r"|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,})\b|-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"
)
"""Keys that say by their first letters what they are."""
NAMED_SECRETS = re.compile(
    r"(?i)(?:api[_-]?key|secret|passw(?:or)?d|access[_-]?token|auth[_-]?token|bearer)[\w-]{0,20}[\"']?\s{0,3}[:=]\s{0,3}"
    r"[\"'`](?=[^\"'`]*\d)(?=[^\"'`]*[a-zA-Z])([A-Za-z0-9_+/=.-]{16,})[\"'`]"
    r"|\bBearer\s+([A-Za-z0-9_+/=.-]{20,})|://[^\s/:@\"'`]{1,64}:([^\s/@\"'`$]{6,64})@"
)


def check_scripts(page: Page, reading: Reading, served: Served) -> Iterator[Finding]:
    """What can be said of the scripts of a document."""
    for script in reading.scripts:
        yield from _forbidden(page.uri, script)
        yield from _permissions(page, script)
        yield from _calls(page.uri, script, served)
        yield from _late(page.uri, script)
        yield from _elements(page.uri, script, reading)


def check_secret(text: str, place: str) -> Iterator[Finding]:
    """A finding where something looks like a key; the key itself is not told."""
    found = SECRETS.search(text)
    if found is None:
        named = NAMED_SECRETS.search(text)
        if named is None or text.rfind("\n", 0, named.start()) + 1_000 < named.start():
            return
        found = named
    line = text.count("\n", 0, found.start()) + 1
    yield Finding(
        "error",
        "secret",
        f"{place} line {line}",
        f"looks like it holds a key ({found[0][:6]}…): everybody who opens the app can read it",
        "keep it at the server, have a tool use it there, and make a new one",
    )


def _forbidden(uri: str, script: Script) -> Iterator[Finding]:
    for rule in _RULES:
        for match in rule.pattern.finditer(script.bare if rule.code != "eval" else script.code):
            said = next((group for group in match.groups() if group), "")
            line, bundled = script.place(match.start())
            if bundled or (rule.name and _own(said, script.bare)):
                continue
            yield Finding(rule.level, rule.code, f"{uri} line {line}", rule.said.format(said), rule.fix)
            break


def _own(name: str, code: str) -> bool:
    """Whether the script gives the name a meaning of its own."""
    own = rf"\b(?:function|const|let|var|class)\s+{name}\b|[({{,]\s*{name}\s*[,)}}=]"
    method = rf"[{{,;]\s*(?:async\s+)?{name}\s*\([^()]*\)\s*\{{"
    return re.search(f"{own}|{method}", code) is not None


def _permissions(page: Page, script: Script) -> Iterator[Finding]:
    declared = declared_permissions(page)
    for name, pattern in _PERMISSIONS:
        match = pattern.search(script.bare)
        if match is None or name in declared or script.place(match.start())[1]:
            continue
        yield undeclared(name, f"{page.uri} line {script.place(match.start())[0]}")


def declared_permissions(page: Page) -> tuple[str, ...]:
    return resource_ui((page.content or {}).get("_meta"), (page.listed or {}).get("_meta")).permissions


def undeclared(name: str, place: str) -> Finding:
    """Of a permission that is used and was not asked for."""
    if name in ("camera", "microphone", "geolocation", "clipboardWrite"):
        fix = f'add "{name}": {{}} to _meta.ui.permissions, and do without where it is refused'
        return Finding("error", "permission-undeclared", place, f"uses {name}, which it has not declared", fix)
    return Finding("error", "permission-undeclared", place, f"uses {name}, which no host gives to an app", "do without")


def _calls(uri: str, script: Script, served: Served) -> Iterator[Finding]:
    for match in _CALLS.finditer(script.code):
        name = match[1] or match[2]
        line, bundled = script.place(match.start())
        if not bundled:
            yield from unknown_tool(name, f"{uri} line {line}", served)
    for match in _READS.finditer(script.code):
        line, bundled = script.place(match.start())
        if not bundled:
            yield from unknown_resource(match[1] or match[2], f"{uri} line {line}", served)


def unknown_tool(name: str, place: str, served: Served) -> Iterator[Finding]:
    """Of a tool that is called and can't be."""
    tools = {str(tool.get("name")): tool for tool in served.tools}
    if name not in tools:
        fix = f"call one that there is.{nearest(name, list(tools))}"
        yield Finding("error", "unknown-tool", place, f"calls tool {name!r}, which the server has not", fix)
    elif "app" not in tool_ui(tools[name].get("_meta")).visibility:
        fix = 'add "app" to its _meta.ui.visibility'
        yield Finding("error", "tool-not-for-apps", place, f"calls tool {name!r}, which is for the model alone", fix)


def unknown_resource(uri: str, place: str, served: Served) -> Iterator[Finding]:
    """Of a resource that is read and is not there."""
    known = [*served.resources, *served.pages]
    if uri in known or any(fits(template, uri) for template in served.templates):
        return
    fix = f"read one that there is.{nearest(uri, known)}"
    yield Finding("error", "unknown-resource", place, f"reads {uri}, which the server does not list", fix)


def fits(template: str, uri: str) -> bool:
    parts = re.split(r"\{[^{}]*\}", template)
    return re.fullmatch(".+".join(map(re.escape, parts)), uri) is not None


def _late(uri: str, script: Script) -> Iterator[Finding]:
    """Handlers that are set after the app has connected, by when what they are for may be over."""
    for match in _CONNECTS.finditer(script.bare):
        app = re.escape(match[1])
        name = r"on(?:toolinput|toolresult)\s*=(?!=)"
        listens = rf"{app}\s*\.\s*(?:({name})|addEventListener\s*\()"
        later = re.compile(listens).search(script.bare, match.end())
        before = re.compile(listens).search(script.bare, 0, match.start())
        if later is None or before is not None or script.place(later.start())[1]:
            continue
        if later[1] is None and not re.search(r"addEventListener\s*\(\s*[\"'`]tool", script.code[later.start() :][:60]):
            continue
        yield late("a handler of the call", f"{uri} line {script.place(later.start())[0]}")


def late(what: str, place: str) -> Finding:
    return Finding(
        "error",
        "late-handler",
        place,
        f"sets {what} after it has connected, when the arguments and the result may have been told already",
        "set handlers first, then connect",
    )


def _elements(uri: str, script: Script, reading: Reading) -> Iterator[Finding]:
    known = {name for _, name in reading.ids}
    for match in _IDS.finditer(script.code):
        line, bundled = script.place(match.start())
        name = match[1]
        made = any(re.search(rf"\bid\b.{{0,9}}[\"'`]?{re.escape(name)}\b", each.code) for each in reading.scripts)
        if not bundled and name not in known and not made:
            fix = f"give an element that id.{nearest(name, sorted(known))}"
            yield Finding(
                "warning",
                "no-element",
                f"{uri} line {line}",
                f"looks for the element {name!r}, which there is not",
                fix,
            )
