"""`%mcp` and `%%mcp`: the same things as the Python API, in one line or with a cell of arguments."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from pmcp_lab.client import (
    LEVELS,
    Contents,
    Messages,
    Prompts,
    Resources,
    Server,
    Skills,
    Task,
    TaskSet,
    ToolResult,
    Tools,
    WorkflowRun,
    configured,
    connect,
    connected,
    read_config,
    servers,
    views,
)
from pmcp_lab.errors import InvalidArguments, nearest
from pmcp_lab.notebook.arguments import read_arguments, read_texts, split_words, unquote
from pmcp_lab.notebook.bodies import FORMATS, read_body, read_rows_file
from pmcp_lab.notebook.listing import EntryList, ServerList
from pmcp_lab.notebook.task_table import TaskTable
from pmcp_lab.protocol.durations import typed

DESCRIPTION = """\
Connect to MCP servers, call tools, watch tasks, show apps.

  %mcp call demo add a=1 b=2           arguments are text or JSON; a=$name takes a variable
  %mcp out << call demo add a=1 b=2    keeps the result in a variable
  %%mcp task demo train                the cell below holds the arguments: JSON, YAML or Python
"""
WITH_CELL = ("call", "task", "map", "app")
_TTL = "how long the server is asked to keep it: seconds, or 90s, 15m, 1h30m"


class _Parser(argparse.ArgumentParser):
    """Errors as IPython's short usage errors; knows its own option names."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.options: dict[str, list[str]] = {}
        """By name, with the words that can follow; none where any can."""
        super().__init__(*args, **kwargs)

    def add_argument(self, *names: str, **kwargs: Any) -> argparse.Action:
        choices = list(map(str, kwargs.get("choices") or ()))
        self.options |= {name: choices for name in names if name.startswith("-")}
        return super().add_argument(*names, **kwargs)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}\n{self.format_usage().rstrip()}")

    def exit(self, *_: Any) -> NoReturn:
        raise _Done


class _Done(Exception):
    pass


