"""`%%mcp_app`: the cell is a widget, functions of the notebook are its tools, and the open view follows the cell."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, magics_class, no_var_expand

from pmcp_lab.client import Server, connect, runtime
from pmcp_lab.errors import nearest
from pmcp_lab.host import open_app
from pmcp_lab.notebook.app_view import AppView
from pmcp_lab.notebook.arguments import read_arguments, split_words, unquote

USAGE = "%%mcp_app NAME [key=value …] [--tools f,g] [--open f]"


@dataclass
class _Line:
    name: str
    arguments: list[str] = field(default_factory=list)
    tools: list[str] | None = None
    opener: str | None = None


@dataclass
class _CellApp:
    """What a name stands for, from one run of its cell to the next."""

    source: Any
    server: Server
    view: AppView | None = None


@magics_class
class AppMagics(Magics):
    """`%%mcp_app NAME`: HTML or JavaScript as a live app."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._apps: dict[str, _CellApp] = {}

    @no_var_expand
    @cell_magic
    def mcp_app(self, line: str, cell: str) -> AppView:
        """Show the cell as an MCP App, on a server of its own.

            %%mcp_app NAME [key=value …] [--tools f,g] [--open f]

        The cell is HTML, or JavaScript that has `root` (an element) and `app` (`McpApps.App`):

            %%mcp_app dice
            root.innerHTML = "<button>Roll</button> <output></output>";
            root.querySelector("button").onclick = async () => {
              const {structuredContent} = await app.callServerTool({name: "roll", arguments: {sides: 6}});
              root.querySelector("output").textContent = structuredContent.result;
            };

        Its tools are the functions of the notebook that it names in quotes, as "roll" here, or those of `--tools`.
        Each is looked up when it is called, so defining one again is enough. `--open f` calls one with the `key=value`
        arguments, and the app gets its result; a function with the app's own name is taken without being asked for.

        Run the cell again, and the view follows: it keeps what the app stored. Returns the view.
        """
        said = _read(line)
        found = self._found(said, cell)
        opener = said.opener or (said.name if said.name in found else None)
        app = self._app(said.name)
        runtime().run(_change(app, cell, found, opener))
        app.server.refresh()
        tool = app.server.tool(app.source.opener)
        arguments = read_arguments(tool, said.arguments, self._namespace)
        tool.check(arguments)
        if app.view is None or app.view.closed:
            app.view = open_app(AppView, app.server, tool.name, arguments)
        else:
            app.view.restart(tool, arguments)
        # Other views, as one that `open_app` made, hear it from the server.
        runtime().run(app.source.widget.tell())
        return app.view

    @property
    def _namespace(self) -> dict[str, Any]:
        assert self.shell is not None
        namespace: dict[str, Any] = self.shell.user_ns
        return namespace

    def _app(self, name: str) -> _CellApp:
        from pmcp_lab.apps.cell_widget import CellServer

        known = self._apps.get(name)
        if known is None or known.server.closed:
            source = CellServer(name)
            known = self._apps[name] = _CellApp(source, connect(source.server, name=f"cell-{name}"))
        return known

    def _found(self, said: _Line, cell: str) -> dict[str, Callable[[], Callable[..., Any]]]:
        """How to get the functions that are to be tools, by name."""
        namespace = self._namespace
        if said.tools is not None:
            names = said.tools
        else:
            quoted = set(re.findall(r"""["'`]([A-Za-z_]\w*)["'`]""", cell)) | {said.name}
            names = [name for name, value in namespace.items() if name in quoted and _is_function(value)]
        if said.opener is not None and said.opener not in names:
            names = [*names, said.opener]
        for name in names:
            if not _is_function(namespace.get(name)):
                known = [key for key, value in namespace.items() if _is_function(value) and not key.startswith("_")]
                raise UsageError(f"%%mcp_app: there is no function {name!r} in this notebook.{nearest(name, known)}")
        return {name: _finder(namespace, name) for name in names}


def _finder(namespace: Mapping[str, Any], name: str) -> Callable[[], Callable[..., Any]]:
    def find() -> Callable[..., Any]:
        function: Callable[..., Any] = namespace[name]
        return function

    return find


def _is_function(value: object) -> bool:
    return inspect.isfunction(value) or inspect.ismethod(value)


async def _change(
    app: _CellApp, cell: str, functions: dict[str, Callable[[], Callable[..., Any]]], opener: str | None
) -> None:
    app.source.widget.write(cell)
    app.source.offer(functions, opener)


def _read(line: str) -> _Line:
    words = split_words(line)
    if not words or words[0].startswith("-"):
        raise UsageError(f"%%mcp_app: give the app a name\n{USAGE}")
    said = _Line(unquote(words[0]))
    rest = iter(words[1:])
    for word in rest:
        option, _, value = word.partition("=")
        if option in ("--tools", "--open"):
            value = value or next(rest, "")
            if not value:
                raise UsageError(f"%%mcp_app: {option} needs the name of a function\n{USAGE}")
            if option == "--tools":
                said.tools = [name.strip() for name in value.split(",") if name.strip()]
            else:
                said.opener = value
        elif word.startswith("-"):
            raise UsageError(f"%%mcp_app has no option {word!r}.{nearest(word, ['--tools', '--open'])}")
        else:
            said.arguments.append(word)
    return said
