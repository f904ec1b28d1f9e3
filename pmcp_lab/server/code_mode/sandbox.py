"""A program in `pydantic-monty`'s sandbox, a process of its own: begun or gone on with, until it waits for calls.

Its blocking client runs in threads. The other one has tasks of its own that outlive the event loop, and a server that
has used it aborts, every other time, when its interpreter ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread
from pydantic_core import to_jsonable_python
from pydantic_monty import (
    ExternalSettledResult,
    FunctionSnapshot,
    FutureSnapshot,
    Monty,
    MontyComplete,
    MontyCrashedError,
    MontyError,
    MontyRuntimeError,
    MontySession,
    MontySyntaxError,
    NameLookupSnapshot,
    ResourceLimits,
    SyncSnapshot,
    __version__,
)

from pmcp_lab.server.code_mode.errors import ProgramFailed, SandboxLost
from pmcp_lab.server.code_mode.limits import CodeLimits

T = TypeVar("T")

VERSION: Final = str(__version__)
"""Of the sandbox. Another one may not be able to read what this one has written."""

SLEEP: Final = "sleep"
"""The function of a call that only waits."""

_SLEEPS: Final = ("system.sleep", "system.async_sleep")
_SUSPENSIONS: Final = 1_000
"""Names that are looked up, and calls of the operating system that are refused, besides calls of tools."""

_WAITING: Final[Any] = {"future": ...}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call that the program wants made.

    Args:
        call_id: Its number in the sandbox.
        function: The name the program has for the tool; `SLEEP` with `seconds` for a sleep.
        line: Where it stands, counted from 1; 0 where nobody can say.
        refusal: Why it can't be made.
    """

    call_id: int
    function: str
    arguments: Mapping[str, Any]
    line: int
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """The program waits.

    Args:
        wanted: Calls that were not wanted before.
        pending: The numbers of all calls it waits for.
        line: Where it waits.
    """

    wanted: tuple[Wanted, ...]
    pending: tuple[int, ...]
    line: int


@dataclass(frozen=True, slots=True)
class End:
    """The program is over; `value` is that of its last expression, as JSON."""

    value: Any


Turn = Stop | End


