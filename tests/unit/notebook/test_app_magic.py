"""`%%mcp_app` in an IPython shell: what becomes of the cell, and of the view when it is run again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import comm
import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

import pmcp_lab as lab
from pmcp_lab.errors import AppError, InvalidArguments
from pmcp_lab.notebook import AppView
from tests.unit.front_end import Comm, FrontEnd, until


@pytest.fixture(scope="module")
def shell() -> Iterator[InteractiveShell]:
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "pmcp_lab")
    yield shell
    for server in lab.servers().values():
        server.close()
    InteractiveShell.clear_instance()


@pytest.fixture(autouse=True)
def comms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comm, "create_comm", Comm)


def run(shell: InteractiveShell, line: str, cell: str) -> AppView:
    view = shell.run_cell_magic("mcp_app", line, cell)
    assert isinstance(view, AppView)
    return view


def answer(view: AppView, method: str, **params: Any) -> dict[str, Any]:
    """What the app is answered that asks for something."""
    page = FrontEnd(view)
    answered = len(page.of("rpc-result"))
    page.send(kind="rpc", view="v", call=answered, payload={"method": method, "params": params})
    return page.wait("rpc-result", answered + 1)[-1]["payload"]  # type: ignore[no-any-return]


def call(view: AppView, tool: str, **arguments: Any) -> Any:
    return answer(view, "tools/call", name=tool, arguments=arguments)["result"]


def test_functions_that_the_cell_names_are_its_tools(shell: InteractiveShell) -> None:
    shell.run_cell("def roll(sides: int = 6): return sides\ndef other(): pass\ndef greet(name): return {'hi': name}")
    view = run(shell, "dice", "app.callServerTool({name: 'roll'}); app.callServerTool({name: \"greet\"})")
    assert [tool["name"] for tool in answer(view, "tools/list")["result"]["tools"]] == ["dice", "roll", "greet"]
    assert call(view, "roll", sides=20)["structuredContent"] == {"result": 20}
    assert call(view, "greet", name="Ada")["structuredContent"] == {"hi": "Ada"}
    assert call(view, "roll", sides="many")["isError"]
    # Defining a function again is enough.
    shell.run_cell("def roll(sides: int = 6): return -sides")
    assert call(view, "roll", sides=3)["structuredContent"] == {"result": -3}


def test_run_again_the_open_view_follows(shell: InteractiveShell) -> None:
    shell.run_cell("def clock(zone: str = 'UTC'): return {'zone': zone}\nasync def now(): return [1, 2]")
    view = run(shell, "clock zone=CET", "<p>one</p>")
    until(lambda: view._call["result"])
    assert view._call["arguments"] == {"zone": "CET"}
    assert view._call["result"]["structuredContent"] == {"zone": "CET"}
    assert "<p>one</p>" in view._source.html
    FrontEnd(view).send(kind="event", view="v", event="stored", payload={"local": {"a": "1"}})
    until(lambda: view._storage)

    again = run(shell, "clock --tools now,clock", "<!doctype html><p>two</p>")
    assert again is view
    assert "<p>two</p>" in view._source.html
    assert view._resource["hash"] == view._source.hash
    assert view._storage == {"local": {"a": "1"}}
    assert view._call["turn"] == 1
    until(lambda: view._call["result"])
    assert view._call["result"]["structuredContent"] == {"zone": "UTC"}
    assert call(view, "now")["structuredContent"] == {"result": [1, 2]}
    # What both say at once reaches the page at once: else it would show the one with the other's call.
    updates = [each["data"]["state"] for each in FrontEnd(view).comm.sent if (each["data"] or {}).get("state")]
    assert any({"_call", "_resource"} <= state.keys() for state in updates[1:])


def test_what_functions_return_is_readable_for_an_app(shell: InteractiveShell) -> None:
    shell.run_cell(
        "import pandas as pd, numpy as np\n"
        "def frame(): return pd.DataFrame({'a': np.arange(2)})\n"
        "def nothing(): pass\n"
        "def wrong(): raise ValueError('no such thing')"
    )
    view = run(shell, "values", "'frame' + 'nothing' + 'wrong'")
    assert call(view, "frame")["structuredContent"] == {"columns": ["a"], "rows": [{"a": 0}, {"a": 1}]}
    assert call(view, "nothing")["content"] == []
    failed = call(view, "wrong")
    assert failed["isError"]
    assert "ValueError: no such thing" in failed["content"][0]["text"]


def test_the_first_comment_is_its_metadata(shell: InteractiveShell) -> None:
    view = run(shell, "policy", "<!-- mcp-app\ncsp: {connect: [https://api.example]}\n-->\n<p>hi")
    assert view._source.ui.csp.connect == ("https://api.example",)
    with pytest.raises(AppError, match="api.example/v1"):
        run(shell, "policy", "<!-- mcp-app\ncsp: {connect: ['https://api.example/v1']}\n--><p>hi")


@pytest.mark.parametrize(
    ("line", "error", "words"),
    [
        ("", UsageError, "give the app a name"),
        ("Dice!", AppError, "lower-case"),
        ("x --tools rolll", UsageError, "no function 'rolll'.*'roll'"),
        ("x --tools", UsageError, "needs the name"),
        ("x --tool roll", UsageError, "no option.*--tools"),
        ("x --open roll sides=many", InvalidArguments, "integer"),
    ],
)
def test_what_cannot_be_said_is_said_in_a_line(
    shell: InteractiveShell, line: str, error: type[Exception], words: str
) -> None:
    shell.run_cell("def roll(sides: int = 6): return sides")
    with pytest.raises(error, match=words):
        run(shell, line, "<p>hi")
