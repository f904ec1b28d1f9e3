"""`pmcp-lab preview`: a page that shows a server's apps as a host would."""

from __future__ import annotations

import contextlib
import json
from enum import StrEnum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pmcp_lab.cli.connecting import Generation, Mode, Patience, Target, Token, server_object
from pmcp_lab.cli.ending import terminated_as_interrupted

if TYPE_CHECKING:
    from pmcp_lab.client import OAuth, Recorder
    from pmcp_lab.preview import PreviewServer

EXAMPLES = """
[bold]Examples[/bold]

pmcp-lab preview http://127.0.0.1:8000/mcp          a server that runs
pmcp-lab preview my_app.server:build --open         one of this project, in the browser
pmcp-lab preview "npx -y @scope/server-map --stdio" a command
pmcp-lab preview https://apps.example.com/mcp --auth oauth
pmcp-lab preview demo --profile chatgpt             only what ChatGPT offers
"""


class Profile(StrEnum):
    """The hosts that can be played, for the help and for completion."""

    standard = auto()
    chatgpt = auto()


class Auth(StrEnum):
    """Ways to be let in."""

    oauth = auto()


def add_to(app: typer.Typer) -> None:
    app.command("preview", epilog=EXAMPLES)(run)


def run(
    target: Target,
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0 takes a free one.")] = 8765,
    browse: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    tool: Annotated[str | None, typer.Option(help="The tool that is selected at first.", show_default=False)] = None,
    profile: Annotated[
        Profile, typer.Option(help="The host that is played: all there is, or strictly what ChatGPT offers.")
    ] = Profile.standard,
    record: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            metavar="FILE",
            help="Keep every call in a recording, written at the end.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the recording that is there.")] = False,
    auth: Annotated[Auth | None, typer.Option(help="Sign in; the page shows where.", show_default=False)] = None,
    client_id: Annotated[
        str | None, typer.Option(help="Of an OAuth client that was registered by hand.", show_default=False)
    ] = None,
    scope: Annotated[str | None, typer.Option(help="What to ask for, separated by spaces.", show_default=False)] = None,
    token: Token = None,
    mode: Mode = Generation.AUTO,
    timeout: Patience = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the address as JSON.")] = False,
) -> None:
    """Show a server's apps on a local page, as a host would: tools to fill in and run, the inspector, host controls.

    The page is for this machine alone, and only for the browser that is given the printed address. Ctrl-C ends it.
    """
    import webbrowser

    from pmcp_lab.client import record as start_recording
    from pmcp_lab.errors import AppError
    from pmcp_lab.preview import PreviewServer, PreviewSession

    if record is not None and record.exists() and not force:
        raise AppError(f"{record} exists already; --force replaces it")
    options = {"mode": mode.value, "token": token, "timeout": timeout, "auth": _oauth(auth, client_id, scope)}
    found = server_object(target)
    session = PreviewSession(
        target if found is None else found,
        {name: value for name, value in options.items() if value is not None},
        profile=profile.value,
        tool=tool,
    )
    recorder = start_recording(record) if record is not None else None
    server = PreviewServer(session, port)
    with terminated_as_interrupted(), contextlib.closing(server):
        session.start()
        server.start()
        with contextlib.suppress(KeyboardInterrupt):
            _say(server, as_json=as_json)
            if browse:
                webbrowser.open(server.url)
            server.wait()
        if recorder is not None:
            _save(recorder)


def _say(server: PreviewServer, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"url": server.url, "port": server.port}), flush=True)
    else:
        print(f"{server.url}\nfor this machine's browser alone; Ctrl-C ends it", flush=True)


def _save(recorder: Recorder) -> None:
    from pmcp_lab.errors import AppError

    recorder.stop()
    if not recorder.calls:
        raise AppError("no tool was called, so there is no recording")
    print(f"{recorder.save()}: {len(recorder.calls)} calls")


def _oauth(auth: Auth | None, client_id: str | None, scope: str | None) -> OAuth | None:
    if auth is None and client_id is None and scope is None:
        return None
    from pmcp_lab.client import OAuth

    return OAuth(client_id=client_id, scope=scope)
