"""The servers this process is connected to, by name."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping

from pmcp_lab.client import views
from pmcp_lab.client.client import Client, client_of
from pmcp_lab.client.connection import Connection
from pmcp_lab.client.oauth import provider
from pmcp_lab.client.questions import SamplingCallback
from pmcp_lab.client.runtime import runtime
from pmcp_lab.client.server import Server
from pmcp_lab.client.targets import ClientCredentials, Local, OAuth, Url, read_target
from pmcp_lab.client.tasks import Task
from pmcp_lab.errors import TargetError, UnknownServer

MODES = ("auto", "legacy", "2026-07-28")

_servers: dict[str, Server] = {}


def connect(
    target: object = None,
    *,
    name: str | None = None,
    mode: str = "auto",
    config: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    headers: Mapping[str, str] | None = None,
    auth: str | OAuth | ClientCredentials | None = None,
    token: str | None = None,
    timeout: float = 60.0,
    wait: bool = True,
    on_sampling: SamplingCallback | None = None,
    read_ahead: bool = True,
    app_elicitation: bool = False,
) -> Server:
    """Connect to an MCP server. Running the same `connect` again gives the same connection while it lives.

    Args:
        target: "demo" (bundled), a command line or list, an http(s) URL, an `MCPServer` object, the name of
            an entry in the nearest `.mcp.json` or another host's file, or such an entry itself.
        name: What to call it; by default taken from the target.
        mode: "auto" finds out; "legacy" (2025-11-25) and "2026-07-28" don't ask.
        config: An `mcpServers` file; `target` then names the entry.
        env: Environment of a command, added to the few variables every server gets.
        cwd: Working directory of a command.
        headers: HTTP headers for a URL.
        auth: "oauth" to sign in to a URL in the browser, or an `OAuth(…)` that says how; the time that takes is
            not the connection's. `ClientCredentials(…)` where there is nobody to sign in.
        token: A bearer token for a URL.
        timeout: Seconds for start and handshake.
        wait: False returns at once; `await server` waits.
        on_sampling: `callback(messages, params)` makes completions when the server asks for one and returns the
            text, or a whole `CreateMessageResult`. Only a connection made with one declares sampling.
        read_ahead: Whether, in a notebook that somebody looks at, the server's apps are read before one is opened:
            a list of its tools and a few reads, soon after the connection. False asks for nothing unasked.
        app_elicitation: An experiment (SEP-3118, a draft of MCP Apps): where the server says so too, an app of its own
            may ask a question in its card in place of our form, which stays one click away.

    Raises:
        TargetError: The target can't be read.
        SignInFailed: The secret of `ClientCredentials` is not where they say.
        ConnectionFailed: No handshake; with what the server wrote to stderr.
    """
    if mode not in MODES:
        raise TargetError(f"mode must be one of {', '.join(map(repr, MODES))}, not {mode!r}")
    default, where = read_target(target, config=config, env=env, cwd=cwd, headers=headers, auth=auth, token=token)
    chosen = name or default
    known = _servers.get(chosen)
    if known is not None and not known.closed:
        agreed = client_of(known).app_elicitation == app_elicitation
        same = mode in ("auto", client_of(known).connection.mode) and agreed
        if client_of(known).target == where and same:
            if on_sampling is not None:
                known.on_sampling(on_sampling)
            return known
        if isinstance(where, Local) or client_of(known).target == where:
            known.close()  # the cell that defines the server, or picks the mode, was run again
        elif name is not None:
            raise TargetError(f"{name!r} is connected to {client_of(known).target}; close it or take another name")
        else:
            chosen = _free(default)
    let_in = provider(where) if isinstance(where, Url) else None
    sign_in = None if let_in is None else let_in.sign_in
    sign_in_timeout = 0.0 if sign_in is None else sign_in.settings.timeout
    connection = Connection(chosen, where, mode, timeout + sign_in_timeout)
    client = Client(connection, on_sampling, app_elicitation=app_elicitation)
    server = Server(client)
    _servers[chosen] = server
    if wait:
        try:
            if sign_in is None:
                runtime().wait(client.connection.ready)
            else:
                sign_in.attend(client.connection.ready, views.show_sign_in, getpass.getpass)
        except BaseException:
            _servers.pop(chosen, None)
            runtime().start(client.close())
            raise
    shown = views.installed()
    if shown is not None and read_ahead:
        shown.connected(server)
    return server


def _free(name: str) -> str:
    number = 2
    while f"{name}-{number}" in _servers:
        number += 1
    return f"{name}-{number}"


def servers() -> dict[str, Server]:
    """The open connections, by name."""
    for name in [name for name, server in _servers.items() if server.closed]:
        del _servers[name]
    return dict(_servers)


def connected(name: str) -> Server:
    """One open connection.

    Raises:
        UnknownServer: Offers the nearest names.
    """
    known = servers()
    if name not in known:
        raise UnknownServer(name, known)
    return known[name]


def attach(where: Server | str, task_id: str) -> Task:
    """A handle of a task that somebody else started.

    Args:
        where: A connected server, or its name.

    Raises:
        UnknownServer, TaskNotFound: There is none.
    """
    return (connected(where) if isinstance(where, str) else where).attach(task_id)
