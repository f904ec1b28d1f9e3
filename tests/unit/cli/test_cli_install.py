"""`pmcp-lab install`: one entry more in a file, and nothing else of it changed."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pmcp_lab.cli import main

OTHERS = """{
    "theme": "dark",
    "mcpServers": {
        "other": { "command": "né", "args": ["-y"] }
    }
}"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    return tmp_path


def install(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status: Any = 0
    try:
        main(["install", *arguments])
    except SystemExit as ended:
        status = ended.code or 0
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.mark.parametrize(
    ("client", "file", "section"),
    [
        ("claude", ".config/Claude/claude_desktop_config.json", "mcpServers"),
        ("cursor", ".cursor/mcp.json", "mcpServers"),
        ("vscode", ".vscode/mcp.json", "servers"),
        ("mcp.json", ".mcp.json", "mcpServers"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="Claude Desktop's file is elsewhere")
def test_each_client_finds_it(
    home: Path, client: str, file: str, section: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(capsys, "demo", "--client", client, "--yes")[0] == 0
    entry = json.loads((home / file).read_text())[section]["demo"]
    assert Path(entry["command"]).is_absolute()
    assert entry["args"][:2] == ["-m", "pmcp_lab"]
    status, out, _ = install(capsys, "demo", "--client", client, "--yes")
    assert (status, out) == (0, f"{out.split(' has ')[0]} has 'demo' already\n")
    assert [each.name for each in (home / file).parent.iterdir()] == [Path(file).name], "nothing is left beside it"


def test_others_stay_as_they_are(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = home / ".mcp.json"
    file.write_text(OTHERS, encoding="utf-8")
    status, out, _ = install(capsys, "https://a.example/mcp", "--client", "mcp.json", "--name", "shop", "--yes")
    assert status == 0
    assert '+        "shop": {' in out
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found.pop("mcpServers") == {
        "other": {"command": "né", "args": ["-y"]},
        "shop": {"type": "http", "url": "https://a.example/mcp"},
    }
    assert found == {"theme": "dark"}
    assert (home / ".mcp.json.bak").read_text(encoding="utf-8") == OTHERS
    assert '\n    "theme"' in file.read_text(encoding="utf-8"), "set in as it was"
    install(capsys, "https://b.example/mcp", "--client", "mcp.json", "--name", "shop", "--yes")
    assert (home / ".mcp.json.bak").read_text(encoding="utf-8") == OTHERS, "the first is kept"
    assert "a.example" in (home / ".mcp.json.bak2").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"mcpServers": {', "is no JSON"),
        ('{\n  // mine\n  "mcpServers": {}\n}', "comments, which would be lost"),
        ("[]", "is no JSON object"),
        ('{"mcpServers": []}', "'mcpServers' is no object"),
        ('{"mcpServers": {"a": {}, "a": {}}}', "has 'a' twice"),
        ("[" * 100_000, "nothing was written"),
        ("\udcff", "is no UTF-8"),
    ],
)
def test_a_file_that_is_none_is_left_alone(
    home: Path, text: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = home / ".mcp.json"
    file.write_bytes(before := text.encode("utf-8", "surrogateescape"))
    status, out, err = install(capsys, "demo", "--client", "mcp.json", "--yes")
    assert (status, out) == (1, "")
    assert says in err
    assert "nothing was written" in err
    assert file.read_bytes() == before
    assert [each.name for each in home.iterdir()] == [".mcp.json"]


def test_nobody_agrees(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = install(capsys, "demo", "--client", "mcp.json")
    assert status == 1
    assert '+    "demo": {' in out
    assert "nobody is here to agree; --yes writes it" in err
    assert not list(home.iterdir())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["https://a.example/mcp", "--client", "claude"], "has commands alone"),
        (["json:loads", "--client", "cursor"], "json:loads"),
        (["no-such-thing", "--client", "cursor"], "no-such-thing"),
    ],
)
def test_what_can_not_be_installed(
    home: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = install(capsys, *arguments, "--yes")
    assert status == 1
    assert says in err
    assert not list(home.iterdir())


def test_a_link_stays_one(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "dotfiles").mkdir()
    (home / "dotfiles" / "mcp.json").write_text("{}")
    (home / ".mcp.json").symlink_to(home / "dotfiles" / "mcp.json")
    assert install(capsys, "demo", "--client", "mcp.json", "--yes")[0] == 0
    assert (home / ".mcp.json").is_symlink()
    assert "demo" in (home / "dotfiles" / "mcp.json").read_text()


def test_the_entry_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = install(capsys, "demo", "--client", "vscode", "--print")
    assert status == 0
    assert json.loads(out)["servers"]["demo"]["type"] == "stdio"
    assert not list(home.iterdir())
