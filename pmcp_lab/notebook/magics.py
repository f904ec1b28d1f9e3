"""`%mcp` and `%%mcp`: the same things as the Python API, in one line or with a cell of arguments."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from pmcp_lab.client import (
    BUNDLED,
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
from pmcp_lab.notebook.bodies import read_body, read_rows_file
from pmcp_lab.notebook.listing import EntryList, ServerList
from pmcp_lab.notebook.magic_commands import WITH_CELL, HelpShown, Parser, parsers
from pmcp_lab.notebook.task_table import TaskTable

L = TypeVar("L", Tools, Resources, Prompts, Skills)


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
        self._require(known.get(words[0]), words)
        try:
            if words[0] == "connect":
                words = _options_first(words, known["connect"])
            options = top.parse_args(words)
        except HelpShown:
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

    def _require(self, parser: Parser | None, words: list[str]) -> None:
        """Say what can stand where a word is missing; the parser knows only that one is."""
        given = words[1:]
        if parser is None or any(word.startswith("-") for word in given) or len(given) >= len(parser.required):
            return
        noun = parser.required[len(given)]
        match noun:
            case "server":
                names: list[str] = list(servers())
            case "tool":
                tools = [each for each in connected(given[0]).tools.values() if "model" in each.ui.visibility]
                names = [each.name for each in tools if words[0] != "app" or each.ui.resource_uri]
            case "uri":
                names = list(connected(given[0]).resources)
            case "prompt" | "workflow":
                names = list(connected(given[0]).prompts)
            case _:
                names = [each.id for each in connected(given[0]).tasks if each.id is not None]
        article = "an" if noun[0] in "aeiou" and noun != "uri" else "a"
        raise UsageError(f"%mcp {' '.join(words)} …: name {article} {noun}.{nearest('', names)}")

    # --- commands ---

    def _connect(self, options: argparse.Namespace) -> Server:
        if not options.target and options.config is None:
            raise UsageError(
                "%mcp connect …: say what to: a URL, a command line, a $variable that holds a server, or a name."
                + nearest("", {*BUNDLED, *configured()})
            )
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
        return _with_words(found.tools, words, named=options.server in servers())

    def _resources(self, options: argparse.Namespace) -> Resources:
        found, words = self._and_words(options)
        return _with_words(found.resources, words, named=options.server in servers())

    def _prompts(self, options: argparse.Namespace) -> Prompts:
        found, words = self._and_words(options)
        return _with_words(found.prompts, words, named=options.server in servers())

    def _skills(self, options: argparse.Namespace) -> Skills:
        found, words = self._and_words(options)
        return _with_words(found.skills, words, named=options.server in servers())

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
            read_arguments(target.tool(options.tool), options.arguments, self._namespace),
            concurrency=options.concurrency,
            ttl=options.ttl,
            timeout=options.timeout,
            name=options.name,
            resume=options.resume,
        )

    def _tasks(self, options: argparse.Namespace) -> TaskTable:
        return TaskTable(None if options.server is None else connected(options.server))

    def _attach(self, options: argparse.Namespace) -> Task:
        return connected(options.server).attach(unquote(options.task))

    def _app(self, options: argparse.Namespace) -> views.AppWidget:
        target = connected(options.server)
        return target.app(options.tool, self._arguments(target, options), host=options.host)

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


def _with_words(listing: L, words: str, *, named: bool) -> L:
    found = listing.search(words) if words else listing
    if words and listing and not found:
        which = f"none of the {len(listing)} {listing.noun} of {listing.server} has {words!r}"
        neither = "" if named else ", and no server is called so"
        raise UsageError(f"{which}{neither}.{nearest(words, listing)}")
    return found


def _options_first(words: list[str], parser: Parser) -> list[str]:
    """`connect demo --name x` → `connect --name x demo`; a command line keeps its own options."""
    rest = words[1:]
    if len(rest) > 1 and not rest[0].startswith("-") and rest[1].partition("=")[0] in parser.options:
        return [words[0], *rest[1:], rest[0]]
    return words
