"""From a tool's name to its app, in the order in which the least is waited for."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any, TypeVar

from pmcp_lab.client import Server, Tool, client_of, runtime
from pmcp_lab.host.app import HostedApp
from pmcp_lab.host.bridge import BridgeMode
from pmcp_lab.host.prefetch import read_first
from pmcp_lab.host.profile import STANDARD, Profile
from pmcp_lab.host.resource import recall_app, ui_uri

SENDING = 0.002
"""Seconds in which a request leaves for the server. A thread that goes on at once keeps the loop from sending it."""

H = TypeVar("H", bound=HostedApp)


def open_app(
    make: Callable[[Server, Tool, dict[str, Any] | None, Profile], H],
    server: Server,
    name: str,
    arguments: dict[str, Any] | None,
    profile: Profile = STANDARD,
    bridge: BridgeMode = "kernel",
) -> H:
    """Read a tool's UI resource, call the tool, and return the app; the result follows when it is there.

    Args:
        make: Makes the app.
        arguments: None opens the app without a call; see `HostedApp.run`.
        profile: The host that is played.
        bridge: See `HostedApp.bridge`.

    Raises:
        AppError: The tool has no app, or its resource is not one.
        UnknownTool, InvalidArguments: As for a call.
    """
    uri = ui_uri(server, name, profile)
    tool = server.tool(name)
    if arguments is not None:
        tool.check(arguments)
    client = client_of(server)
    known = recall_app(client, uri, profile)
    # The page makes the model and loads the view's code while the resource is being read.
    reading = None if known is not None else runtime().start(read_first(client, uri, profile))
    if reading is not None:
        concurrent.futures.wait([reading], timeout=SENDING)
    app = make(server, tool, arguments, profile)
    calling = None
    try:
        if arguments is not None:
            calling = runtime().start(client.pass_on(name, arguments, attend=app.attend))
        if bridge != "kernel":
            app.bridge = bridge
        if known is not None:
            app.show(known)
            runtime().start(app.refresh())
        elif reading is not None:
            app.show(runtime().wait(reading))
    except BaseException:
        for pending in (calling, reading):
            if pending is not None:
                pending.cancel()
        app.discard()
        raise
    if calling is not None:
        app.follow(calling)
    return app
