"""Other people's clients of skills against ours, over both transports: each file of each skill read and verified."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from hatch_build import node
from tests import peers
from tests.conftest import installed, python_of
from tests.interop.table import peer
from tests.interop.test_clients import report
from tests.servers import started

STDIO = json.dumps([sys.executable, "-m", "tests.servers.conformance", "--stdio"])

READ = {
    "skill://acme/refunds/SKILL.md": [37, 37],
    "skill://acme/refunds/inner/partial/SKILL.md": [2, 2],
    "skill://billing/invoices/SKILL.md": [1, 1],
    "skill://billing/typed/SKILL.md": [1, 1],
    "skill://greet-somebody/SKILL.md": [1, 1],
}
"""Files that were verified, and that were listed."""
COMMON = {"read": READ, "same": True, "unknown": -32602}
TYPESCRIPT = {"supported": True, "directoryRead": True, "walked": 37, "byPath": "Rule 7\n", "noDirectory": -32602}
MODERN = {"version": "2026-07-28", "hints": [60_000, "public"]}

CLIENTS: list[tuple[str, str, Any, str, list[str], dict[str, Any]]] = [
    (
        "TypeScript SDK 2, client",
        "2025-11-25",
        None,
        "skills.mjs",
        ["legacy"],
        {"version": "2025-11-25", "hints": [None, None], **TYPESCRIPT},
    ),
    ("TypeScript SDK 2, client", "2026-07-28", None, "skills.mjs", ["auto"], MODERN | TYPESCRIPT),
    # It refuses skills of a 2025-11-25 connection.
    (
        "fastmcp, skills",
        "2026-07-28",
        peers.FASTMCP_SKILLS,
        "fastmcp_skills_client.py",
        [],
        MODERN | {"resources": list(READ)},
    ),
]


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with started("tests.servers.conformance") as url:
        yield url


@pytest.mark.parametrize(
    ("python", "script", "options", "expected", "transport"),
    [
        pytest.param(*rest, how, id=f"{name}, {when}, {how}", marks=peer(name, "client", when, how))
        for name, when, *rest in CLIENTS
        for how in ("stdio", "HTTP")
    ],
)
async def test_a_client_reads_and_verifies_every_file(
    python: peers.PythonPeer | None,
    script: str,
    options: list[str],
    expected: dict[str, Any],
    transport: str,
    server_url: str,
) -> None:
    if python is None:
        installed(peers.CONFORMANCE)
    command = [node() if python is None else python_of(python), str(peers.CLIENTS / script)]
    found = await report(command, STDIO if transport == "stdio" else server_url, *options)
    assert found == COMMON | expected
