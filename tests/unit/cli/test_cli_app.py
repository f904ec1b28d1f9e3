"""`pmcp-lab app`: what it prints, what it writes, and the one line for what can't be done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pmcp_lab.cli import main
from pmcp_lab.cli.discovery import authorization
from tests.unit.cli.test_cli import ENVIRONMENT
from tests.unit.guarded import Guard, guarded_server

ROOT = Path(__file__).parents[3]

SERVERS = """
from mcp.server.apps import Apps, ResourceCsp
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

PAGE = "<!doctype html><title>A</title><script>parent.postMessage({method: 'ui/initialize'}, '*')</script>"


def make(html=PAGE, *, version="1.0.0", **resource):
    apps = Apps()
    apps.add_html_resource("ui://shop/cart", html, **resource)

    @apps.tool(resource_uri="ui://shop/cart", description="The cart.")
    def cart(of: str = "me") -> dict[str, str]:
        if of == "nobody":
            raise ToolError("who?")
        return {"of": of}

    return MCPServer("shop", version=version, description="Sells.", extensions=[apps], log_level="CRITICAL")


good = make()
csp = make(csp=ResourceCsp(connect_domains=["api.example/v1"]))
cdn = make(PAGE + "<script src='https://cdn.example/a.js'></script>")
noisy = make(PAGE + "<script>eval('1')</script>")
bare = MCPServer("bare")

bad = MCPServer("bad", version="1", log_level="CRITICAL")


@bad.tool(meta={"ui": {"resourceUri": "ui://bad/nothing"}})
def show() -> str:
    return "x"


def broken():
    raise RuntimeError("no wifi")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with servers in `shop.py`, which is imported anew."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "shop.py").write_text(SERVERS)
    monkeypatch.chdir(work)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield work
    sys.modules.pop("shop", None)


Lab = Callable[..., tuple[int, str, str]]


@pytest.fixture
def lab(capsys: pytest.CaptureFixture[str]) -> Lab:
    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            main(arguments)
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        return status, *capsys.readouterr()

    return run


# --- bad input --------------------------------------------------------------------------------------

DIST = ("--url", "https://a.example/mcp")


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        # NAME
        (["new", "two words"], 1, "'two words' is no name of a package"),
        (["new", "../up"], 1, "'../up' is no name of a package"),
        (["new", ""], 1, "'' is no name of a package"),
        (["new", "-x"], 2, "No such option"),
        (["new", "x-"], 1, "'x-' is no name of a package"),
        (["new", "café"], 1, "'café' is no name of a package"),
        (["new", "name\n"], 1, "is no name of a package"),
        (["new", "class"], 1, "'class' is a word of the Python language"),
        (["new", "Match"], 1, "'Match' is a word of the Python language"),
        (["new", "3d"], 1, "'3d' can't be imported as '3d'"),
        (["new", "json"], 1, "would hide the module 'json' of Python's library"),
        (["new", "pmcp-lab"], 1, "would hide the 'pmcp_lab' that the project needs"),
        (["new", "tests"], 1, "would hide the 'tests' that the project needs"),
        (["new", "con"], 1, "'con' can't be a folder on Windows"),
        (["new", "x" * 61], 1, "the name has 61 letters"),
        (["new", "taken"], 1, "taken exists already"),
        (["new", "link"], 1, "link exists already"),
        (["new", "fine", "--path", "taken/file"], 2, "is a file"),
        (["new", "fine", "--template", "hallo"], 2, "hallo"),
        (["new"], 2, "Missing argument 'NAME'"),
        # servers
        (["check", "http://127.0.0.1:9/mcp"], 1, "Can't connect to '127.0.0.1:9'"),
        (["check", "ftp://a.example"], 1, "ftp:// is no MCP transport"),
        (["check", "no-such-thing"], 1, "'no-such-thing' is not a bundled server"),
        (["check", "./shop.py"], 1, "name what runs it, 'python ./shop.py'"),
        (["check", "nowhere:server"], 1, "there is no module 'nowhere'"),
        (["check", "shop:nothing"], 1, "module 'shop' has no 'nothing'"),
        (["check", "shop"], 1, "module 'shop' has none of server, mcp, app, build; write shop:object"),
        (["check", "shop:broken"], 1, "shop:broken can't be imported: RuntimeError: no wifi"),
        (["check", "shop:PAGE"], 1, "shop:PAGE is a str, not an MCPServer"),
        (["check", "shop:bare"], 1, "server 'bare' has no UI: none of its 0 tools names a ui:// resource"),
        (["check", "false"], 1, "Can't connect to 'false'"),
        (["check", "python -c 'raise SystemExit(chr(63)*900)'"], 1, "connection closed: ????"),
        (["check"], 2, "Missing argument 'TARGET'"),
        (["check", "shop:good", "--examples", "nowhere.json", "--call"], 2, "does not exist"),
        (["check", "shop:good", "--examples", "shop.py"], 2, "--examples are for --call"),
        (["check", "shop:good", "--browser", "/nowhere/chromium"], 1, "/nowhere/chromium can't be started"),
        (["check", "shop:good", "--examples", "shop.py", "--call"], 1, "shop.py is no JSON"),
        (["check", "shop:good", "--examples", "list.json", "--call"], 1, "must be an object of arguments by tool"),
        (["check", "shop:good", "--examples", "unknown.json", "--call"], 1, "has no tool 'carts'"),
        (["check", "shop:good", "--examples", "wrong.json", "--call"], 1, "can't take these arguments"),
        (["check", "shop:good", "--timeout", "0"], 2, "--timeout"),
        # publishing
        (["build", "shop:bare", *DIST], 1, "server 'bare' has no UI"),
        (["build", "shop:good"], 1, "say where it will be reached"),
        (["build", "shop:good", "--url", "http://a.example/mcp"], 1, "is not encrypted"),
        (["build", "shop:good", "--url", "https://localhost/mcp"], 1, "nobody else can reach localhost"),
        (["build", "shop:good", "--package", "pypi:shop"], 1, "--name io.github"),
        (["build", "shop:good", *DIST, "--logo", "http://a.example/i.png"], 1, "ai-plugin.json.logo_url would not fit"),
        (["build", "shop:csp", *DIST], 3, "'api.example/v1' is no origin that a host lets through"),
        (["build", "shop:cdn", *DIST], 3, "<script src> needs https://cdn.example"),
        (["build", "shop:bad", *DIST], 3, "names ui://bad/nothing, which can't be read"),
        (["build", "shop:good", *DIST, "--recording", "nowhere.json"], 2, "does not exist"),
        (["build", "shop:good", *DIST, "--recording", "shop.py"], 1, "shop.py is no JSON"),
        (["build", "shop:good", *DIST, "--recording", "list.json"], 1, "list.json is no recording"),
        (["build", "shop:good", *DIST, "--output", "full"], 1, "full/server.json exists already"),
        (["build", "shop:good", *DIST, "--output", "taken/file"], 2, "is a file"),
        (["build", "shop:good", *DIST, "--output", "taken/file/dist"], 1, "is no folder"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    arguments: list[str], status: int, says: str, folder: Path, lab: Lab
) -> None:
    for name, text in (
        ("taken/file", "mine"),
        ("full/server.json", "mine"),
        ("list.json", "[1]"),
        ("unknown.json", '{"carts": {}}'),
        ("wrong.json", '{"cart": {"off": "me"}}'),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "link").symlink_to("nowhere")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    ended, out, err = lab("app", *arguments)
    assert (ended, out) == (status, "")
    *usage, line = err.splitlines()
    assert line.startswith("pmcp-lab: ")
    assert says in line
    assert [each.split()[0] for each in usage] == (["usage:"] if status == 2 else [])
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after == before


