"""Other people's MCP servers and clients to test against: what they are called and how each is started.

The versions are pinned beside this file: in `package-lock.json`, in one requirements file per Python environment, in
`go/go.sum` and `rust/Cargo.lock`. `make peers` installs them; by hand it is `npm ci --ignore-scripts` in this folder,
an environment per file, and a build in each of those two folders.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hatch_build import node
from tests.peers.pins import APPS as APP_NAMES

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Peer:
    """One npm package, the way it is started."""

    package: str
    stdio_argument: str | None = None
    http_argument: str | None = None

    @property
    def script(self) -> Path:
        return HERE / "node_modules" / "@modelcontextprotocol" / self.package / "dist" / "index.js"

    @property
    def stdio(self) -> list[str]:
        """The command line that serves on stdin and stdout."""
        return [node(), str(self.script), *([self.stdio_argument] if self.stdio_argument else [])]

    @property
    def http(self) -> list[str]:
        """The command line that serves `/mcp` on the port named by the variable `PORT`."""
        return [node(), str(self.script), *([self.http_argument] if self.http_argument else [])]


# Tasks of 2025-11-25: `simulate-research-query` needs one, and asks a question when `ambiguous` is true.
EVERYTHING = Peer("server-everything", "stdio", "streamableHttp")
# An MCP App that needs no network: `get-budget-data` with its `ui://` page.
BUDGET_ALLOCATOR = Peer("server-budget-allocator", "--stdio")

# The official conformance suite: `server --url … --requirements <revision>`.
CONFORMANCE = Peer("conformance", "--help")

CLIENTS = HERE / "clients"
"""Scripts in the peers' own languages; each prints what came of its calls as JSON."""

SERVERS = HERE / "servers"


@dataclass(frozen=True)
class PythonPeer:
    """Packages that can't be in our environment, in one of their own; a variable can name its Python."""

    name: str

    @property
    def python(self) -> Path:
        named = os.environ.get(f"PMCP_LAB_{self.name.upper()}_PYTHON")
        return Path(named) if named else ROOT / ".peers" / self.name / "bin" / "python"


# The Python SDK 1.x: tasks of 2025-11-25.
MCP1 = PythonPeer("mcp1")
# fastmcp with fastmcp-tasks: the tasks extension of 2026-07-28.
FASTMCP = PythonPeer("fastmcp")
# mcp-server-time, -git and -fetch.
REFERENCE = PythonPeer("reference")


@dataclass(frozen=True)
class BuiltPeer:
    """Programs on somebody's SDK, built where there is a toolchain for them."""

    language: str
    toolchain: str
    folder: Path

    def program(self, name: str) -> Path:
        return self.folder / name


# A client, a server, and the SDK's own example server `everything`.
GO = BuiltPeer("Go", "go", ROOT / ".peers" / "go")
# A client and a server on rmcp, with the tasks extension.
RUST = BuiltPeer("Rust", "cargo", ROOT / ".peers" / "rust" / "debug")
# fastmcp with skills, a version that its tasks do not go with.
FASTMCP_SKILLS = PythonPeer("fastmcp_skills")

# Others of that kind, each with one tool that shows it. `debug` uses every feature of a host; `threejs` needs eval.
APPS = {name: Peer(f"server-{name}", "--stdio") for name in APP_NAMES}

# Servers that people have in their `.mcp.json`.
FILESYSTEM = Peer("server-filesystem")
MEMORY = Peer("server-memory")
SEQUENTIAL_THINKING = Peer("server-sequential-thinking")
