"""Processes that are killed, stopped and woken while they work, and say over a socket where they are.

Scripts of `tests.servers` use `tests.servers.control` for their end of that. Starting one is cheap: they are forked.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tests.servers import environment

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
TIMEOUT = 30.0
"""Seconds in which anything has to happen, on a machine that has a lot to do."""


class Gone(Exception):
    """The process has ended."""


class Process:
    """One process; what it says is kept until it is asked for.

    Attributes:
        stdin, stdout: Descriptors of a process that was started with them, for its MCP transport.
    """

    def __init__(self, pid: int, control: socket.socket, stdio: tuple[int, int] | None) -> None:
        self.pid = pid
        self.stdio = stdio
        self.said: list[dict[str, Any]] = []
        self._control = control
        self._news = asyncio.Condition()
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        reader, writer = await asyncio.open_connection(sock=self._control, limit=2**24)
        try:
            async for line in reader:
                async with self._news:
                    self.said.append(json.loads(line))
                    self._news.notify_all()
        except (OSError, json.JSONDecodeError):
            # It was killed while it wrote.
            pass
        finally:
            writer.close()
            async with self._news:
                self._news.notify_all()

    async def says(self, what: str, count: int = 1, **about: Any) -> list[dict[str, Any]]:
        """All it has said of this, once that is so many.

        Raises:
            Gone: It has ended before.
        """

        def heard() -> list[dict[str, Any]]:
            wanted = {"what": what, **about}.items()
            return [one for one in self.said if wanted <= one.items()]

        try:
            async with asyncio.timeout(TIMEOUT), self._news:
                while len(heard()) < count:
                    if self._listening.done():
                        raise Gone(f"process {self.pid} has ended before it said {what!r}")
                    await self._news.wait()
        except TimeoutError:
            said = "\n".join(map(str, heard()))
            raise TimeoutError(f"not {count} times did process {self.pid} say {what!r} {about}:\n{said}") from None
        return heard()

    async def url(self) -> str:
        return str((await self.says("serving"))[0]["url"])

    def tell(self, what: str, **about: Any) -> None:
        self._control.send(json.dumps({"what": what, **about}).encode() + b"\n")

    def send(self, number: signal.Signals) -> None:
        """Unless it has ended."""
        if not self._listening.done():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def stopped(self) -> None:
        """Wait until it does nothing any more, for it has stopped itself."""
        async with asyncio.timeout(TIMEOUT):
            while b") T" not in Path(f"/proc/{self.pid}/stat").read_bytes():  # noqa: ASYNC110, ASYNC240
                await asyncio.sleep(0.01)

    async def over(self) -> None:
        """Wait until it has ended."""
        async with asyncio.timeout(TIMEOUT):
            await asyncio.wait([self._listening])

    async def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.send(number)
        self.send(signal.SIGCONT)
        await self.over()
        for descriptor in self.stdio or ():
            os.close(descriptor)
        self.stdio = None


class Nursery:
    """Starts processes by forking one that has everything imported, which lives as long as this one.

    Args:
        env: On top of this process' environment, from the start.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._asking, asked = socket.socketpair()
        self._turn = threading.Lock()
        with asked:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.servers.nursery", str(asked.fileno())],
                cwd=ROOT,
                env=environment(**env),
                pass_fds=[asked.fileno()],
                # Its children are ended with it, and nobody else.
                start_new_session=True,
            )
        atexit.register(self.close)

    async def start(self, module: str, *arguments: str, stdio: bool = False, **env: str) -> Process:
        """A process that runs the module as a script.

        Args:
            stdio: It talks MCP on its standard streams.
            env: More of its environment.
        """
        ours, theirs = socket.socketpair()
        if stdio:
            (stdin, to_stdin), (from_stdout, stdout) = os.pipe(), os.pipe()
        else:
            stdin, stdout = os.open(os.devnull, os.O_RDONLY), os.dup(2)
        try:
            pid = await asyncio.to_thread(self.fork, [module, *arguments], env, [stdin, stdout, theirs.fileno()])
        finally:
            theirs.close()
            os.close(stdin)
            os.close(stdout)
        return Process(pid, ours, (to_stdin, from_stdout) if stdio else None)

    def fork(self, argv: Sequence[str], env: Mapping[str, str], descriptors: Sequence[int]) -> int:
        """The same, with these as its descriptors 0, 1 and 3; returns its process id."""
        request = json.dumps({"argv": list(argv), "env": dict(env)}).encode()
        with self._turn:
            socket.send_fds(self._asking, [request], list(descriptors))
            answer = self._asking.recv(32)
        if not answer:
            raise RuntimeError("nothing can be started: the process that is to be forked has ended")
        return int(answer)

    def close(self) -> None:
        self._asking.close()
        self._process.wait(10)


@functools.cache
def nursery(**env: str) -> Nursery:
    return Nursery(env)


class Start(Protocol):
    async def __call__(self, module: str, *arguments: str, stdio: bool = False, **env: str) -> Process:
        """See `Nursery.start`."""
        ...


@asynccontextmanager
async def processes(home: Nursery | None = None) -> AsyncIterator[Start]:
    """What starts processes that end with the block."""
    started: list[Process] = []

    async def start(module: str, *arguments: str, stdio: bool = False, **env: str) -> Process:
        started.append(await (home or nursery()).start(module, *arguments, stdio=stdio, **env))
        return started[-1]

    try:
        yield start
    finally:
        await asyncio.gather(*(process.end() for process in started))


async def together(**runs: Coroutine[Any, Any, T]) -> dict[str, T]:
    """What they return, by name; most of the time they wait, and so do it at the same time.

    Raises:
        Exception: The first of theirs, with the name of who raised it as a note.
    """
    running = {name: asyncio.create_task(run, name=name) for name, run in runs.items()}
    try:
        await asyncio.wait(running.values(), return_when=asyncio.FIRST_EXCEPTION)
        for name, one in running.items():
            if one.done() and (error := one.exception()) is not None:
                error.add_note(name)
                raise error
    finally:
        for one in running.values():
            one.cancel()
        await asyncio.gather(*running.values(), return_exceptions=True)
    return {name: one.result() for name, one in running.items()}
