"""`pmcp-lab app check --open`: apps that go wrong only when somebody opens them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from pmcp_lab.cli import main

SERVER = '''
from mcp.server.apps import Apps
from mcp.server.mcpserver import MCPServer

START = """<!doctype html><title>A</title><script>
const say = (message) => parent.postMessage({jsonrpc: "2.0", ...message}, "*");
addEventListener("message", ({data}) => {
  if (data.id !== 1) return;
  say({method: "ui/notifications/initialized", params: {}});
  setTimeout(() => { LATER }, 100);
});
say({id: 1, method: "ui/initialize", params: {
  protocolVersion: "2026-01-26", appInfo: {name: "a", version: "1"}, appCapabilities: {}}});
</script>"""
PAGES = {
    "fine": START.replace("LATER", ""),
    "late": START.replace("LATER", 'undefined_thing("\\x1b[31mred");'),
    "mute": "<!doctype html><title>B</title><p>nothing happens",
    "torn": "<!doctype html><title>C</title><script>\\nlet a = ;\\n</script>",
    "shut": START.replace("LATER", 'fetch("https://api.example/x").catch(() => 0);'),
}


def build(*names):
    apps = Apps()
    for name in names:
        apps.add_html_resource(f"ui://shop/{name}", PAGES[name])

        @apps.tool(name=name, resource_uri=f"ui://shop/{name}", description="Shows it.")
        def show() -> str:
            return "shown"

    return MCPServer("shop", version="1", description="Sells.", extensions=[apps], log_level="CRITICAL")


each = build(*PAGES)
fine = build("fine")
'''


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"shop_{os.getpid()}_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(SERVER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    status: Any = 0
    try:
        main(["app", "check", *arguments, "--json"])
    except SystemExit as ended:
        status = ended.code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return status or 0, found


def test_each_says_what_goes_wrong_in_it(shop: str, chromium: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = check(capsys, f"{shop}:each", "--open", "--browser", chromium)
    assert status == 3
    assert len(found["opened"]) == 5
    said = {(each["code"], each["place"].split()[0]): each for each in found["findings"] if each["code"][:4] == "app-"}
    assert set(said) == {
        ("app-error", "ui://shop/late"),
        ("app-silent", "ui://shop/mute"),
        ("app-error", "ui://shop/torn"),
        ("app-silent", "ui://shop/torn"),
        ("app-blocked", "ui://shop/shut"),
    }
    late = said["app-error", "ui://shop/late"]
    assert "undefined_thing" in late["what"]
    assert "\x1b" not in late["what"]
    assert "line 2" in said["app-error", "ui://shop/torn"]["place"]
    assert said["app-blocked", "ui://shop/shut"]["level"] == "error"


def test_one_that_is_fine(shop: str, chromium: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = check(capsys, f"{shop}:fine", "--open", "--browser", chromium)
    assert (status, found["opened"]) == (0, ["ui://shop/fine"])
    assert not [each for each in found["findings"] if each["code"].startswith("app-")]


@pytest.mark.parametrize(
    ("browser", "said"),
    [
        ("/nowhere/chromium", "/nowhere/chromium can't be started: No such file or directory"),
        (sys.executable, "the browser ended by itself"),
    ],
)
def test_a_browser_that_is_none(shop: str, browser: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["app", "check", f"{shop}:fine", "--open", "--browser", browser])
    assert ended.value.code == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_browser_ends_with_the_command(number: int, shop: str, chromium: str) -> None:
    options = ["app", "check", f"{shop}:each", "--open", "--browser", chromium]
    command = [sys.executable, "-c", "from pmcp_lab.cli import main; main()", *options]
    # A short path: Chromium ends where that of its socket is a long one.
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.Popen(command, env={**os.environ, "TMPDIR": folder})
        profile = None
        for _ in range(300):
            profile = next(Path(folder).glob("pmcp-lab-*/Default"), None)
            if profile is not None or run.poll() is not None:
                break
            time.sleep(0.1)
        assert profile is not None
        run.send_signal(number)
        assert run.wait(30) == 130
        assert not list(Path(folder).glob("pmcp-lab-*")), "its profile is gone, and so is the browser"
