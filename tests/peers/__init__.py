"""Third-party MCP servers to test against: what they are called and how each is started.

The versions are pinned in `package-lock.json` beside this file. `make test` installs them; by hand it is
`npm ci --ignore-scripts` in this folder. Tests take a peer from the `everything` and `budget_allocator` fixtures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hatch_build import node

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Peer:
    """One server, the way its package is started."""

    package: str
    stdio_argument: str
    http_argument: str | None = None

    @property
    def script(self) -> Path:
        return HERE / "node_modules" / "@modelcontextprotocol" / self.package / "dist" / "index.js"

    @property
    def stdio(self) -> list[str]:
        """The command line that serves on stdin and stdout."""
        return [node(), str(self.script), self.stdio_argument]

    @property
    def http(self) -> list[str]:
        """The command line that serves `/mcp` on the port named by the variable `PORT`."""
        return [node(), str(self.script), *([self.http_argument] if self.http_argument else [])]


# Tasks of 2025-11-25: `simulate-research-query` needs one, and asks a question when `ambiguous` is true.
EVERYTHING = Peer("server-everything", "stdio", "streamableHttp")
# An MCP App that needs no network: `get-budget-data` with its `ui://` page.
BUDGET_ALLOCATOR = Peer("server-budget-allocator", "--stdio")
# Others of that kind, each with one tool that shows it. `debug` uses every feature of a host; `threejs` needs eval.
APPS = {
    name: Peer(f"server-{name}", "--stdio")
    for name in (
        "budget-allocator",
        "basic-react",
        "cohort-heatmap",
        "debug",
        "scenario-modeler",
        "shadertoy",
        "system-monitor",
        "threejs",
    )
}
