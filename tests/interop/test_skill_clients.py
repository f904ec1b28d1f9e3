"""Other people's clients of skills against ours, over both transports: each file of each skill read and verified."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from hatch_build import node
from tests import peers
from tests.conftest import installed, python_of
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

CLIENTS: dict[str, tuple[Any, str, list[str], dict[str, Any]]] = {
    "typescript client 2.4, legacy": (
        None,
        "skills.mjs",
        ["legacy"],
        {"version": "2025-11-25", "hints": [None, None], **TYPESCRIPT},
    ),
    "typescript client 2.4, auto": (None, "skills.mjs", ["auto"], MODERN | TYPESCRIPT),
    # It refuses skills of a 2025-11-25 connection.
    "fastmcp 4.2": (peers.FASTMCP_SKILLS, "fastmcp_skills_client.py", [], MODERN | {"resources": list(READ)}),
}


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with started("tests.servers.conformance") as url:
        yield url


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_client_over_both_transports(name: str, server_url: str) -> None:
    peer, script, options, expected = CLIENTS[name]
    if peer is None:
        installed(peers.CONFORMANCE)
    command = [node() if peer is None else python_of(peer), str(peers.CLIENTS / script)]
    reports = await asyncio.gather(*(report(command, target, options) for target in (server_url, STDIO)))
    for transport, found in zip(("http", "stdio"), reports, strict=True):
        assert found == COMMON | expected, transport
