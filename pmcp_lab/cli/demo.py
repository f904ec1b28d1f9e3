"""`pmcp-lab demo`: the bundled demo server, over stdio or HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from pmcp_lab.cli.ending import stop

EXAMPLES = """
[bold]Examples[/bold]

pmcp-lab demo                  for a host that starts it, over stdio
pmcp-lab demo --http           on http://127.0.0.1:8000/mcp
pmcp-lab demo --http --port 0  on a free port, which the printed URL names
"""


def add_to(app: typer.Typer) -> None:
    app.command("demo", epilog=EXAMPLES)(run)


def run(
    *,
    http: Annotated[bool, typer.Option("--http", help="Serve streamable HTTP and print the URL.")] = False,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on with --http.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="TCP port with --http; 0 is a free one.", show_default="8000"),
    ] = None,
) -> None:
    """Run the bundled demo server, for both protocol generations: over stdio unless --http is given."""
    if http:
        _serve_http(host or "127.0.0.1", 8000 if port is None else port)
        return
    if port is not None or host is not None:
        raise typer.BadParameter(
            f"{'--port' if port is not None else '--host'} is for --http: over stdio there is none"
        )
    import signal

    from pmcp_lab.demo import build

    # The SDK reads stdin in a thread that Python can't interrupt: Ctrl-C has to be left to the system.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    build().run("stdio")


def _serve_http(host: str, port: int) -> None:
    import socket

    import uvicorn

    from pmcp_lab.demo import build

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns off Nagle's algorithm only where the protocol is named: without it every answer waits 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        # Bound here and not by uvicorn, so that the printed URL is true, port 0 included.
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        stop(f"can't listen on {host}:{port}: {error.strerror or error}. Choose another with --host and --port.")
    # Connections wait in the socket's backlog until the server accepts them.
    listening.listen(128)
    shown = f"[{host}]" if family == socket.AF_INET6 else host
    url = f"http://{shown}:{listening.getsockname()[1]}/mcp"

    class Announced(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            # Not before: Ctrl-C while the loop is made leaves a traceback, and now it is heard by the server.
            print(url, flush=True)

    app = build().streamable_http_app(host=host)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
    Announced(config).run(sockets=[listening])
