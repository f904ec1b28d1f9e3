"""Which version of a peer is tested against, by the name that the peer has in the tables of `tests/interop/README.md`
and `tests/browser/README.md`.

Read where it is pinned: what is installed is that, or `make peers` was not run.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NPM, REFERENCE, APPS_ENV = "tests/peers/package.json", "tests/peers/reference.txt", "tests/peers/fastmcp_skills.txt"
MCP = "@modelcontextprotocol/"
APPS = (
    "basic-react",
    "budget-allocator",
    "cohort-heatmap",
    "debug",
    "scenario-modeler",
    "shadertoy",
    "system-monitor",
    "threejs",
)

PINS = {
    "Go SDK": ("tests/peers/go/go.mod", "github.com/modelcontextprotocol/go-sdk"),
    "Go SDK, everything": ("tests/peers/go/go.mod", "github.com/modelcontextprotocol/go-sdk"),
    "Python SDK 1": ("tests/peers/mcp1.txt", "mcp"),
    "Python SDK 2": ("pyproject.toml", "mcp"),
    "TypeScript SDK 1": (NPM, f"{MCP}sdk"),
    "TypeScript SDK 2, client": (NPM, f"{MCP}client"),
    "TypeScript SDK 2, server": (NPM, f"{MCP}server"),
    "conformance": (NPM, f"{MCP}conformance"),
    "fastmcp": ("tests/peers/fastmcp.txt", "fastmcp"),
    "fastmcp, skills": ("tests/peers/fastmcp_skills.txt", "fastmcp"),
    "fastmcp-tasks": ("tests/peers/fastmcp.txt", "fastmcp-tasks"),
    "mcp-server-fetch": (REFERENCE, "mcp-server-fetch"),
    "mcp-server-git": (REFERENCE, "mcp-server-git"),
    "mcp-server-time": (REFERENCE, "mcp-server-time"),
    "rmcp": ("tests/peers/rust/Cargo.lock", "rmcp"),
    **{
        f"server-{name}": (NPM, f"{MCP}server-{name}")
        for name in (*APPS, "everything", "filesystem", "memory", "sequential-thinking")
    },
}

SHOWN = {
    "fastmcp, apps": (APPS_ENV, "fastmcp"),
    "mcp-ui": (NPM, "@mcp-ui/server"),
    **{
        f"server-{name}": (NPM, f"{MCP}server-{name}")
        for name in (
            *(f"basic-{each}" for each in ("preact", "solid", "svelte", "vanillajs", "vue")),
            *("customer-segmentation", "lazy-auth", "map", "pdf", "sheet-music"),
            *("transcript", "video-resource", "wiki-explorer"),
        )
    },
}
"""Of those that are in the table of `tests/browser/README.md` alone."""


@cache
def version(peer: str) -> str:
    """The version that is pinned, or the range where any in it will do."""
    path, package = (PINS | SHOWN)[peer]
    text, name = (ROOT / path).read_text(), re.escape(package)
    if path.endswith("package.json"):
        return str(json.loads(text)["dependencies"][package])
    pattern = {
        "go.mod": rf"^(?:require )?\s*{name} v(\S+)",
        "Cargo.lock": rf'^name = "{name}"\nversion = "([^"]+)"',
        "pyproject.toml": rf'^\s*"{name}([<>=][^"]+)"',
    }.get(Path(path).name, rf"^{name}==(\S+)")
    found = re.search(pattern, text, re.MULTILINE | re.IGNORECASE)
    if found is None:
        raise LookupError(f"{path} names no version of {package}")
    return found[1]
