"""What is said of apps that were opened once in a browser, before their tools are called."""

from __future__ import annotations

from collections.abc import Iterator

from pmcp_lab.apps.finding import Finding
from pmcp_lab.apps.served import Opened, Raw

TOLD = 300
"""Characters of an app's own words."""
WORST = 10
"""Problems of one app that are listed."""


def check_opened(opened: Opened) -> Iterator[Finding]:
    if not opened.started:
        yield Finding(
            "error",
            "app-silent",
            opened.uri,
            "was opened and never said ui/initialize: hosts go on waiting for it",
            "connect when the document is loaded, with the App class of ext-apps or window.mcpBridge",
        )
    for problem in opened.problems[:WORST]:
        yield _finding(opened.uri, problem)
    if (more := len(opened.problems) - WORST) > 0:
        yield Finding(
            "note", "app-errors", opened.uri, f"has {more} more problems", "pmcp-lab preview, and its inspector"
        )


def _finding(uri: str, problem: Raw) -> Finding:
    line = problem.get("line")
    source = problem.get("source")
    where = "".join(f" {part}" for part in (source, f"line {line}" if line else None) if part)
    said = "".join(letter if letter.isprintable() else " " for letter in str(problem.get("message")))[:TOLD]
    if problem.get("kind") == "blocked":
        return Finding(
            "warning",
            "app-blocked",
            uri + where,
            said,
            "declare the domain in _meta.ui.csp, or bring with the app what it loads",
        )
    return Finding(
        "error", "app-error", uri + where, f"does not deal with: {said}", "pmcp-lab preview shows it with its inspector"
    )
