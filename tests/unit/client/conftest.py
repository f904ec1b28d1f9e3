"""A server that wants a token, for the tests of how one is let in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import pmcp_lab as lab
from pmcp_lab.client.oauth import flow
from tests.unit.guarded import Guard, guarded_server


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where tokens are kept; nobody is signed in."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(flow, "_providers", {})
    return tmp_path / "pmcp_lab"


@pytest.fixture
def guard() -> Guard:
    return Guard()


@pytest.fixture
def url(guard: Guard, state: Path) -> Iterator[str]:
    """Of the server that `guard` keeps."""
    with guarded_server(guard) as where:
        yield where
        for server in lab.servers().values():
            server.close()