def _duration(text: str) -> float:
    try:
        return typed(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@cache
def parsers() -> tuple[_Parser, dict[str, _Parser]]:
    """That of `%mcp`, and those of its commands."""
    top = _Parser(prog="%mcp", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    known: dict[str, _Parser] = {}

    def command(name: str, text: str, **more: Any) -> _Parser:
        known[name] = commands.add_parser(name, help=text, description=text, **more)
        return known[name]

    p = command(
        "connect", "Connect to a server: 'demo', a URL, a command line, a $variable, or a name that `config` lists."
    )
    p.add_argument("--name", help="what to call the connection")
    p.add_argument("--mode", choices=("auto", "legacy", "2026-07-28"), default="auto", help="protocol generation")
    p.add_argument("--config", help="an mcpServers file; TARGET is then the name of an entry")
    p.add_argument("--timeout", type=_duration, default=60.0, help="for start and handshake: seconds, or 90s, 2m")
    p.add_argument("--auth", choices=("oauth",), help="sign in to a URL in the browser")
    p.add_argument("--token", metavar="$NAME", help="a variable, of the notebook or the environment, with a token")
    p.add_argument("target", nargs=argparse.REMAINDER, metavar="TARGET", help="options go before a command line")
    p = command("close", "Close a connection.")
    p.add_argument("server", nargs="?", help="its name")
    p.add_argument("--all", action="store_true", help="close every connection")
    command("servers", "List the open connections.")
    p = command("config", "List the servers that configuration files name, or one file does.")
    p.add_argument("file", nargs="?")
    for noun in ("tools", "resources", "prompts", "skills"):
        p = command(noun, f"List a server's {noun}; further words filter them.")
        p.add_argument("server", nargs="?")
        p.add_argument("words", nargs="*", metavar="WORD")
    p = command("read", "Read a resource, or a resource template whose variables are given.")
    p.add_argument("server")
    p.add_argument("uri")
    p.add_argument("arguments", nargs="*", metavar="key=value")
    p = command("prompt", "Show the messages of a prompt.")
    p.add_argument("server")
    p.add_argument("prompt")
    p.add_argument("arguments", nargs="*", metavar="key=value")
    p = command("workflow", "Start a workflow, or take one up again, and show how far it is.")
    p.add_argument("server")
    p.add_argument("prompt", metavar="workflow")
    p.add_argument("arguments", nargs="*", metavar="key=value")
    p.add_argument("--task-id", metavar="ID", help="of one that was begun: it goes on from the last step done")
    p = command("call", "Call a tool and show its result.")
    _tool_arguments(p)
    p.add_argument("--timeout", type=_duration, help="seconds, or 90s, 2m")
    p = command("task", "Start a tool as a task and show its card.")
    _tool_arguments(p)
    p.add_argument("--ttl", type=_duration, help=_TTL)
    p = command("map", "Start a tool as many tasks, one per row, and show their table.")
    p.add_argument("server")
    p.add_argument("tool")
    p.add_argument("rows", nargs="?", help="a $variable (DataFrame, list), or a .csv, .json, .jsonl or .parquet file")
    p.add_argument("arguments", nargs="*", metavar="key=value", help="the same for every row")
    p.add_argument("--concurrency", type=int, default=16, help="how many run at the same time")
    p.add_argument("--ttl", type=_duration, help=_TTL)
    p.add_argument("--timeout", type=_duration, help="how long each may run: seconds, or 90s, 2m")
    p = command("tasks", "A live table of the tasks of every connection, or of one.")
    p.add_argument("server", nargs="?")
    p = command("attach", "Show the card of a task that somebody else started.")
    p.add_argument("server")
    p.add_argument("task", help="its id")
    p = command("app", "Call a tool and show its app.")
    _tool_arguments(p)
    p = command("log", "A server's log messages as a DataFrame; words filter them.")
    p.add_argument("server", nargs="?")
    p.add_argument("words", nargs="*", metavar="WORD")
    p.add_argument("--level", choices=LEVELS, help="ask the server for what is at least so grave, from now on")
    p = command("help", "What a command takes.")
    p.add_argument("about", nargs="?", metavar="COMMAND")
    return top, known


def _tool_arguments(parser: _Parser) -> None:
    parser.add_argument("server")
    parser.add_argument("tool")
    parser.add_argument("arguments", nargs="*", metavar="key=value", help="text or JSON; key=$name takes a variable")
    parser.add_argument("--format", choices=FORMATS, default="auto", help="of the cell below %%%%mcp")


COMMANDS = tuple(parsers()[1])


@magics_class
class McpMagics(Magics):
    """`%mcp COMMAND …` and `%%mcp COMMAND …`; `%mcp help` lists the commands."""

    @no_var_expand
    @line_cell_magic
    def mcp(self, line: str, cell: str | None = None) -> Any:
        """Connect to MCP servers, call tools, watch tasks, show apps: `%mcp help`."""
        words = split_words(line)
        name = None
        if words[1:2] == ["<<"]:
            name, words = words[0], words[2:]
            if not name.isidentifier():
                raise UsageError(f"{name!r} is no name that a result could be given: %mcp out << call …")
        top, known = parsers()
        if not words:
            top.print_help()
            return None
        if words[0] not in known and not words[0].startswith("-"):
            raise UsageError(f"%mcp has no command {words[0]!r}.{nearest(words[0], known)}")
        if cell is not None and words[0] not in WITH_CELL:
            raise UsageError(f"%%mcp {words[0]} takes no cell; these do: {', '.join(WITH_CELL)}")
        try:
            if words[0] == "connect":
                words = _options_first(words, known["connect"])
            options = top.parse_args(words)
        except _Done:
            return None
        if options.command is None:
            top.print_help()
            return None
        options.cell = cell
        result = getattr(self, f"_{options.command}")(options)
        if name is None:
            return result
        self._namespace[name] = result
        return None

    # --- commands ---

    def _connect(self, options: argparse.Namespace) -> Server:
        return connect(
            self._target(options.target),
            name=options.name,
            mode=options.mode,
            config=options.config,
            timeout=options.timeout,
            auth=options.auth,
            token=self._secret(options.token),
        )

    def _secret(self, word: str | None) -> str | None:
        if word is None:
            return None
        if not word.startswith("$"):
            raise UsageError("--token takes a $variable, so that the token is not saved with the notebook")
        value = self._namespace.get(word[1:], os.environ.get(word[1:]))
        if not isinstance(value, str):
            raise UsageError(f"there is no variable {word[1:]!r} with a token, in the notebook or the environment")
        return value

    def _target(self, words: Sequence[str]) -> Any:
        if words and words[0] == "--":
            words = words[1:]
        if not words:
            return None
        if len(words) > 1:
            return [unquote(word) for word in words]
        return self._variable(words[0]) if words[0].startswith("$") else unquote(words[0])

    def _close(self, options: argparse.Namespace) -> None:
        if options.all:
            for each in servers().values():
                each.close()
        elif options.server is None:
            raise UsageError("%mcp close: name a server, or give --all." + nearest("", servers()))
        else:
            connected(options.server).close()

    def _servers(self, _options: argparse.Namespace) -> ServerList:
        return ServerList(servers())

    def _config(self, options: argparse.Namespace) -> EntryList:
        return EntryList(configured() if options.file is None else read_config(Path(options.file).expanduser()))

    def _tools(self, options: argparse.Namespace) -> Tools:
        found, words = self._and_words(options)
        return found.tools.search(words) if words else found.tools

    def _resources(self, options: argparse.Namespace) -> Resources:
        found, words = self._and_words(options)
        return found.resources.search(words) if words else found.resources

    def _prompts(self, options: argparse.Namespace) -> Prompts:
        found, words = self._and_words(options)
        return found.prompts.search(words) if words else found.prompts

    def _skills(self, options: argparse.Namespace) -> Skills:
        found, words = self._and_words(options)
        skills = found.skills
        return skills.search(words) if words else skills

    def _read(self, options: argparse.Namespace) -> Contents:
        given = read_texts(options.arguments, self._namespace)
        return connected(options.server).read(unquote(options.uri), **given)

    def _prompt(self, options: argparse.Namespace) -> Messages:
        return connected(options.server).prompt(options.prompt, read_texts(options.arguments, self._namespace))

    def _workflow(self, options: argparse.Namespace) -> WorkflowRun:
        given = read_texts(options.arguments, self._namespace)
        return connected(options.server).workflow(options.prompt, given, task_id=options.task_id)

    def _call(self, options: argparse.Namespace) -> ToolResult:
        target = connected(options.server)
        return target.call(options.tool, self._arguments(target, options), timeout=options.timeout)

    def _task(self, options: argparse.Namespace) -> Task:
        target = connected(options.server)
        return target.task(options.tool, self._arguments(target, options), ttl=options.ttl)

    def _map(self, options: argparse.Namespace) -> TaskSet:
        target = connected(options.server)
        if options.cell is not None:
            if options.rows is not None:
                options.arguments.insert(0, options.rows)
            rows = read_body(options.cell, "auto", self._namespace)
            if not isinstance(rows, list):
                raise InvalidArguments("the cell below %%mcp map must be a list, one item per task")
        elif options.rows is None:
            raise UsageError("%mcp map: give the rows, as a $variable or a file, or in a cell below %%mcp map")
        else:
            rows = self._variable(options.rows) if options.rows.startswith("$") else read_rows_file(options.rows)
        return target.map(
            options.tool,
            rows,
            concurrency=options.concurrency,
            ttl=options.ttl,
            timeout=options.timeout,
            **read_arguments(target.tool(options.tool), options.arguments, self._namespace),
        )

    def _tasks(self, options: argparse.Namespace) -> TaskTable:
        return TaskTable(None if options.server is None else connected(options.server))

    def _attach(self, options: argparse.Namespace) -> Task:
        return connected(options.server).attach(unquote(options.task))

    def _app(self, options: argparse.Namespace) -> views.AppWidget:
        target = connected(options.server)
        return target.app(options.tool, self._arguments(target, options))

    def _log(self, options: argparse.Namespace) -> Any:
        found, words = self._and_words(options)
        if options.level is not None:
            found.set_log_level(options.level)
        log = found.log
        for word in words.lower().split():
            text = log.drop(columns="time").astype(str).agg(" ".join, axis=1).str.lower() if len(log) else log.level
            log = log[text.str.contains(word, regex=False)]
        return log

    def _help(self, options: argparse.Namespace) -> None:
        top, known = parsers()
        if options.about is not None and options.about not in known:
            raise UsageError(f"%mcp has no command {options.about!r}.{nearest(options.about, known)}")
        (known[options.about] if options.about else top).print_help()

    # --- words ---

    @property
    def _namespace(self) -> dict[str, Any]:
        return self.shell.user_ns if self.shell is not None else {}

    def _server(self, name: str | None) -> Server:
        if name is not None:
            return connected(name)
        known = servers()
        if len(known) == 1:
            return next(iter(known.values()))
        raise UsageError("name a server." + nearest("", known))

    def _and_words(self, options: argparse.Namespace) -> tuple[Server, str]:
        """With one connection the words can do without its name."""
        words = list(options.words)
        if options.server is not None and options.server not in servers() and len(servers()) == 1:
            return self._server(None), " ".join([options.server, *words])
        return self._server(options.server), " ".join(words)

    def _variable(self, word: str) -> Any:
        name = word.removeprefix("$")
        if name not in self._namespace:
            raise UsageError(f"there is no variable {name!r} in this notebook.{nearest(name, self._namespace)}")
        return self._namespace[name]

    def _arguments(self, target: Server, options: argparse.Namespace) -> dict[str, Any]:
        """Those of the cell, and over them those of the line."""
        given = read_arguments(target.tool(options.tool), options.arguments, self._namespace)
        if options.cell is None:
            return given
        body = read_body(options.cell, options.format, self._namespace)
        if not isinstance(body, dict):
            raise InvalidArguments(f"the cell must hold arguments by name, not a {type(body).__name__}")
        return {**body, **given}


def _options_first(words: list[str], parser: _Parser) -> list[str]:
    """`connect demo --name x` → `connect --name x demo`; a command line keeps its own options."""
    rest = words[1:]
    if len(rest) > 1 and not rest[0].startswith("-") and rest[1].partition("=")[0] in parser.options:
        return [words[0], *rest[1:], rest[0]]
    return words
