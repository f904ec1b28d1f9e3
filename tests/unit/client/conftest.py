"""What tests of the client share: a workshop to connect to, a kernel's memory, and a server that wants a token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pmcp_lab as lab
from pmcp_lab.client.oauth import flow
from tests.unit.guarded import Guard, guarded_server
from tests.unit.workshop import Workshop

MODES = ["legacy", "2026-07-28"]

Connect = Callable[..., lab.Server]


@pytest.fixture
def workshop() -> Workshop:
    return Workshop()


@pytest.fixture(params=MODES)
def server(request: pytest.FixtureRequest, workshop: Workshop) -> Iterator[lab.Server]:
    """The workshop, in either generation."""
    with lab.connect(workshop.server, name="shop", mode=request.param) as server:
        yield server


@pytest.fixture
def modern(workshop: Workshop) -> Iterator[lab.Server]:
    with lab.connect(workshop.server, name="shop") as server:
        yield server


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The environment of a kernel of a notebook; the folder of what it remembers."""
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/ann/sweep.ipynb")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    return tmp_path / "pmcp_lab"


@pytest.fixture(params=MODES)
def connect(request: pytest.FixtureRequest, workshop: Workshop, notebook: Path) -> Iterator[Connect]:
    """Connections to the workshop, each with no memory of the others but the disk: as after a restart.

    One of the same name is closed before.
    """
    servers: list[lab.Server] = []

    def connected(name: str = "shop") -> lab.Server:
        for server in servers:
            if server.name == name:
                server.close()
        servers.append(lab.connect(workshop.server, name=name, mode=request.param))
        return servers[-1]

    yield connected
    for server in servers:
        server.close()


def files(notebook: Path) -> list[Path]:
    return sorted(notebook.rglob("sets-*/*/*.jsonl"))


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
