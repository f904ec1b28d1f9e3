"""What a command is pointed at: an object of a module, or a server that it connects to and looks at."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pmcp_lab.apps.served import Call, Opened, Page, Served
    from pmcp_lab.client import Server

Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="A URL, module:object, the name of an entry in .mcp.json, 'demo', or a command line in quotes.",
        show_default=False,
    ),
]
Token = Annotated[
    str | None, typer.Option(envvar="PMCP_LAB_TOKEN", help="A bearer token for a URL.", show_default=False)
]


class Generation(StrEnum):
    """How a server is met, as `lab.connect(mode=…)` takes it, for the help and for completion."""

    AUTO = "auto"
    LEGACY = "legacy"
    MODERN = "2026-07-28"


Mode = Annotated[
    Generation,
    typer.Option("--mode", help="The protocol generation: found out, or not asked; legacy is 2025-11-25."),
]


def duration(text: str | float) -> float:
    """Seconds, from an option's text."""
    from pmcp_lab.protocol.durations import typed

    try:
        return typed(str(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _patience(text: str | float) -> float:
    given = duration(text)
    if given < _SHORTEST_TIMEOUT:
        raise typer.BadParameter(f"it is at least {_SHORTEST_TIMEOUT} seconds, not {text}")
    return given


Patience = Annotated[
    float,
    typer.Option(
        "--timeout", parser=_patience, metavar="DURATION", help="For start and handshake: seconds, or 90s, 2m."
    ),
]

_SHORTEST_TIMEOUT = 0.1
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?::[A-Za-z_][\w.]*)?")
_USUAL = ("server", "mcp", "app", "build")
"""What a module that is named alone calls its server."""


def load(target: str) -> Any:
    """What `module:object` names; a function is called.

    Raises:
        LabError: There is no such module or object.
    """
    import functools
    import importlib
    import inspect
    from pathlib import Path

    from pmcp_lab.errors import LabError

    module_name, _, path = target.partition(":")
    if not module_name or not path:
        raise LabError(f"{target!r} does not say where the server is; write module:object, for example lab:server")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # The server's own missing imports are its author's business, with the traceback.
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise LabError(f"there is no module {error.name!r}, neither installed nor in {Path.cwd()}") from None
    try:
        found = functools.reduce(getattr, path.split("."), module)
    except AttributeError:
        raise LabError(f"module {module_name!r} has no {path!r}") from None
    return found() if inspect.isfunction(found) else found


@contextmanager
def opened(target: str, *, mode: str = "auto", token: str | None = None, timeout: float = 60.0) -> Iterator[Server]:
    """A connection to what the command line names, closed at the end.

    Raises:
        LabError: There is no such server, or it does not answer.
    """
    from pmcp_lab.client import connect

    with _quiet():
        found = server_object(target)
        server = connect(target if found is None else found, mode=mode, token=token, timeout=timeout)
        try:
            yield server
        finally:
            server.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """A server of this process would log what it is asked between the lines of the command."""
    import logging

    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def server_object(target: str) -> Any:
    """The server object that a target names as `module:object`, or as a module; None when it names something else."""
    import importlib.util
    from pathlib import Path

    from pmcp_lab.errors import LabError

    if not _MODULE.fullmatch(target):
        return None
    if ":" not in target:
        from pmcp_lab.client import BUNDLED, configured

        if target in BUNDLED or target in configured():
            return None
        sys.path.insert(0, str(Path.cwd()))
        try:
            if importlib.util.find_spec(target) is None:
                return None
        except ModuleNotFoundError:
            return None
    try:
        if ":" in target:
            return _server(target)
        module = importlib.import_module(target)
        named = next((name for name in _USUAL if not isinstance(vars(module).get(name), ModuleType | None)), None)
        if named is None:
            raise LabError(f"module {target!r} has none of {', '.join(_USUAL)}; write {target}:object")
        return _server(f"{target}:{named}")
    except LabError:
        raise
    except Exception as error:
        raise LabError(f"{target} can't be imported: {type(error).__name__}: {error}") from error


def _server(target: str) -> Any:
    from pmcp_lab.errors import LabError

    found = load(target)
    if not any(base.__module__.startswith("mcp.server") for base in type(found).__mro__):
        raise LabError(f"{target} is a {type(found).__name__}, not an MCPServer or a function that makes one")
    return found


def _look(server: Server) -> Served:
    """Everything a server shows of its apps. A resource that can't be read is noted, not raised.

    Raises:
        LabError: The server went away, or can't list.
    """
    from pmcp_lab.apps.served import Served, named_uris
    from pmcp_lab.client import client_of, runtime
    from pmcp_lab.protocol.ui import UI_EXTENSION

    client = client_of(server)
    peer = client.connection.wait()
    # As they came: what is there twice is one for whoever asks by name.
    tools = tuple(runtime().run(client.ask(lambda peer: peer.list_tools(), again=True)))
    every = runtime().run(client.ask(lambda peer: peer.list_resources(), again=True))
    addresses = [str(item.get("uri")) for item in every]
    listed = dict(zip(addresses, every, strict=True))
    named = [str(uri) for tool in tools for uri in named_uris(tool).values()]
    uris = dict.fromkeys([uri for uri in listed if uri.startswith("ui://")] + named)
    return Served(
        name=server.name,
        info=peer.server_info,
        instructions=peer.instructions,
        announces_ui=UI_EXTENSION in (peer.capabilities.extensions or {}) | (peer.capabilities.experimental or {}),
        tools=tools,
        pages={uri: _page(server, uri, listed.get(uri), addresses.count(uri)) for uri in uris},
        templates=tuple(item.uri for item in server.resources.values() if item.template),
        resources=tuple(addresses),
    )


def look_at_apps(server: Server) -> Served:
    """The same, of a server that has apps.

    Raises:
        AppError: It has none.
    """
    from pmcp_lab.errors import AppError

    served = _look(server)
    if not served.pages:
        count = len(served.tools)
        raise AppError(
            f"server {server.name!r} has no UI: none of its {count} tools names a ui:// resource, and none is listed"
        )
    return served


def look_at_all(server: Server, *, skill_files: bool) -> Served:
    """The same, with its skills, of a server that has apps or skills.

    Args:
        skill_files: Read the files of skills, too.

    Raises:
        AppError: It has neither.
    """
    from dataclasses import replace

    from pmcp_lab.cli.skills import look_at_skills

    skills = look_at_skills(server, files=skill_files)
    return look_at_apps(server) if skills is None else replace(_look(server), skills=skills)


def open_apps(server: Server, served: Served, browser: str | None) -> list[Opened]:
    """Open each app of a server once, in a browser that nobody looks at, with a call that was made, recorded in
    `mock-data/<server>.json`, or made up.

    Raises:
        LabError: There is no browser, or it shows nothing.
    """
    from pathlib import Path

    from pmcp_lab.apps import Recording
    from pmcp_lab.apps.openings import openings
    from pmcp_lab.apps.served import Call, Opened
    from pmcp_lab.preview import Wanted, open_each

    file = Path("mock-data") / f"{server.name}.json"
    calls = Recording.load(file).calls if file.is_file() else []
    recorded = [
        Call(tool=each.tool, arguments=each.arguments, result=each.result) for each in calls if each.result is not None
    ]
    plan = openings(served, recorded)
    wanted = [Wanted(uri=each.uri, tool=each.tool, arguments=each.arguments, result=each.result) for each in plan]
    if not plan:
        return []
    with _quiet():
        return [
            Opened(
                uri=each.uri,
                started=became.started,
                problems=became.problems,
                result=each.result,
                made_up=each.made_up,
            )
            for each, became in zip(plan, open_each(server, wanted, browser), strict=True)
            if became is not None
        ]


def _page(server: Server, uri: str, listed: Mapping[str, Any] | None, times: int) -> Page:
    from pmcp_lab.apps.served import Page
    from pmcp_lab.errors import ConnectionClosed, LabError

    try:
        contents = [item.resource for item in server.read(uri)]
    except ConnectionClosed:
        raise
    except LabError as error:
        return Page(uri=uri, listed=listed, trouble=str(error).splitlines()[0])
    if not contents:
        return Page(uri=uri, listed=listed, trouble="the server sent nothing")
    same = [item for item in contents if item.get("uri") == uri]
    content = next(iter(same), contents[0])
    return Page(uri=uri, listed=listed, content=content, times=max(1, times, len(same)))


def call_each(server: Server, examples: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[list[Call], list[str]]:
    """Call tools to see what they return: with their examples, and without any those that only read and need nothing.

    Returns:
        The calls, and the names of tools that were not called.

    Raises:
        LabError: The server went away, or an example names a tool or an argument that is not there.
    """
    from pmcp_lab.apps.served import Call
    from pmcp_lab.client import client_of, runtime
    from pmcp_lab.errors import InputRequired, PeerError

    made: list[Call] = []
    left: list[str] = []
    for name in examples:
        server.tool(name)
    for tool in server.tools.values():
        hints = tool.raw.get("annotations") or {}
        given = examples.get(tool.name)
        if given is None:
            given = [{}] if hints.get("readOnlyHint") and not tool.required else []
        if not given:
            left.append(tool.name)
        for arguments in given:
            tool.check(arguments)
            try:
                result = runtime().run(client_of(server).pass_on(tool.name, dict(arguments)))
            except InputRequired:
                left.append(tool.name)
                continue
            except PeerError as error:
                result = {"isError": True, "content": [{"type": "text", "text": str(error)}]}
            made.append(Call(tool=tool.name, arguments=arguments, result=result))
    return made, left
