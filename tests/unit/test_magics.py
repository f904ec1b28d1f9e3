"""`%mcp` in an IPython shell, as a cell would run it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

import pmcp_lab as lab
from pmcp_lab.client import Tools
from pmcp_lab.errors import AppError, InvalidArguments, TargetError, UnknownServer, UnknownTool
from pmcp_lab.notebook import AppView, TaskTable
from pmcp_lab.notebook.completion import complete


@pytest.fixture(scope="module")
def shell() -> Iterator[InteractiveShell]:
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "pmcp_lab")
    shell.run_line_magic("load_ext", "pmcp_lab")  # twice is fine
    mcp(shell, "connect demo --name magic")
    yield shell
    mcp(shell, "disconnect --all")
    InteractiveShell.clear_instance()


def mcp(shell: InteractiveShell, line: str) -> Any:
    return shell.run_line_magic("mcp", line)


def test_call(shell: InteractiveShell) -> None:
    assert mcp(shell, "call magic add a=1 b=2").value == 3
    shell.user_ns["five"] = 5
    assert mcp(shell, "call magic add a=$five b=2").value == 7


def test_task_and_table(shell: InteractiveShell) -> None:
    run = mcp(shell, "task magic train epochs=2 seconds=0.2 --ttl 1h")
    assert run.result(10).value["epochs"] == 2
    table = mcp(shell, "tasks magic")
    assert isinstance(table, TaskTable)
    assert run in table.shown()
    frame = table.df
    assert list(frame[frame.task_id == run.id].status) == ["completed"]
    data, _ = table._repr_mimebundle_()
    assert "completed" in data["text/html"]
    assert data["text/plain"].startswith("<TaskTable ")


def test_a_table_takes_in_what_is_started_later(shell: InteractiveShell) -> None:
    table = mcp(shell, "tasks magic")
    before = len(table.shown())
    lab.servers()["magic"].task("train", epochs=1, seconds=0.05).result(10)
    assert len(table.shown()) == before + 1


def test_app(shell: InteractiveShell) -> None:
    view = mcp(shell, "app magic wave frequency=4")
    assert isinstance(view, AppView)
    assert "<html" in view._source.html.lower()
    assert view._call["arguments"] == {"frequency": 4}
    assert "default-src 'none'" in view._resource["csp"]


def test_lists(shell: InteractiveShell) -> None:
    tools = mcp(shell, "tools magic")
    assert isinstance(tools, Tools)
    assert "add" in tools
    assert list(mcp(shell, "tools magic whole numbers")) == ["add"]
    assert "magic" in mcp(shell, "servers")
    assert "<td" in mcp(shell, "servers")._repr_html_()


def test_help(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    assert mcp(shell, "--help") is None
    assert "connect" in capsys.readouterr().out
    mcp(shell, "task --help")
    assert "--ttl" in capsys.readouterr().out
    mcp(shell, "")
    assert "connect" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "kind", "said"),
    [
        ("conect demo", UsageError, "Did you mean 'connect'"),
        ("connect dem", TargetError, "Did you mean 'demo'"),
        ("connect $nothing", UsageError, "there is no variable 'nothing'"),
        ("call magik add", UnknownServer, "Did you mean 'magic'"),
        ("call magic ad", UnknownTool, "Did you mean 'add'"),
        ("call magic add a=x b=1", InvalidArguments, "wants integer here"),
        ("call magic add a=1", InvalidArguments, "'b' is a required property"),
        ("call magic add 1 2", InvalidArguments, "'1' is no key=value"),
        ("task magic train --ttl soon", InvalidArguments, "'soon' is no duration"),
        ("task magic", UsageError, "required: tool"),
        ("app magic add a=1 b=2", AppError, "Tools with one: wave"),
        ("disconnect", UsageError, "name a server, or give --all"),
    ],
)
def test_mistakes_are_one_readable_block(shell: InteractiveShell, line: str, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said) as caught:
        mcp(shell, line)
    assert len(str(caught.value).splitlines()) <= 5


def test_errors_show_no_stack(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run_cell("%mcp call magic ad a=1")
    shown = capsys.readouterr()
    text = shown.out + shown.err
    assert "UnknownTool" in text
    assert "Traceback" not in text
    assert len(text.strip().splitlines()) <= 3


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("%mcp ", {"connect", "app", "--help"}),
        ("%mcp ta", {"task", "tasks"}),
        ("x = %mcp ca", {"call"}),
        ("%mcp connect d", {"demo"}),
        ("%mcp call ma", {"magic"}),
        ("%mcp call magic a", {"add"}),
        ("%mcp app magic ", {"wave"}),
        ("%mcp task magic train ", {"epochs=", "lr=", "seconds="}),
        ("%mcp task magic train epochs=3 ", {"lr=", "seconds="}),
        ("%mcp task magic train --t", {"--ttl"}),
        ("%mcp call nobody ", set()),
        ("%mcp call magic nothing ", set()),
    ],
)
def test_completion(shell: InteractiveShell, line: str, offered: set[str]) -> None:
    found = set(complete(line))
    assert offered <= found if offered else not found
    if "app magic" in line:
        assert "add" not in found


def test_the_shell_completes(shell: InteractiveShell) -> None:
    from IPython.core.completer import provisionalcompleter

    line = "%mcp call magi"
    with provisionalcompleter():
        matches = [completion.text for completion in shell.Completer.completions(line, len(line))]
    assert "magic" in matches
