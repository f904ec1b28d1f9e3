"""What is kept of a session's calls, what is left out, and a server that answers from it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError as MCPToolError
from mcp.shared.exceptions import MCPError

import pmcp_lab as lab
from pmcp_lab.apps import Apps, RecordedCall, Recording, WidgetDir
from pmcp_lab.apps.recording import LEFT_OUT, without_secrets
from pmcp_lab.client import client_of
from pmcp_lab.client.recorder import secrets_of
from pmcp_lab.client.targets.target import Command, Url
from pmcp_lab.errors import AppError, InvalidArguments, PeerError, ToolError


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lab.Server]:
    folder = tmp_path_factory.mktemp("widgets")
    (folder / "cart.html").write_text("<p>cart")
    apps = Apps(WidgetDir(folder, app="shop", watch=False))
    taken = iter(range(1, 100))

    @apps.tool("cart")
    def cart(user: str = "", token: str = "") -> dict[str, str]:
        return {"user": user, "session_token": "s3cret-value"}

    server: MCPServer[Any] = MCPServer("shop", version="2", extensions=[apps], middleware=[apps], log_level="CRITICAL")

    @server.tool()
    def take() -> int:
        return next(taken)

    @server.tool()
    def fail(how: str) -> str:
        if how == "protocol":
            raise MCPError(-32050, "out of stock", {"left": 0})
        raise MCPToolError("no such thing")

    @server.tool()
    def slow() -> str:
        time.sleep(0.08)
        return "done"

    with lab.connect(server, name="shop") as connected:
        yield connected


def structured(result: lab.ToolResult) -> Any:
    return result.raw["structuredContent"]


def test_a_session_is_kept_and_answers_again(shop: lab.Server, tmp_path: Path) -> None:
    file = tmp_path / "shop.json"
    with lab.record(file) as recorder:
        first = [structured(shop.call("take")) for _ in range(2)]
        shop.call("cart", user="ada", token="hunter2hunter2")
        with pytest.raises(ToolError):
            shop.call("fail", how="tool")
        with pytest.raises(PeerError):
            shop.call("fail", how="protocol")
        shop.call("slow")
        assert shop.map("cart", [{"user": "m"}]).results()[0].raw["structuredContent"]["user"] == "m"
    shop.call("take")
    assert [call.tool for call in recorder.calls] == ["take", "take", "cart", "fail", "fail", "slow", "cart"]

    said = json.loads(file.read_text())
    assert said["format"] == "pmcp-lab-recording/1"
    assert said["server"]["name"] == "shop"
    assert {tool["name"] for tool in said["tools"]} == {"cart", "take", "fail", "slow"}
    (widget,) = said["resources"]
    assert (widget["uri"], widget["mimeType"]) == ("ui://shop/cart", "text/html;profile=mcp-app")
    assert widget["text"].endswith("<p>cart")
    assert said["calls"][2]["arguments"] == {"user": "ada", "token": LEFT_OUT}
    assert "hunter2" not in file.read_text()
    assert "s3cret-value" not in file.read_text()
    assert said["calls"][4]["error"] == {"code": -32050, "message": "out of stock", "data": {"left": 0}}
    Recording.load(file).check()

    with lab.replay(file, speed=2) as again:
        assert again.name == "shop-replay"
        assert again.tools["cart"].ui.resource_uri == "ui://shop/cart"
        assert again.read("ui://shop/cart").text.endswith("<p>cart")
        # One after the other, and then the last again.
        assert [structured(again.call("take")) for _ in range(3)] == [*first, first[1]]
        # Whatever the secret is now.
        assert structured(again.call("cart", token="another", user="ada"))["user"] == "ada"
        with pytest.raises(ToolError, match="no such thing"):
            again.call("fail", how="tool")
        with pytest.raises(PeerError, match="out of stock") as caught:
            again.call("fail", how="protocol")
        assert (caught.value.code, caught.value.data) == (-32050, {"left": 0})
        began = time.perf_counter()
        again.call("slow")
        assert time.perf_counter() - began > 0.035
        with pytest.raises(PeerError, match=r"no call of tool 'cart' with .*bob.* was recorded\. Did you mean .*ada"):
            again.call("cart", user="bob", token="x")


def test_an_app_is_recorded_as_a_cell_is(shop: lab.Server) -> None:
    from pmcp_lab.client.runtime import runtime

    with lab.record(server=shop) as recorder:
        runtime().run(client_of(shop).pass_on("cart", {"user": "app"}))
    assert recorder.calls[0].arguments == {"user": "app"}
    assert recorder.calls[0].ms > 0
    with pytest.raises(InvalidArguments, match="give .*path|Give"):
        recorder.save()


def test_which_server_is_asked_when_there_were_several(shop: lab.Server, tmp_path: Path) -> None:
    other: MCPServer[Any] = MCPServer("other", log_level="ERROR")
    other.tool(name="ping")(lambda: "pong")
    with lab.connect(other, name="other") as second, lab.record() as recorder:
        with pytest.raises(InvalidArguments, match="nothing was called"):
            recorder.save(tmp_path / "x.json")
        shop.call("take")
        second.call("ping")
        with pytest.raises(InvalidArguments, match="'shop', 'other' were recorded"):
            recorder.save(tmp_path / "x.json")
        assert [call.tool for call in recorder.recording(second).calls] == ["ping"]
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"apiKey": "k"}, {"apiKey": LEFT_OUT}),
        ({"a": [{"user_password": "p"}]}, {"a": [{"user_password": LEFT_OUT}]}),
        ({"properties": {"token": {"type": "string"}}}, {"properties": {"token": {"type": "string"}}}),
        ({"tokens": 12, "token": 12, "tokenizer": "bpe"}, {"tokens": 12, "token": 12, "tokenizer": "bpe"}),
        ("Authorization: Bearer abcdefgh.123", f"Authorization: Bearer {LEFT_OUT}"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc", LEFT_OUT),
        ("key sk-abcdefghijklmnop1234 ok", f"key {LEFT_OUT} ok"),
        ("see known-secret here", f"see {LEFT_OUT} here"),
        ("a risk-free monkey", "a risk-free monkey"),
    ],
)
def test_secrets_are_left_out(value: Any, kept: Any) -> None:
    assert without_secrets(value, ["known-secret"]) == kept


def test_the_connections_own_secrets_are_known() -> None:
    url = Url("https://u:passw0rd@h.example/mcp?key=query-key", (("Authorization", "Bearer header-token"),))
    assert set(secrets_of(url)) >= {"header-token", "query-key", "passw0rd"}
    command = Command(("x",), (("API_KEY", "from-the-env"), ("LANG", "en_GB.UTF-8")))
    assert secrets_of(command) == ["from-the-env"]


GOOD: dict[str, Any] = {
    "format": "pmcp-lab-recording/1",
    "server": {"name": "s"},
    "tools": [
        {
            "name": "t",
            "inputSchema": {"type": "object", "properties": {"n": {"type": "integer"}}},
            "outputSchema": {"type": "object", "required": ["n"]},
        }
    ],
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "x"}, "is no recording"),
        ({"server": {}}, "server must have a name"),
        ({"tools": {}}, "tools must be a list"),
        ({"calls": [{"arguments": {}}]}, r"calls\[0\] must have a tool"),
        ({"calls": [{"tool": "t"}]}, r"calls\[0\] must have either a result or an error"),
        ({"calls": [{"tool": "t", "result": {}, "error": {}}]}, "either a result or an error"),
        ({"calls": [{"tool": "t", "result": {}, "arguments": []}]}, "arguments must be names"),
        ({"calls": [{"tool": "t", "result": {}, "ms": -1}]}, "ms must be"),
        ({"calls": [{"tool": "t", "error": {"message": "x"}}]}, "must have a code"),
    ],
)
def test_a_file_that_is_none_is_one_line(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    file = tmp_path / "r.json"
    file.write_text(json.dumps(GOOD | change))
    with pytest.raises(AppError, match=words) as caught:
        Recording.load(file)
    assert "\n" not in str(caught.value)


def test_calls_are_compared_with_their_tools_schemas(tmp_path: Path) -> None:
    good = Recording.from_dict(GOOD)
    good.calls = [RecordedCall(tool="t", arguments={"n": 1}, result={"content": [], "structuredContent": {"n": 1}})]
    good.check()
    for call, words in (
        (RecordedCall(tool="t", arguments={"n": "x"}, result={"structuredContent": {"n": 1}}), r"arguments\['n'\]"),
        (
            RecordedCall(tool="t", arguments={}, result={"structuredContent": {}}),
            "structuredContent: 'n' is a required",
        ),
        (RecordedCall(tool="u", arguments={}, result={}), "no tool 'u'. Did you mean 't'|Known: 't'"),
    ):
        good.calls = [call]
        with pytest.raises(AppError, match=words):
            good.check()
    with pytest.raises(AppError, match="can't be read"):
        Recording.load(tmp_path / "none.json")
    with pytest.raises(AppError, match="can't be written"):
        good.save(tmp_path / "none" / "r.json")
    assert list(tmp_path.iterdir()) == []
