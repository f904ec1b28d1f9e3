"""What `connect` reads out of what it is given."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pmcp_lab.client.targets.target import Command, Url, read_target
from pmcp_lab.errors import TargetError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, **servers: object) -> Path:
    path.write_text(json.dumps({"mcpServers": servers}))
    return path


@pytest.mark.parametrize(
    ("given", "name", "argv"),
    [
        (["python", "time_server.py", "--fast"], "time_server", ("python", "time_server.py", "--fast")),
        ("python -m weather.server", "weather.server", ("python", "-m", "weather.server")),
        ("npx -y @scope/server-map@2 --stdio", "server-map", ("npx", "-y", "@scope/server-map@2", "--stdio")),
        (
            ["node", "x/node_modules/@scope/server-map/dist/index.js", "--stdio"],
            "server-map",
            ("node", "x/node_modules/@scope/server-map/dist/index.js", "--stdio"),
        ),
        ("'my server' 'an argument'", "my server", ("my server", "an argument")),
    ],
)
def test_commands(given: object, name: str, argv: tuple[str, ...]) -> None:
    assert read_target(given) == (name, Command(argv))


def test_urls() -> None:
    name, target = read_target("https://example.org:8443/mcp?key=secret", headers={"Authorization": "Bearer secret"})
    assert name == "example.org:8443"
    assert isinstance(target, Url)
    assert str(target) == "https://example.org:8443/mcp", "what is secret is in no text"
    assert str(Url("http://me:pw@host/mcp")) == "http://host/mcp"


def test_the_demo() -> None:
    name, target = read_target("demo")
    assert name == "demo"
    assert isinstance(target, Command)
    assert target.argv == (sys.executable, "-m", "pmcp_lab", "demo")


def test_an_entry_of_the_nearest_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / ".mcp.json", mine={"command": "run", "args": ["--key", "${KEY:-none}"], "env": {"A": "${HOME}"}})
    monkeypatch.setenv("HOME", "/somewhere")
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert read_target("mine") == ("mine", Command(("run", "--key", "none"), (("A", "/somewhere"),)))


def test_a_url_entry_with_headers(folder: Path) -> None:
    file = write(folder / "servers.json", far={"type": "http", "url": "https://example.org/mcp", "headers": {"X": "1"}})
    assert read_target("far", config=file) == ("far", Url("https://example.org/mcp", (("X", "1"),)))
    assert read_target("servers.json")[0] == "far", "a file with one entry needs no name"
    assert read_target(None, config=file)[0] == "far"


def test_the_section_of_vs_code(folder: Path) -> None:
    (folder / ".vscode").mkdir()
    (folder / ".vscode" / "mcp.json").write_text(json.dumps({"servers": {"mine": {"command": "run"}}}))
    assert read_target("mine")[1] == Command(("run",))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "empty"),
        ([], "empty"),
        ("dem", "Did you mean 'demo'"),
        ("ftp://example.org/mcp", "no MCP transport"),
        ("http://", "is not a URL"),
        ("http://host:port/mcp", "is not a URL"),
        ("run 'open", "Can't read the command line"),
        (7, "Can't connect to a int"),
        ({"type": "stdio"}, 'neither "command" nor "url"'),
        (object(), "Can't connect to a object"),
    ],
)
def test_what_can_not_be_read(given: object, said: str) -> None:
    with pytest.raises(TargetError, match=said):
        read_target(given)


def test_trouble_with_a_file(folder: Path) -> None:
    file = write(folder / "servers.json", first={"command": "a", "env": {"K": "${NOT_SET_ANYWHERE}"}}, second={})
    with pytest.raises(TargetError, match="needs the environment variable NOT_SET_ANYWHERE"):
        read_target("first", config=file)
    with pytest.raises(TargetError, match="Did you mean 'second'"):
        read_target("secnd", config=file)
    with pytest.raises(TargetError, match="has 2 servers; name one of them"):
        read_target(None, config=file)
    with pytest.raises(TargetError, match="Can't read"):
        read_target("x", config=folder / "none.json")
    (folder / "bad.json").write_text("{")
    with pytest.raises(TargetError, match="not valid JSON"):
        read_target("x", config=folder / "bad.json")
    (folder / "other.json").write_text("[]")
    with pytest.raises(TargetError, match='no "mcpServers"'):
        read_target("x", config=folder / "other.json")


def test_stderr_can_be_read_while_it_is_closed() -> None:
    import threading

    from pmcp_lab.client.connection.transports import StderrLog

    for _ in range(200):
        log = StderrLog()
        log.file.write("last words\n")
        log.file.flush()
        seen: list[str] = []
        reader = threading.Thread(target=lambda log=log, seen=seen: seen.extend(log.text() for _ in range(20)))
        reader.start()
        log.close()
        reader.join()
        assert seen == ["last words\n"] * 20
