"""What is said of apps that were opened once in a browser, with the arguments and the result of a call."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from pmcp_lab.apps.check_origins import allows
from pmcp_lab.apps.check_pages import csp_of
from pmcp_lab.apps.check_scripts import declared_permissions, late, undeclared, unknown_resource, unknown_tool
from pmcp_lab.apps.finding import Finding
from pmcp_lab.apps.served import Opened, Page, Raw, Served

TOLD = 300
"""Characters of an app's own words."""
WORST = 10
"""Problems of one app that are listed."""
TRY = re.compile(r"\(?(async )?function\*? anonymous\(\s*\) ?\{\s*(return this;?)?\s*\}?\)?")
"""Code from text that a library makes to learn whether it may; that it may not makes no difference."""
INSTEAD = {
    "alert": "show it in the document",
    "confirm": "ask in the document",
    "prompt": "ask in the document",
    "print": "offer a file by ui/download-file",
    "open": "ask the host by ui/open-link (app.openLink)",
}
PLACES = {"base-uri": "base", "form-action": "form", "frame-src": "navigates"}


def check_opened(opened: Opened, served: Served) -> Iterator[Finding]:
    page = served.pages.get(opened.uri) or Page(uri=opened.uri)
    judged = [finding for problem in opened.problems for finding in _of(problem, opened, page, served)]
    judged = list(dict.fromkeys(judged))
    if not opened.started:
        # What it waits for may be what could not be reached.
        reached = all(finding.code != "not-reached" for finding in judged)
        yield Finding(
            "error" if reached else "note",
            "app-silent",
            opened.uri,
            "was opened and never said ui/initialize and ui/notifications/initialized: hosts go on waiting for it",
            "connect when the document is loaded, with the App class of ext-apps or window.mcpBridge",
        )
    yield from judged[:WORST]
    if (more := len(judged) - WORST) > 0:
        yield Finding(
            "note", "app-errors", opened.uri, f"has {more} more problems", "pmcp-lab preview, and its inspector"
        )


def _of(problem: Raw, opened: Opened, page: Page, served: Served) -> Iterator[Finding]:
    """What one thing that the document told of means."""
    said, where = _printable(problem.get("message")), _where(problem, opened.uri)
    match problem.get("kind"):
        case "blocked":
            yield from _blocked(problem, where)
        case "dialog" | "fullscreen":
            code = "popup" if said == "open" else str(problem["kind"])
            fix = INSTEAD.get(said, "ask the host by ui/request-display-mode")
            yield Finding("error", code, where, f"calls {said}(), which does nothing in an app", fix)
        case "permission":
            if said == "indexedDB":
                fix = "keep what matters at the server"
                yield Finding("warning", "no-storage", where, "uses indexedDB, which an app has not", fix)
            elif said not in declared_permissions(page):
                yield undeclared(said, where)
        case "late":
            yield late("its listener" if said == "message" else f"a handler of {said}", where)
        case "aimed":
            yield Finding(
                "error",
                "aimed",
                where,
                f"sends messages to the origin {said!r} alone, which is not its host's",
                'send them to "*": the host is of an origin that an app can\'t know',
            )
        case "unheard":
            fix = "look for the name in the specification of MCP Apps"
            yield Finding("error", "unknown-message", where, f"tells its host {said!r}, which no host knows", fix)
        case "refused":
            yield from _refused(problem, said, where, opened, served)
        case _ if not any(blocked and blocked in said for blocked in _blocked_addresses(opened)):
            yield _error(said, where, opened, page)


def _blocked_addresses(opened: Opened) -> list[str]:
    """What did not load because it may not is told as that."""
    return [str(each.get("blocked")) for each in opened.problems if "://" in str(each.get("blocked"))]


def _blocked(problem: Raw, where: str) -> Iterator[Finding]:
    directive, blocked = _printable(problem.get("directive")), _printable(problem.get("blocked"))
    if blocked == "eval":
        if not TRY.fullmatch(str(problem.get("sample"))):
            fix = "do without eval and new Function, and libraries that need them"
            yield Finding("warning", "eval", where, "makes code from text, which hosts block", fix)
        return
    code, what = "app-blocked", f"{directive} blocked {blocked}"
    fix = "declare the domain in _meta.ui.csp, or bring with the app what it loads"
    if "app.invalid" in blocked:
        code, fix = "relative-url", "put it into the document: an app is one file, without an address of its own"
    elif directive in PLACES:
        code = PLACES[directive]
        fix = (
            "send forms by a tool; ask the host by ui/open-link for pages"
            if code != "base"
            else "write whole addresses"
        )
    elif not urlsplit(blocked).netloc and blocked not in ("inline", "wasm-eval"):
        fix = "do without it: no host allows it"
    yield Finding("error", code, where, what, fix)


def _refused(problem: Raw, said: str, where: str, opened: Opened, served: Served) -> Iterator[Finding]:
    method, about = _printable(problem.get("method")), _printable(problem.get("about"))
    known: list[Finding] = []
    if method == "tools/call":
        known = list(unknown_tool(about, where, served))
    elif method == "resources/read" and not (opened.made_up and about in json.dumps(opened.result)):
        known = list(unknown_resource(about, where, served))
    elif problem.get("code") == -32601:
        fix = "look for the name in the specification of MCP Apps, and in the host's capabilities"
        known = [Finding("error", "unknown-message", where, f"asks its host {method!r}: {said}", fix)]
    if known:
        yield from known
        return
    level = "note" if opened.made_up else "warning"
    fix = "deal with it, or correct the request"
    yield Finding(level, "app-refused", where, f"was refused {method} {about}: {said}", fix)  # type: ignore[arg-type]


def _error(said: str, where: str, opened: Opened, page: Page) -> Finding:
    csp = csp_of(page)
    declared = [*csp.connect, *csp.resources, *csp.frames]
    addresses = re.findall(r"https?://[^\s'\"]+", said)
    if (addresses and all(any(allows(each, _origin(a)) for each in declared) for a in addresses)) or (
        declared and re.search(r"Failed to fetch|NetworkError|Load failed", said)
    ):
        fix = "look again where there is a network"
        return Finding("note", "not-reached", where, f"{said}: it is declared, and could not be reached from here", fix)
    if opened.made_up:
        fix = "deal with any result that its outputSchema allows, or give a real one with --examples"
        return Finding("warning", "app-error", where, f"does not deal with (of a made-up result): {said}", fix)
    fix = "pmcp-lab preview shows it with its inspector"
    return Finding("error", "app-error", where, f"does not deal with: {said}", fix)


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _where(problem: Raw, uri: str) -> str:
    line, source = problem.get("line"), str(problem.get("source") or "")
    # The document itself has no address that says anything.
    shown = "" if source.startswith("about") else source
    return _printable("".join(f"{part} " for part in (uri, shown, f"line {line}" if line else "") if part).strip())


def _printable(text: object) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in str(text))[:TOLD]