# --- new --------------------------------------------------------------------------------------------


def test_new_and_force(folder: Path, lab: Lab) -> None:
    status, out, _ = lab("app", "new", "My.App", "--json")
    said = json.loads(out)
    assert (status, said["package"], said["folder"]) == (0, "my_app", "My.App")
    written = sorted(str(path.relative_to(folder)) for path in (folder / "My.App").rglob("*") if path.is_file())
    assert written == sorted(said["files"])
    mock = json.loads((folder / "My.App/mock-data/My.App.json").read_text())
    assert [call["arguments"] for call in mock["calls"]] == [{"name": "World"}, {"name": "Ada", "language": "de"}]
    assert mock["calls"][1]["result"]["structuredContent"]["greeting"] == "Guten Tag, Ada!"

    (folder / "My.App/README.md").write_text("mine")
    (folder / "My.App/notes.txt").write_text("mine too")
    assert lab("app", "new", "My.App")[0] == 1
    assert (folder / "My.App/README.md").read_text() == "mine"
    status, out, _ = lab("app", "new", "My.App", "--force")
    assert status == 0
    assert "pip install -e '.[dev]'" in out
    assert (folder / "My.App/README.md").read_text().startswith("# My app\n")
    assert (folder / "My.App/notes.txt").read_text() == "mine too"
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


# --- check and build --------------------------------------------------------------------------------


def test_check_says_what_to_do(lab: Lab) -> None:
    status, out, err = lab("app", "check", "shop:cdn", "--no-open")
    assert (status, err) == (3, "")
    words = " ".join(out.split())
    assert "error csp-undeclared ui://shop/cart line 1" in words
    assert "add it to _meta.ui.csp.resourceDomains" in words
    assert words.endswith("shop: 1 app, 1 tool with one: 1 error, 0 warnings, 0 notes")


def test_check_for_scripts(lab: Lab) -> None:
    status, out, _ = lab("app", "check", "shop:noisy", "--no-open", "--json")
    said = json.loads(out)
    assert (status, said["ok"], said["errors"], said["warnings"]) == (0, True, 0, 1)
    assert said["apps"] == ["ui://shop/cart"]
    (finding,) = said["findings"]
    assert finding.keys() == {"level", "code", "place", "what", "fix"}
    status, out, _ = lab("app", "check", "shop:noisy", "--no-open", "--json", "--strict")
    assert (status, json.loads(out)["ok"]) == (3, False)


