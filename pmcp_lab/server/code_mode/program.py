"""Leads one program from call to call: what it is about to call is written down before, what came of it afterwards.

A stop of the program is one write, with the stopped program in it, and so is what a call gave that may not be made
twice. Whatever process goes on with the task finds the program where it waited: a call with an outcome is not made
again, one that may be made twice is, and about any other a person is asked.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

from pmcp_lab.errors import LabError, LimitExceeded, VariableError
from pmcp_lab.server.code_mode.asking import AGAIN, ask_fate
from pmcp_lab.server.code_mode.checking import Checked
from pmcp_lab.server.code_mode.errors import ProgramFailed, SandboxLost
from pmcp_lab.server.code_mode.functions import ToolFunction
from pmcp_lab.server.code_mode.ledger import Ledger, Open, counted
from pmcp_lab.server.code_mode.limits import CodeLimits
from pmcp_lab.server.code_mode.sandbox import VERSION, End, Sandbox, Stop
from pmcp_lab.tasks import TaskContext

CallTool = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
"""Calls a tool of the server by its name there, and returns its value; raises `ToolFailed`."""

_SANDBOXES = 3
"""How many sandboxes may end under one stretch of a program."""


class ToolFailed(LabError):
    """A tool failed: the program gets this as a `RuntimeError`."""


class Program:
    """One program, for one run of its task."""

    def __init__(self, checked: Checked, task: TaskContext, call_tool: CallTool, limits: CodeLimits) -> None:
        self._checked = checked
        self._task = task
        self._call_tool = call_tool
        self._limits = limits
        self._ledger = Ledger.read(checked.source, limits, task.checkpoint)
        self._restored = frozenset(call_id for call_id, call in self._ledger.open.items() if call.begun)
        self._since = asyncio.get_running_loop().time()
        self._before = self._ledger.spent
        self._asked = 0.0
        self._writing = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._turns = asyncio.Semaphore(limits.parallel)

    @property
    def printed(self) -> str:
        return self._ledger.printed

    @property
    def made(self) -> int:
        return self._ledger.made

    async def run(self) -> Any:
        """Its result, from wherever it was.

        Raises:
            ProgramFailed: It ended with an error, or by a limit.
            TaskCancelled: Its task is over, or another process has it.
        """
        ledger = self._ledger
        if ledger.end is None:
            try:
                ledger.end = {"result": await self._to_the_end()}
            except ProgramFailed as error:
                ledger.end = {"error": error.message}
            # What it held is of no use to anybody any more.
            ledger.open, ledger.dump = {}, None
            await self._save()
        if "error" in ledger.end:
            raise ProgramFailed(ledger.end["error"])
        return ledger.end["result"]

    async def _to_the_end(self) -> Any:
        ledger, lost = self._ledger, 0
        if ledger.dump is not None and ledger.version != VERSION:
            raise ProgramFailed(
                f"line {ledger.line}: pydantic-monty {ledger.version} stopped it there, and {VERSION} may not be able "
                f"to go on with it. It has made {ledger.made} calls: begin another program for the rest"
            )
        while True:
            try:
                async with self._sandbox() as sandbox:
                    turn = await (sandbox.start() if ledger.dump is None else sandbox.load(ledger.dump))
                    while isinstance(turn, Stop):
                        await self._serve(turn, sandbox)
                        turn = await sandbox.answer({call_id: ledger.open[call_id].answer for call_id in turn.pending})
                        ledger.close()
                        lost = 0
                    ledger.printed = sandbox.printed
                    return self._fitting(turn)
            except SandboxLost as error:
                # The last stop is still there, with all that came of it.
                lost += 1
                if lost == _SANDBOXES:
                    raise ProgramFailed(f"{error.message}, {lost} times in a row") from error

    def _sandbox(self) -> Sandbox:
        return Sandbox(
            self._checked.source,
            frozenset(self._checked.functions),
            self._limits,
            awaits=self._checked.awaits,
            printed=self._ledger.printed,
        )

    def _fitting(self, end: End) -> Any:
        size = len(json.dumps(end.value))
        if size > self._limits.kept:
            raise ProgramFailed(f"its result has {size} bytes, and at most {self._limits.kept} are allowed")
        return end.value

    # --- one stop ---

    async def _serve(self, stop: Stop, sandbox: Sandbox) -> None:
        """See to it that every call the program waits for has an outcome."""
        ledger = self._ledger
        if stop.wanted:
            for wanted in stop.wanted:
                ledger.want(wanted)
            ledger.line, ledger.printed = stop.line or ledger.line, sandbox.printed
            ledger.dump, ledger.version = await sandbox.dump(), VERSION
            for call in self._waiting(stop)[: self._limits.parallel]:
                call.begun = 1
            await self._save()
        await _together([self._settle(call) for call in self._waiting(stop)])

    def _waiting(self, stop: Stop) -> list[Open]:
        found = (self._ledger.open[call_id] for call_id in stop.pending)
        return sorted((call for call in found if call.outcome is None), key=lambda call: call.number)

    async def _settle(self, call: Open) -> None:
        """Make one call, or find out what became of it."""
        ledger, function = self._ledger, self._checked.functions.get(call.function)
        once = function is not None and not function.repeatable
        async with self._turns:
            if once and call.call_id in self._restored:
                if await self._ask(call) != AGAIN:
                    ledger.settled(call)
                    await self._save()
                    return
                await self._save()
            elif call.call_id in self._restored:
                # Not written: a server that ends with this call each time is to be noticed by its attempts.
                ledger.begun_again(call, "called again: its server ended meanwhile")
            elif not call.begun:
                call.begun = 1
                if once:
                    await self._save()
            await self._make(call, function)
            ledger.settled(call)
            if once:
                await self._save()

    async def _ask(self, call: Open) -> str:
        async with self._asking:
            loop = asyncio.get_running_loop()
            began = loop.time()
            try:
                return await ask_fate(self._task, self._ledger, call)
            finally:
                self._asked += loop.time() - began

    async def _make(self, call: Open, function: ToolFunction | None) -> None:
        left = self._left()
        if function is None:
            wait = float(call.arguments["seconds"])
            await asyncio.sleep(min(wait, left))
            if wait > left:
                raise self._too_long()
            call.gave(None)
            return
        problem = function.problem(call.arguments)
        if problem is not None:
            call.raised("TypeError", problem)
            return
        most = self._limits.call_seconds
        try:
            async with asyncio.timeout(min(most, left)):
                call.gave(await self._call_tool(function.tool, call.arguments))
        except TimeoutError:
            if left <= most:
                raise self._too_long() from None
            call.raised("TimeoutError", f"{call.function} took longer than {most:g} s")
        except ToolFailed as error:
            call.raised("RuntimeError", error.message)

    # --- what it takes ---

    @property
    def _spent(self) -> float:
        return self._before + asyncio.get_running_loop().time() - self._since - self._asked

    def _left(self) -> float:
        left = self._limits.duration_seconds - self._spent
        if left <= 0:
            raise self._too_long()
        return left

    def _too_long(self) -> ProgramFailed:
        return ProgramFailed(
            f"line {self._ledger.line}: it has taken longer than {self._limits.duration_seconds:g} s, "
            f"with {counted(self._ledger.made)}"
        )

    async def _save(self) -> None:
        async with self._writing:
            ledger = self._ledger
            ledger.spent = self._spent
            try:
                await self._task.save(ledger.kept(), message=ledger.message(), variables=ledger.variables())
            except (LimitExceeded, VariableError) as error:
                raise ProgramFailed(f"line {ledger.line}: it can't be kept: {error.message}") from error


async def _together(works: Sequence[Coroutine[Any, Any, None]]) -> None:
    """All of them at a time; the first error ends the others."""
    if len(works) < 2:
        for work in works:
            await work
        return
    # A `TaskGroup` would raise a group, and cancels whoever waits for it, which the client's scopes take for their own.
    running = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
        for one in running:
            if one.done():
                one.result()
    finally:
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)