class Sandbox:
    """One program, in one process, as a context manager.

    Args:
        callable_names: What the program may call; every other name that it has not made stands for nothing.
        awaits: Whether calls give what the program awaits, or at once what came of them.
        printed: What it had printed already.
    """

    def __init__(
        self, source: str, callable_names: frozenset[str], limits: CodeLimits, *, awaits: bool, printed: str = ""
    ) -> None:
        self._source = source
        self._names = callable_names
        self._limits = limits
        self._awaits = awaits
        self._printed = _Printed(printed, limits.output)
        self._snapshot: SyncSnapshot | None = None
        self._stack = AsyncExitStack()
        self._one = anyio.CapacityLimiter(1)
        self._pid: int | None = None

    @property
    def printed(self) -> str:
        return self._printed.text

    async def __aenter__(self) -> Sandbox:
        try:
            self._session = await self._open()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._stack.aclose()

    async def start(self) -> Turn:
        """Begin. Raises as `answer`, and `ProgramFailed` for what is no Python in the sandbox's eyes."""
        return await self._advance(partial(self._session.feed_start, self._source, print_callback=self._printed.add))

    async def load(self, dump: bytes) -> Turn:
        """Go on where `dump` was made: the same stop again, whose calls are not wanted anew.

        Raises:
            ProgramFailed: It can't be read.
            SandboxLost: See `answer`.
        """
        load = partial(self._session.load_snapshot, dump, print_callback=self._printed.add)
        try:
            return await self._advance(load, again=True)
        except ProgramFailed as error:
            raise ProgramFailed(f"what was kept of it can't be read: {error.message}") from error

    async def dump(self) -> bytes:
        """The stopped program."""
        assert self._snapshot is not None
        assert not isinstance(self._snapshot, MontyComplete)
        return await self._in_thread(self._snapshot.dump)

    async def answer(self, answers: Mapping[int, ExternalSettledResult]) -> Turn:
        """Go on with what came of the calls it waited for, by their numbers.

        Raises:
            ProgramFailed: It raised an error, or a limit ended it.
            SandboxLost: Its process has ended.
        """
        snapshot = self._snapshot
        if isinstance(snapshot, FutureSnapshot):
            return await self._advance(partial(snapshot.resume, dict(answers)))
        assert isinstance(snapshot, FunctionSnapshot)
        return await self._advance(partial(snapshot.resume, answers[snapshot.call_id]))

    # --- turns ---

    async def _advance(self, step: Callable[[], SyncSnapshot], *, again: bool = False) -> Turn:
        """To the next stop of the program's."""
        wanted: list[Wanted] = []
        while True:
            self._snapshot = snapshot = await self._in_thread(step)
            match snapshot:
                case MontyComplete():
                    return End(await self._in_thread(partial(_output, snapshot)))
                case NameLookupSnapshot():
                    step = partial(self._look_up, snapshot)
                case FutureSnapshot():
                    return Stop(tuple(wanted), tuple(snapshot.pending_call_ids), self._line(snapshot))
                case FunctionSnapshot(is_os_function=True, function_name=name) if name not in _SLEEPS:
                    step = snapshot.resume_not_handled
                case FunctionSnapshot(function_name=name) if not snapshot.is_os_function and name not in self._names:
                    step = partial(snapshot.resume, {"exc_type": "NameError", "message": f"there is no {name!r}"})
                case FunctionSnapshot(call_id=call_id):
                    wanted += [] if again else [self._wanted(snapshot)]
                    if not self._awaits:
                        return Stop(tuple(wanted), (call_id,), self._line(snapshot))
                    step = partial(snapshot.resume, _WAITING)

    def _wanted(self, snapshot: FunctionSnapshot) -> Wanted:
        call_id, line = snapshot.call_id, self._line(snapshot)
        if snapshot.is_os_function:
            return Wanted(call_id, SLEEP, {"seconds": max(0.0, float(snapshot.args[0]))}, line)
        name = snapshot.function_name
        if snapshot.args:
            return Wanted(call_id, name, {}, line, f"{name} takes its arguments by name")
        try:
            return Wanted(call_id, name, _json(snapshot.kwargs, "an argument"), line)
        except ProgramFailed as error:
            return Wanted(call_id, name, {}, line, error.message)

    def _look_up(self, snapshot: NameLookupSnapshot) -> SyncSnapshot:
        """A tool that is not called but named: a function that can be called later."""
        name = snapshot.variable_name
        if snapshot.object_id is not None or name not in self._names:
            return snapshot.resume()

        def stands_for(**arguments: Any) -> None:
            """Never run: only its name crosses."""

        stands_for.__name__ = name
        return snapshot.resume(value=stands_for)

    def _line(self, snapshot: FunctionSnapshot | FutureSnapshot) -> int:
        position = snapshot.position
        if position.filename == "<string>":
            # In an `eval`, whose text is not the program's.
            return 0
        return self._source.encode()[: position.start].count(b"\n") + 1

    # --- the process ---

    async def _open(self) -> MontySession:
        limits = self._limits
        given = ResourceLimits(
            max_feed_duration_secs=limits.compute_seconds,
            max_memory=limits.memory,
            max_recursion_depth=limits.depth,
            max_suspensions=_SUSPENSIONS + 3 * limits.calls,
        )
        pool = Monty(min_processes=1, max_processes=1)
        await self._in_thread(pool.__enter__)
        self._stack.push_async_callback(self._closed, pool.__exit__)
        session = pool.checkout(script_name="program.py", limits=given)
        await self._in_thread(session.__enter__)
        self._stack.push_async_callback(self._closed, session.__exit__)
        self._pid = session.worker_pid
        return session

    async def _closed(self, close: Callable[[Any, Any, Any], Any]) -> None:
        with suppress(MontyError):
            await anyio.to_thread.run_sync(close, None, None, None, limiter=anyio.CapacityLimiter(1))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            # A limiter of its own: programs must not take the threads that the server itself needs.
            return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._one)
        except asyncio.CancelledError:
            # What computes is not asked to stop: its process ends, and with that the thread that waits for it.
            if self._pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
            raise
        except MontyCrashedError as error:
            if error.timed_out:
                raise ProgramFailed(f"it computed for more than {self._limits.compute_seconds:g} s") from None
            raise SandboxLost(f"the sandbox has ended: {error}") from error
        except MontySyntaxError as error:
            raise ProgramFailed(_told(error)) from None
        except MontyRuntimeError as error:
            raise ProgramFailed(_told(error)) from None


class _Printed:
    """What a program prints, as far as that is kept."""

    def __init__(self, text: str, most: int) -> None:
        self.text = text
        self._left = most - len(text.encode())

    def add(self, stream: str, text: str) -> None:  # noqa: ARG002 - both streams are one here
        if self._left <= 0:
            return
        raw = text.encode()
        if len(raw) > self._left:
            text = raw[: self._left].decode(errors="ignore") + "…"
        self._left -= len(raw)
        self.text += text


def _output(complete: MontyComplete) -> Any:
    return _json(complete.output, "the program's result")


def _json(value: Any, what: str) -> Any:
    """A value of the program's as JSON; sets are lists, what has no JSON is its text.

    Raises:
        ProgramFailed: It holds itself, or is nested too deeply.
    """
    try:
        plain = to_jsonable_python(value, fallback=_fallback, inf_nan_mode="null", bytes_mode="base64")
        # Python writes no integer of thousands of digits.
        json.dumps(plain)
    except (ValueError, RecursionError) as error:
        raise ProgramFailed(f"{what} can't be written as JSON: {error}") from None
    return plain


def _fallback(value: Any) -> Any:
    attributes = getattr(value, "attributes", None)
    return dict(attributes) if isinstance(attributes, Mapping) else str(value)


def _told(error: MontyRuntimeError | MontySyntaxError) -> str:
    """What the program raised, and the line."""
    text = error.display("type-msg")
    lines = [frame.line for frame in error.traceback() if frame.filename != "<string>"]
    return f"line {lines[-1]}: {text}" if lines else text