def test_check_calls_what_it_has_examples_of(folder: Path, lab: Lab) -> None:
    status, out, _ = lab("app", "check", "shop:good", "--no-open", "--call", "--json")
    said = json.loads(out)
    assert (status, said["called"]) == (0, [])
    assert [finding["code"] for finding in said["findings"]] == ["not-called"]
    (folder / "examples.json").write_text('{"cart": [{"of": "you"}, {"of": "nobody"}]}')
    status, out, _ = lab("app", "check", "shop:good", "--no-open", "--call", "--examples", "examples.json", "--json")
    said = json.loads(out)
    assert (status, said["called"]) == (3, ["cart", "cart"])
    (finding,) = said["findings"]
    assert finding["code"] == "call-failed"
    assert finding["what"].endswith("cart: who?")


def test_build_and_force(folder: Path, lab: Lab) -> None:
    status, out, _ = lab("app", "build", "shop:good", *DIST)
    assert (status, out.split()) == (0, ["dist/server.json", "dist/ai-plugin.json", "dist/landing.html"])
    assert lab("app", "build", "shop:good", *DIST)[0] == 1
    status, out, _ = lab("app", "build", "shop:good", "--url", "https://b.example", "--force", "--json")
    said = json.loads(out)
    assert status == 0
    assert said["manifests"]["server.json"] == json.loads((folder / "dist/server.json").read_text())
    assert said["manifests"]["server.json"]["remotes"][0]["url"] == "https://b.example"


def test_the_landing_page_answers_with_recorded_calls(folder: Path, lab: Lab) -> None:
    call = {"tool": "cart", "arguments": {"of": "them"}, "result": {"content": [], "structuredContent": {"of": "them"}}}
    recording = {"format": "pmcp-lab-recording/1", "server": {"name": "shop"}, "calls": [call]}
    (folder / "mock-data").mkdir()
    (folder / "mock-data/shop.json").write_text(json.dumps(recording))
    assert lab("app", "build", "shop:good", *DIST)[0] == 0
    assert '"of":"them"' in (folder / "dist/landing.html").read_text()

    wrong = {**recording, "calls": [{**call, "result": {"content": [], "structuredContent": {"of": 7}}}]}
    (folder / "wrong.json").write_text(json.dumps(wrong))
    status, out, err = lab("app", "build", "shop:good", *DIST, "--recording", "wrong.json", "--output", "other")
    assert (status, out) == (1, "")
    assert err.startswith("pmcp-lab: wrong.json does not fit the server: calls[0] of 'cart': structuredContent")
    assert len(err.splitlines()) == 1
    assert not (folder / "other").exists()


def test_a_server_that_runs(lab: Lab) -> None:
    command = [sys.executable, "-m", "pmcp_lab", "demo", "--http", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            status, out, _ = lab("app", "check", url, "--no-open", "--json")
            assert (status, json.loads(out)["ok"]) == (0, True)
            assert lab("app", "build", url)[0] == 1
            status, out, _ = lab("app", "build", url, "--allow-http", "--name", "io.github.me/demo", "--json")
            plugin = json.loads(out)["manifests"]["ai-plugin.json"]
            assert (status, plugin["mcp_apps"]["server_url"], plugin["auth"]) == (0, url, {"type": "none"})
        finally:
            process.terminate()


def test_who_signs_people_in_is_found_out() -> None:
    with guarded_server(Guard()) as url:
        auth = authorization(url, None)
    assert auth["type"] == "oauth"
    assert auth["client_url"].endswith("/authorize")
    assert auth["authorization_url"].endswith("/token")
    assert authorization("http://127.0.0.1:9/mcp", "t") == {"type": "user_http", "authorization_type": "bearer"}


# --- the shell --------------------------------------------------------------------------------------


def test_completion_knows_commands_and_templates() -> None:
    def complete(words: str, at: int) -> list[str]:
        asked = {"_PMCP_LAB_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(at)}
        command = [sys.executable, "-c", "from pmcp_lab.cli import main; main()"]
        return subprocess.check_output(command, env={**os.environ, **ENVIRONMENT, **asked}, text=True).split()

    assert complete("pmcp-lab app ", 2)[:3] == ["new", "check", "build"]
    assert "dataviz" in complete("pmcp-lab app new x --template ", 5)


@pytest.mark.parametrize("command", [["check"], ["build"], ["record", "--out", "calls.json"]], ids=" ".join)
def test_a_generation_that_is_named_is_not_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    group = [] if command[0] == "record" else ["app"]
    started: list[int] = []
    for mode in ("auto", "legacy", "2026-07-28"):
        # What is found out is remembered for a command line.
        starts = folder / f"{command[0]}-{mode}"
        target = f"{sys.executable} {ROOT / 'tests/servers/odd.py'} ends-on-probe {starts}"
        with pytest.raises(SystemExit):
            main([*group, *command, "--mode", mode, target])
        started.append(starts.read_text().count("started"))
        assert ("Can't connect" in capsys.readouterr().err) == (mode == "2026-07-28")
    assert started == [2, 1, 1]
