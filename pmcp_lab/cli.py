"""`pmcp-lab`: the command line. Heavy imports happen inside the commands, so that `--help` is quick."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from pmcp_lab._version import __version__

if TYPE_CHECKING:
    from pmcp_lab.execution.docket import DocketExecutor
    from pmcp_lab.server import Tasks


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

    worker = commands.add_parser(
        "worker",
        help="run a server's tasks in this process",
        description=(
            "Run tasks of a server whose Tasks have executor='docket', in this process. Start as many as you like, on "
            "any machine that reaches the same Redis and store and has the same code. Ends on SIGTERM or Ctrl-C: takes "
            "no more tasks, lets those that run finish, and hands back what is not done after --grace seconds. "
            "A second signal ends it at once; its tasks are then missed when their leases lapse."
        ),
        epilog="exit status: 0 ended by a signal, 1 can't work or left a task behind, 2 wrong command line",
    )
    worker.add_argument(
        "target",
        metavar="MODULE:OBJECT",
        help="an MCPServer, a Tasks, or a function without arguments that returns one; "
        "MODULE is looked for in the current directory first",
    )
    worker.add_argument(
        "--concurrency",
        type=_count,
        default=10,
        metavar="N",
        help="tasks that run at the same time (default: %(default)s)",
    )
    worker.add_argument("--name", help="unique among the workers (default: host name and process id)")
    worker.add_argument(
        "--grace",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="how long running tasks may go on after a signal (default: %(default)g)",
    )
    worker.set_defaults(run=_worker)
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 is needed, not {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"a number of seconds is needed, not {text!r}")
    return seconds


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


def _worker(options: argparse.Namespace) -> None:
    import asyncio
    import logging

    from pmcp_lab.errors import LabError

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        tasks, executor = _workable(options.target)
        asyncio.run(_work(tasks, executor, options))
    except LabError as error:
        _stop(str(error))


def _leave_threads(patience: float = 3.0) -> None:
    """Python waits for threads at its end; a tool that sits in one would keep a worker for as long as it likes."""
    import os
    import threading

    def leave() -> None:
        print("pmcp-lab: a tool that runs in a thread did not stop; leaving without it", file=sys.stderr, flush=True)
        os._exit(1)

    timer = threading.Timer(patience, leave)
    timer.daemon = True
    timer.start()


def _workable(target: str) -> tuple[Tasks, DocketExecutor]:
    """The Tasks a worker was pointed at, and their executor.

    Raises:
        LabError: There is nothing to work for.
    """
    from pmcp_lab.errors import LabError, MissingExtra
    from pmcp_lab.server import Tasks

    try:
        from pmcp_lab.execution.docket import DocketExecutor
    except ModuleNotFoundError as error:
        if error.name not in ("docket", "redis"):
            raise
        raise MissingExtra("pmcp-lab worker", "docket") from None
    found = _load(target)
    if not isinstance(found, Tasks):
        # An MCPServer shows its middleware, but not its extensions.
        among = getattr(found, "middleware", None)
        if not isinstance(among, list):
            raise LabError(f"{target} is a {type(found).__name__}, not an MCPServer or a Tasks")
        found = next((part for part in among if isinstance(part, Tasks)), None)
        if found is None:
            raise LabError(f"the server {target} has no tasks: MCPServer(..., extensions=[tasks], middleware=[tasks])")
    if not isinstance(found.executor, DocketExecutor):
        raise LabError(
            f"{target} runs its tasks in the server's own process, so there is nothing for a worker to do; "
            "give its Tasks executor='docket'"
        )
    return found, found.executor


def _load(target: str) -> Any:
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


async def _work(tasks: Tasks, executor: DocketExecutor, options: argparse.Namespace) -> None:
    """Work until there is a signal."""
    import asyncio
    import signal

    loop = asyncio.get_running_loop()
    signalled = asyncio.Event()

    def leave(*_: object) -> None:
        # The next one is not for us: it ends the process.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        loop.call_soon_threadsafe(signalled.set)

    await executor.connect()
    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)
    tasks.start()
    work = asyncio.create_task(executor.work(concurrency=options.concurrency, name=options.name))
    told = asyncio.create_task(signalled.wait())
    print(f"working on {executor.name} at {executor.place}, {options.concurrency} at a time", flush=True)
    await asyncio.wait([work, told], return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if work.done():
        work.result()
    await tasks.close(options.grace)
    _leave_threads()
    await work


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
