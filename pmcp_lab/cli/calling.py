"""`pmcp-lab tools`, `inspect` and `call`: what a server has, and a call of it, for people and for scripts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pmcp_lab.cli.connecting import Generation, Mode, Patience, Target, Token, duration, opened
from pmcp_lab.cli.ending import TOOL_FAILED, stop
from pmcp_lab.errors import InvalidArguments, LabError, ToolError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pmcp_lab.client import Question, Tool, ToolResult

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout instead of text.")]

TOOLS_EXAMPLES = """
[bold]Examples[/bold]

pmcp-lab tools demo                                   names, arguments and what each is for
pmcp-lab tools http://127.0.0.1:8000/mcp --json       as the server lists them
"""
INSPECT_EXAMPLES = """
[bold]Examples[/bold]

pmcp-lab inspect demo            who it is, what it declares and has
pmcp-lab inspect demo train      one tool of it, with its schemas
"""
CALL_EXAMPLES = """
[bold]Examples[/bold]

pmcp-lab call demo add a=1 b=2
pmcp-lab call demo train epochs=3 --json | jq .structuredContent
pmcp-lab call my-app search --arguments '{"query": "bern"}'
pmcp-lab call my-app search --arguments - < query.json

[bold]Exit status[/bold]

0  called; its result is on stdout
1  it can't be called, it asked for what nobody answers, or no result came in time
2  wrong command line, or arguments that its schema does not take
4  the tool said that it failed; what it said is on stdout
"""


def add_to(app: typer.Typer) -> None:
    app.command("tools", epilog=TOOLS_EXAMPLES)(tools)
    app.command("inspect", epilog=INSPECT_EXAMPLES)(inspect)
    app.command("call", epilog=CALL_EXAMPLES)(call)


def tools(
    target: Target,
    *,
    token: Token = None,
    mode: Mode = Generation.AUTO,
    timeout: Patience = 60.0,
    as_json: Json = False,
) -> None:
    """List the tools of a server."""
    with opened(target, mode=mode.value, token=token, timeout=timeout) as server:
        found = list(server.tools.values())
    if as_json:
        _print_json([dict(tool.raw) for tool in found])
    else:
        _print_table([(tool.name, _arguments(tool), tool.description or "") for tool in found])


def inspect(
    target: Target,
    name: Annotated[str | None, typer.Argument(metavar="[TOOL]", help="One of its tools.", show_default=False)] = None,
    *,
    token: Token = None,
    mode: Mode = Generation.AUTO,
    timeout: Patience = 60.0,
    as_json: Json = False,
) -> None:
    """Say who a server is, what it declares, and what it has; or all there is to know of one tool."""
    from pmcp_lab.client import client_of

    with opened(target, mode=mode.value, token=token, timeout=timeout) as server:
        if name is not None:
            tool = server.tool(name)
            _print_json(dict(tool.raw)) if as_json else _print_tool(tool)
            return
        peer = client_of(server).connection.wait()
        templates = [item for item in server.resources.values() if item.template]
        resources = [item for item in server.resources.values() if not item.template]
        told: dict[str, Any] = {
            "server": dict(peer.server_info),
            "protocolVersion": str(peer.version),
            "capabilities": peer.capabilities.model_dump(mode="json", by_alias=True, exclude_none=True),
            "instructions": peer.instructions,
            "tools": [tool.name for tool in server.tools.values()],
            "resources": [item.uri for item in resources],
            "resourceTemplates": [item.uri for item in templates],
            "prompts": list(server.prompts),
        }
    if as_json:
        _print_json(told)
        return
    about = told["server"]
    who = " ".join(filter(None, (about.get("title") or about.get("name"), about.get("version"))))
    print(f"{who}, MCP {told['protocolVersion']}")
    if told["instructions"]:
        print(f"\n{told['instructions'].strip()}")
    print(f"\ndeclares {', '.join(_declared(told['capabilities'])) or 'nothing'}\n")
    rows = [(title, str(len(told[key])), ", ".join(told[key])) for title, key in _LISTS if told[key]]
    _print_table(rows)


_LISTS = (
    ("tools", "tools"),
    ("resources", "resources"),
    ("templates", "resourceTemplates"),
    ("prompts", "prompts"),
)


def call(
    target: Target,
    name: Annotated[str, typer.Argument(metavar="TOOL", help="Which of its tools.", show_default=False)],
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]…", help="Arguments; what is no text, as JSON.", show_default=False),
    ] = None,
    *,
    arguments: Annotated[
        str | None,
        typer.Option(help="All arguments as a JSON object, @FILE with one, or - for stdin.", show_default=False),
    ] = None,
    wait: Annotated[
        float | None,
        typer.Option(
            "--wait", parser=duration, metavar="DURATION", help="For the result, 90s or 2m.", show_default="for ever"
        ),
    ] = None,
    token: Token = None,
    mode: Mode = Generation.AUTO,
    timeout: Patience = 60.0,
    as_json: Json = False,
) -> None:
    """Call a tool, and wait for what comes of it, a task too: how far it is stands on stderr where that is a terminal.

    Questions of the server are put to the person at the terminal; where nobody is there, they are refused. After
    Ctrl-C a task is cancelled.
    """
    given = _whole(arguments)
    with opened(target, mode=mode.value, token=token, timeout=timeout) as server:
        tool = server.tool(name)
        found = {**given, **_named(values or [], tool)}
        try:
            tool.check(found)
        except InvalidArguments as error:
            raise typer.BadParameter(error.message) from None
        server.on_input(_ask)
        task = server.task(name, found)
        try:
            result = task.result(wait)
        except KeyboardInterrupt:
            task.cancel()
            raise
        except TimeoutError:
            task.cancel()
            stop(f"{name} has no result after {wait:g} s, and was cancelled")
        except ToolError as error:
            _print_json(error.result) if as_json else print(error.message)
            raise typer.Exit(TOOL_FAILED) from None
    _print_json(dict(result.raw)) if as_json else _print_result(result)


def _whole(arguments: str | None) -> dict[str, Any]:
    """What `--arguments` gives.

    Raises:
        LabError: It is no JSON object, or the file can't be read.
    """
    if arguments is None:
        return {}
    where = "--arguments"
    try:
        if arguments == "-":
            where, text = "stdin", sys.stdin.read()
        elif arguments.startswith("@"):
            where = arguments[1:]
            text = Path(where).read_text(encoding="utf-8")
        else:
            text = arguments
        found = json.loads(text)
    except OSError as error:
        raise LabError(f"{where} can't be read: {error.strerror}") from None
    except ValueError as error:
        raise LabError(f"{where} has no JSON: {error}") from None
    if not isinstance(found, dict):
        raise LabError(f"{where} must have a JSON object of arguments")
    return found


def _named(values: Sequence[str], tool: Tool) -> dict[str, Any]:
    """Arguments that were written as NAME=VALUE: a text where the schema wants one, or else JSON where it is some."""
    known = tool.input_schema.get("properties")
    known = known if isinstance(known, dict) else {}
    found: dict[str, Any] = {}
    for each in values:
        name, equals, text = each.partition("=")
        if not equals:
            raise typer.BadParameter(f"{each!r} is no NAME=VALUE")
        schema = known.get(name)
        if isinstance(schema, dict) and schema.get("type") == "string":
            found[name] = text
            continue
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def _ask(question: Question) -> Mapping[str, Any] | str:
    """Put what a server asks to the person at the terminal."""
    print(f"{question.message}", file=sys.stderr)
    if not sys.stdin.isatty():
        print("pmcp-lab: nobody is here to answer, so this is declined", file=sys.stderr)
        return "decline"
    if question.url is not None:
        print(question.url, file=sys.stderr)
        return "accept" if typer.confirm("Done?", err=True) else "decline"
    answers: dict[str, Any] = {}
    schema = question.schema or {}
    for name, field in (schema.get("properties") or {}).items():
        kind, title = field.get("type"), field.get("title") or name
        if kind == "boolean":
            answers[name] = typer.confirm(title, default=bool(field.get("default")), err=True)
            continue
        types = {"integer": int, "number": float}
        answers[name] = typer.prompt(title, default=field.get("default"), type=types.get(str(kind), str), err=True)
    return answers


# --- what is printed ---


def _print_result(result: ToolResult) -> None:
    """The text of a result, or else its structured content."""
    if result.text.strip():
        print(result.text)
    elif result.structured is not None:
        _print_json(result.structured)
    for block in result.raw.get("content") or ():
        if isinstance(block, dict) and block.get("type") not in ("text", None):
            print(f"({block['type']}: --json has it)", file=sys.stderr)


def _print_tool(tool: Tool) -> None:
    print(f"{tool.name}\n")
    if tool.description:
        print(f"{tool.description.strip()}\n")
    print("takes")
    _print_json(tool.input_schema)
    if isinstance(returned := tool.raw.get("outputSchema"), dict):
        print("returns")
        _print_json(returned)


def _arguments(tool: Tool) -> str:
    known = tool.input_schema.get("properties")
    names = list(known) if isinstance(known, dict) else []
    return " ".join(name if name in tool.required else f"[{name}]" for name in names)


def _declared(capabilities: Mapping[str, Any]) -> list[str]:
    more = [name for part in ("extensions", "experimental") for name in capabilities.get(part) or ()]
    return [name for name in capabilities if name not in ("extensions", "experimental")] + list(dict.fromkeys(more))


def _print_table(rows: Sequence[tuple[str, str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for name, second, third in rows:
        table.add_row(Text(name, "bold"), Text(second), Text(" ".join(third.split())))
    console.print(table)


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))
