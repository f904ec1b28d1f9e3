"""The kernel side against servers of others with an MCP App: the tool that opens it, and its page."""

from __future__ import annotations

import pytest

import pmcp_lab as lab
from tests import peers
from tests.conftest import installed
from tests.interop.table import peer
from tests.peers.pins import APPS


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=peer(f"server-{each}", "server", "2025-11-25", "stdio")) for each in APPS]
)
def test_its_page(name: str) -> None:
    with lab.connect(installed(peers.APPS[name]).stdio, name="app") as server:
        assert server.version == "2025-11-25"
        apps = server.tools.df.dropna(subset="app")
        assert len(apps) >= 1
        page = server.read(apps.app.iloc[0])
        assert page.text.lstrip().lower().startswith("<!doctype html")
        assert page[0].mime_type == "text/html;profile=mcp-app"
