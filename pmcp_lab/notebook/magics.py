"""`%mcp`: the same things as the Python API, in one line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand

from pmcp_lab.client import Server, Task, ToolResult, Tools, connect, connected, servers
from pmcp_lab.errors import nearest
from pmcp_lab.notebook.app_view import AppView
from pmcp_lab.notebook.arguments import read_arguments, split_words, unquote
from pmcp_lab.notebook.listing import ServerList
from pmcp_lab.notebook.task_table import TaskTable


class _Parser(argparse.ArgumentParser):
    """Errors as IPython's short usage errors; knows its own option names."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.options: list[str] = []
        super().__init__(*args, **kwargs)

    def add_argument(self, *names: str, **kwargs: Any) -> argparse.Action:
        self.options += [name for name in names if name.startswith("-")]
        return super().add_argument(*names, **kwargs)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}\n{self.format_usage().rstrip()}")

    def exit(self, *_: Any) -> NoReturn:
        raise _Done


class _Done(Exception):
    pass


def parsers() -> tuple[_Parser, dict[str, _Parser]]:
    top = _Parser(prog="%mcp", description="Connect to MCP servers, call tools, watch tasks, show apps.", add_help=True)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    known: dict[str, _Parser] = {}

    def command(name: str, text: str, **more: Any) -> _Parser:
        known[name] = commands.add_parser(name, help=text, description=text, **more)
        return known[name]

    p = command("connect", "Connect to a server: 'demo', a URL, a command line, a $variable, an entry of .mcp.json.")
    p.add_argument("--name", help="what to call the connection")
    p.add_argument("--mode", choices=("auto", "legacy", "2026-07-28"), default="auto", help="protocol generation")
    p.add_argument("--config", help="an mcpServers file; TARGET is then the name of an entry")
    p.add_argument("--timeout", type=float, default=60.0, help="seconds for start and handshake")
    p.add_argument("target", nargs=argparse.REMAINDER, metavar="TARGET", help="options go before a command line")
    p = command("disconnect", "Close a connection.")
    p.add_argument("server", nargs="?", help="its name")
    p.add_argument("--all", action="store_true", help="close every connection")
    command("servers", "List the open connections.")
    p = command("tools", "List a server's tools; further words filter them.")
    p.add_argument("server", nargs="?")
    p.add_argument("words", nargs="*", metavar="WORD")
    p = command("call", "Call a tool and show its result.")
    _tool_arguments(p)
    p.add_argument("--timeout", type=float, help="seconds")
    p = command("task", "Start a tool as a task and show its card.")
    _tool_arguments(p)
    p.add_argument("--ttl", help="how long the server is asked to keep it: 90s, 15m, 1h")
    p = command("tasks", "A live table of the tasks of every connection, or of one.")
    p.add_argument("server", nargs="?")
    p = command("app", "Call a tool and show its app.")
    _tool_arguments(p)
    return top, known


def _tool_arguments(parser: _Parser) -> None:
    parser.add_argument("server")
    parser.add_argument("tool")
    parser.add_argument("arguments", nargs="*", metavar="key=value", help="text or JSON; key=$name takes a variable")


COMMANDS = tuple(parsers()[1])


@magics_class
class McpMagics(Magics):
    """`%mcp COMMAND …`; `%mcp --help` lists the commands."""

    @no_var_expand
    @line_magic
    def mcp(self, line: str) -> Any:
        """Connect to MCP servers, call tools, watch tasks, show apps: `%mcp --help`."""
        words = split_words(line)
        top, known = parsers()
        if not words:
            top.print_help()
            return None
        if words[0] not in known and not words[0].startswith("-"):
            raise UsageError(f"%mcp has no command {words[0]!r}.{nearest(words[0], known)}")
        try:
            if words[0] == "connect":
                words = _options_first(words, known["connect"])
            options = top.parse_args(words)
        except _Done:
            return None
        if options.command is None:
            top.print_help()
            return None
        return getattr(self, f"_{options.command}")(options)

    # --- commands ---

    def _connect(self, options: argparse.Namespace) -> Server:
        target = self._target(options.target)
        return connect(target, name=options.name, mode=options.mode, config=options.config, timeout=options.timeout)

    def _target(self, words: Sequence[str]) -> Any:
        if words and words[0] == "--":
            words = words[1:]
        if not words:
            return None
        if len(words) > 1:
            return [unquote(word) for word in words]
        if words[0].startswith("$"):
            name = words[0][1:]
            if name not in self._namespace:
                raise UsageError(f"there is no variable {name!r} in this notebook.{nearest(name, self._namespace)}")
            return self._namespace[name]
        return unquote(words[0])

    def _disconnect(self, options: argparse.Namespace) -> None:
        if options.all:
            for each in servers().values():
                each.close()
        elif options.server is None:
            raise UsageError("%mcp disconnect: name a server, or give --all." + nearest("", servers()))
        else:
            connected(options.server).close()

    def _servers(self, _options: argparse.Namespace) -> ServerList:
        return ServerList(servers())

    def _tools(self, options: argparse.Namespace) -> Tools:
        words = list(options.words)
        if options.server is not None and options.server not in servers() and len(servers()) == 1:
            words.insert(0, options.server)  # with one connection the words can do without its name
            options.server = None
        tools = self._server(options.server).tools
        return tools.search(" ".join(words)) if words else tools

    def _call(self, options: argparse.Namespace) -> ToolResult:
        target = connected(options.server)
        arguments = self._read(target, options)
        return target.call(options.tool, arguments, timeout=options.timeout)

    def _task(self, options: argparse.Namespace) -> Task:
        target = connected(options.server)
        return target.task(options.tool, self._read(target, options), ttl=options.ttl)

    def _tasks(self, options: argparse.Namespace) -> TaskTable:
        return TaskTable(None if options.server is None else connected(options.server))

    def _app(self, options: argparse.Namespace) -> AppView:
        target = connected(options.server)
        view: AppView = target.app(options.tool, self._read(target, options))
        return view

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

    def _read(self, target: Server, options: argparse.Namespace) -> dict[str, Any]:
        return read_arguments(target.tool(options.tool), options.arguments, self._namespace)


def _options_first(words: list[str], parser: _Parser) -> list[str]:
    """`connect demo --name x` → `connect --name x demo`; a command line keeps its own options."""
    rest = words[1:]
    if len(rest) > 1 and not rest[0].startswith("-") and rest[1].partition("=")[0] in parser.options:
        return [words[0], *rest[1:], rest[0]]
    return words
