"""The commands of `%mcp`, and the words and options that each takes. What they do is in `magics`."""

from __future__ import annotations

import argparse
from functools import cache
from typing import Any, NoReturn

from IPython.core.error import UsageError

from pmcp_lab.client import LEVELS
from pmcp_lab.notebook.bodies import FORMATS
from pmcp_lab.protocol.durations import typed

DESCRIPTION = """\
Connect to MCP servers, call tools, watch tasks, show apps.

  %mcp call demo add a=1 b=2           arguments are text or JSON; a=$name takes a variable
  %mcp out << call demo add a=1 b=2    keeps the result in a variable
  %%mcp task demo train                the cell below holds the arguments: JSON, YAML or Python
"""
WITH_CELL = ("call", "task", "map", "app")
_TTL = "how long the server is asked to keep it: seconds, or 90s, 15m, 1h30m"


class Parser(argparse.ArgumentParser):
    """Errors as IPython's short usage errors; knows its own option names."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.options: dict[str, list[str]] = {}
        """By name, with the words that can follow; none where any can."""
        self.required: list[str] = []
        """The words that must stand behind the command, in their order."""
        super().__init__(*args, **kwargs)

    def add_argument(self, *names: str, **kwargs: Any) -> argparse.Action:
        choices = list(map(str, kwargs.get("choices") or ()))
        self.options |= {name: choices for name in names if name.startswith("-")}
        if not names[0].startswith("-") and "nargs" not in kwargs:
            self.required.append(str(kwargs.get("metavar", names[0])))
        return super().add_argument(*names, **kwargs)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}\n{self.format_usage().rstrip()}")

    def exit(self, *_: Any) -> NoReturn:
        raise HelpShown


class HelpShown(Exception):
    """There is nothing more to do."""


def _duration(text: str) -> float:
    try:
        return typed(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@cache
def parsers() -> tuple[Parser, dict[str, Parser]]:
    """That of `%mcp`, and those of its commands."""
    top = Parser(prog="%mcp", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    known: dict[str, Parser] = {}

    def command(name: str, text: str, **more: Any) -> Parser:
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
    p.add_argument("arguments", nargs="*", default=[], metavar="key=value")
    p = command("prompt", "Show the messages of a prompt.")
    p.add_argument("server")
    p.add_argument("prompt")
    p.add_argument("arguments", nargs="*", default=[], metavar="key=value")
    p = command("workflow", "Start a workflow, or take one up again, and show how far it is.")
    p.add_argument("server")
    p.add_argument("prompt", metavar="workflow")
    p.add_argument("arguments", nargs="*", default=[], metavar="key=value")
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
    p.add_argument("arguments", nargs="*", default=[], metavar="key=value", help="the same for every row")
    p.add_argument("--concurrency", type=int, default=16, help="how many run at the same time")
    p.add_argument("--ttl", type=_duration, help=_TTL)
    p.add_argument("--timeout", type=_duration, help="how long each may run: seconds, or 90s, 2m")
    p.add_argument("--name", help="what the set is called among the server's `sets`, also after a restart")
    p.add_argument("--resume", action="store_true", help="go on with the set of that name, where there is one")
    p = command("tasks", "A live table of the tasks of every connection, or of one.")
    p.add_argument("server", nargs="?")
    p = command("attach", "Show the card of a task that somebody else started.")
    p.add_argument("server")
    p.add_argument("task", help="its id")
    p = command("app", "Call a tool and show its app.")
    _tool_arguments(p)
    p.add_argument("--host", choices=("standard", "chatgpt"), default="standard", help="the host that is played")
    p = command("log", "A server's log messages as a DataFrame; words filter them.")
    p.add_argument("server", nargs="?")
    p.add_argument("words", nargs="*", metavar="WORD")
    p.add_argument("--level", choices=LEVELS, help="ask the server for what is at least so grave, from now on")
    p = command("help", "What a command takes.")
    p.add_argument("about", nargs="?", metavar="COMMAND")
    return top, known


def _tool_arguments(parser: Parser) -> None:
    parser.add_argument("server")
    parser.add_argument("tool")
    parser.add_argument(
        "arguments", nargs="*", default=[], metavar="key=value", help="text or JSON; key=$name takes a variable"
    )
    parser.add_argument("--format", choices=FORMATS, default="auto", help="of the cell below %%%%mcp")


COMMANDS = tuple(parsers()[1])
