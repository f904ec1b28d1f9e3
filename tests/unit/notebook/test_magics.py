"""`%mcp` in an IPython shell, as a cell would run it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.exceptions import MCPDeprecationWarning

import pmcp_lab as lab
from pmcp_lab.client import Tools
from pmcp_lab.client.targets.target import Command, read_target
from pmcp_lab.errors import (
    AppError,
    InvalidArguments,
    PeerError,
    TargetError,
    TaskNotFound,
    UnknownPrompt,
    UnknownServer,
    UnknownTool,
)
from pmcp_lab.notebook import AppView, TaskTable
from pmcp_lab.notebook.completion import complete
from pmcp_lab.server import Skill, Skills
from tests.unit.pmcp_workflow import PmcpWorkflow
from tests.unit.skill_folders import skill_md


@pytest.fixture(scope="module")
def shell() -> Iterator[InteractiveShell]:
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "pmcp_lab")
    shell.run_line_magic("load_ext", "pmcp_lab")  # twice is fine
    mcp(shell, "connect demo --name magic")
    shell.user_ns["things"] = things()
    mcp(shell, "connect $things")
    yield shell
    mcp(shell, "close --all")
    InteractiveShell.clear_instance()


class Choice(Enum):
    RED = "red"
    BLUE = "blue"


def things() -> MCPServer[Any]:
    """What the demo does not have: resources, prompts, skills, choices, a log."""
    skills = Skills(Skill({"SKILL.md": skill_md("painting", description="How to paint")}))
    server: MCPServer[Any] = MCPServer("things", extensions=[skills], middleware=[skills], log_level="ERROR")

    @server.tool()
    async def paint(colour: Choice, ctx: Context, coats: Literal[1, 2] | None = None, gloss: bool = False) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MCPDeprecationWarning)
            await ctx.log("warning", f"painting {colour.value}", logger_name="painter")
        return f"{colour.value} {coats} {gloss}"

    @server.resource("thing://one", description="The first thing")
    def one() -> str:
        return "number one"

    @server.resource("thing://many/{kind}")
    def many(kind: str) -> str:
        return f"many {kind}"

    @server.prompt(description="Says hello")
    def greet(name: str) -> str:
        return f"Greet {name}."

    return server


def mcp(shell: InteractiveShell, line: str) -> Any:
    return shell.run_line_magic("mcp", line)


def test_call(shell: InteractiveShell) -> None:
    assert mcp(shell, "call magic add a=1 b=2").value == 3
    shell.user_ns["five"] = 5
    assert mcp(shell, "call magic add a=$five b=2").value == 7


def test_results_are_kept_in_a_variable(shell: InteractiveShell) -> None:
    assert mcp(shell, "total << call magic add a=1 b=2") is None
    assert shell.user_ns["total"].value == 3
    shell.run_cell("again = %mcp call magic add a=2 b=2")
    assert shell.user_ns["again"].value == 4


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ('{"a": 1, "b": 2}', 3),
        ("a: 1\nb: 2\n", 3),
        ("{'a': five, 'b': 2}", 7),
        ("dict(a=five, b=five)", 10),
        ("a = five\nb = a + 1", 11),
    ],
    ids=["json", "yaml", "expression", "call", "assignments"],
)
def test_a_cell_of_arguments(shell: InteractiveShell, body: str, value: int) -> None:
    shell.user_ns["five"] = 5
    assert shell.run_cell_magic("mcp", "call magic add", body).value == value
    shell.run_cell_magic("mcp", "kept << call magic add b=100", body)
    assert shell.user_ns["kept"].value > 100, "the line counts more than the cell"


@pytest.mark.parametrize(
    ("line", "body", "said"),
    [
        ("call magic add", "a: [1", "not valid YAML"),
        ("call magic add", "[1, 2]", "arguments by name, not a list"),
        ("call magic add", "{'a': nowhere}", "NameError: name 'nowhere'"),
        ("call magic add --format json", "a: 1", "not valid JSON"),
        ("call magic add", '{"a": 1, "b": {"c": 2}', "not valid JSON: .* line 1|not valid JSON: .* char 22"),
        ("map magic add", '[{"a": 1}, {"a": 2', "not valid JSON"),
        ("call magic add --format python", "a: =", "not valid Python"),
        ("map magic add", "a: 1", "must be a list"),
        ("tools magic", "a: 1", "%%mcp tools takes no cell"),
    ],
)
def test_cells_that_can_not_be_read(shell: InteractiveShell, line: str, body: str, said: str) -> None:
    with pytest.raises((InvalidArguments, UsageError), match=said):
        shell.run_cell_magic("mcp", line, body)


def test_map(shell: InteractiveShell, tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": [1, 2, 3]})
    shell.user_ns["frame"] = frame
    assert [each.value for each in mcp(shell, "map magic add $frame b=10 --concurrency 2").results()] == [11, 12, 13]
    frame.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    for name, values in (("rows.csv", [11, 12, 13]), ("rows.jsonl", [11, 12])):
        assert [each.value for each in mcp(shell, f"map magic add {tmp_path / name} b=10").results()] == values
    many = shell.run_cell_magic("mcp", "map magic add b=1", "- a: 1\n- a: 5\n")
    assert [each.value for each in many.results()] == [2, 6]
    many = mcp(shell, "map magic add $frame b=10 --name sums")
    assert mcp(shell, "map magic add $frame b=10 --name sums --resume") is many
    assert lab.connected("magic").sets["sums"] is many


def test_resources_and_prompts(shell: InteractiveShell) -> None:
    assert list(mcp(shell, "resources things first")) == ["thing://one"]
    assert mcp(shell, "read things thing://one").text == "number one"
    assert mcp(shell, "read things thing://many/{kind} kind=ducks").text == "many ducks"
    assert list(mcp(shell, "prompts things hello")) == ["greet"]
    assert mcp(shell, 'prompt things greet name="a b"').text == "Greet a b."


def test_skills(shell: InteractiveShell) -> None:
    assert list(mcp(shell, "skills things")) == ["skill://painting/SKILL.md"]
    assert mcp(shell, "skills things paint how")["painting"].read().digest
    with pytest.raises(UsageError, match="none of the 1 skills of things has 'cook'"):
        mcp(shell, "skills things cook")
    assert "demo/training-runs" in repr(mcp(shell, "skills magic"))
    assert "skills" in complete("%mcp sk")
    assert "things" in complete("%mcp skills ")


def test_attach(shell: InteractiveShell) -> None:
    run = mcp(shell, "task magic train epochs=1 seconds=0.05")
    assert mcp(shell, f"attach magic {run.id}") is run


def test_log(shell: InteractiveShell) -> None:
    mcp(shell, "log things --level info")
    mcp(shell, "call things paint colour=red")
    mcp(shell, "call things paint colour=blue")
    assert list(mcp(shell, "log things").data) == ["painting red", "painting blue"]
    assert list(mcp(shell, "log things RED painter").data) == ["painting red"]


def test_config(shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, project = tmp_path / "home", tmp_path / "project"
    (project / ".vscode").mkdir(parents=True)
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(project)
    assert "no configuration file" in repr(mcp(shell, "config"))
    (project / ".vscode" / "mcp.json").write_text(
        '{ // a comment\n "servers": {"near": {"command": "run", "args": ["${input:the-key}", "//x"],}, /* and */ } }'
    )
    claude = {
        "mcpServers": {"far": {"url": "https://me:secret@example.org/mcp?key=secret"}, "near": {"command": "other"}},
        "projects": {str(project): {"mcpServers": {"here": {"command": "echo"}}}, "/else": {"mcpServers": {"no": {}}}},
    }
    (home / ".claude.json").write_text(json.dumps(claude))
    (home / ".cursor").mkdir()
    (home / ".cursor" / "mcp.json").write_text("broken")
    found = mcp(shell, "config")
    assert set(found) == {"near", "far", "here"}
    assert "secret" not in repr(found) + found._repr_html_()
    assert "run '${input:the-key}' //x" in repr(found)
    assert {"near", "far", "here", "demo"} <= set(complete("%mcp connect "))
    monkeypatch.setenv("THE_KEY", "k")
    assert read_target("near")[1] == Command(("run", "k", "//x"))


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
        ("task magic train --ttl soon", UsageError, "--ttl: 'soon' is not a duration"),
        ("call magic add a=1 b=2 --timeout nan", UsageError, "--timeout: nan is not a duration"),
        ("task magic", UsageError, "task magic …: name a tool. Known: 'add'"),
        ("task", UsageError, "name a server. Known: 'magic', 'things'"),
        ("app magic", UsageError, "name a tool. Known: 'chess', 'dataviz', 'map', 'wave'"),
        ("read things", UsageError, "name a uri. Known: .*'thing://many"),
        ("prompt things", UsageError, "name a prompt. Known: 'greet'"),
        ("attach magic", UsageError, "name a task"),
        ("call magik", UnknownServer, "Did you mean 'magic'"),
        ("connect", UsageError, "say what to: a URL, a command line, a $variable that holds a server, or a name"),
        ("tools magic zzz", UsageError, "tools of magic has 'zzz'. Known: 'add'"),
        ("prompts things gret", UsageError, "none of the 1 prompts of things has 'gret'. Did you mean 'greet'"),
        ("bad name << servers", UsageError, "no command 'bad'"),
        ("9 << servers", UsageError, "'9' is no name"),
        ("connect http://localhost/mcp --token literal", UsageError, "takes a $variable"),
        ("connect http://localhost/mcp --token $NOTHING_THERE", UsageError, "no variable 'NOTHING_THERE' with a token"),
        ("connect demo --token $TOKEN_FOR_TESTS", TargetError, "takes neither headers= nor token="),
        ("map magic add", UsageError, "give the rows"),
        ("map magic add $nothing", UsageError, "there is no variable 'nothing'"),
        ("map magic add rows.txt", InvalidArguments, "neither a $variable nor a .csv"),
        ("map magic add none.csv", InvalidArguments, "can't read rows from none.csv"),
        ("read things thing://none", PeerError, "thing://none"),
        ("prompt things greet", InvalidArguments, "name: missing"),
        ("prompt things gret", UnknownPrompt, "Did you mean 'greet'"),
        ("attach magic nobody", TaskNotFound, "task not found"),
        ("log things --level loud", UsageError, "invalid choice: 'loud'"),
        ("help cal", UsageError, "Did you mean 'call'"),
        ("config none.json", TargetError, "Can't read none.json"),
        ("app magic add a=1 b=2", AppError, "Tools with one: wave"),
        ("close", UsageError, "name a server, or give --all"),
    ],
)
def test_mistakes_are_one_readable_block(shell: InteractiveShell, line: str, kind: type[Exception], said: str) -> None:
    shell.user_ns["TOKEN_FOR_TESTS"] = "x"
    with pytest.raises(kind, match=said.replace("$", r"\$")) as caught:
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
        ("%mcp out << ca", {"call"}),
        ("%%mcp call ma", {"magic"}),
        ("out = %mcp call magic a", {"add"}),
        ("%mcp call things paint colour=", {"colour=red", "colour=blue"}),
        ("%mcp call things paint coats=", {"coats=1", "coats=2"}),
        ("%mcp call things paint gloss=t", {"gloss=true"}),
        ("%mcp read things thing", {"thing://one", "thing://many/{kind}"}),
        ("%mcp read things thing://many/{kind} ", {"kind="}),
        ("%mcp prompt things ", {"greet"}),
        ("%mcp prompt things greet ", {"name="}),
        ("%mcp log things --level w", {"warning"}),
        ("%mcp connect x --auth ", {"oauth"}),
        ("%mcp help ca", {"call"}),
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

    for line in ("%mcp call magi", "%%mcp call magi", "out = %mcp call magi"):
        with provisionalcompleter():
            matches = [completion.text for completion in shell.Completer.completions(line, len(line))]
        assert "magic" in matches, line


def test_workflow(shell: InteractiveShell) -> None:
    pmcp = PmcpWorkflow()
    try:
        mcp(shell, f"connect --name pmcp {pmcp.url}")
        run = mcp(shell, "workflow pmcp ship version=1.2")
        assert [call.target for call in run.calls] == ["upload_file", "announce"]
        assert mcp(shell, f"workflow pmcp ship --task-id {run.id}").id == run.id
        mcp(shell, "close pmcp")
    finally:
        pmcp.close()
