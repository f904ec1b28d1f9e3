"""`pmcp-lab`: the command line. Heavy imports happen inside the commands, so that `--help` is quick."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from pmcp_lab._version import __version__


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pmcp-lab", description="A Jupyter toolkit that makes a notebook a first-class MCP host."
    )
    parser.add_argument("--version", action="version", version=f"pmcp-lab {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = commands.add_parser(
        "demo",
        help="run the bundled demo server",
        description="Run the bundled demo server, for both protocol generations: over stdio unless --http is given.",
    )
    demo.add_argument("--http", action="store_true", help="serve streamable HTTP and print the URL")
    demo.add_argument("--host", default="127.0.0.1", help="address to listen on with --http (default: %(default)s)")
    demo.add_argument(
        "--port",
        type=_port,
        default=8000,
        help="TCP port with --http; 0 takes a free one (default: %(default)s)",
    )
    demo.set_defaults(run=_demo)
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


def _demo(options: argparse.Namespace) -> None:
    if options.http:
        _serve_http(options.host, options.port)
        return
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
        _stop(f"can't listen on {host}:{port}: {error.strerror or error}. Choose another with --host and --port.")
    # Connections wait in the socket's backlog until the server accepts them.
    listening.listen(128)
    app = build().streamable_http_app(host=host)
    shown = f"[{host}]" if family == socket.AF_INET6 else host
    print(f"http://{shown}:{listening.getsockname()[1]}/mcp", flush=True)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
    uvicorn.Server(config).run(sockets=[listening])


def _stop(message: str) -> NoReturn:
    print(f"pmcp-lab: {message}", file=sys.stderr)
    raise SystemExit(1)


def main(arguments: Sequence[str] | None = None) -> None:
    """The `pmcp-lab` command.

    Args:
        arguments: Instead of the process's own.

    Raises:
        SystemExit: With 2 for a wrong command line, 1 when the command can't do its work, 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
