"""What the simulated servers offer: tools that do what their caller wrote down, well or badly."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel

from pmcp_lab.errors import LabError
from pmcp_lab.server import TaskContext, Tasks
from pmcp_lab.tasks.stored_context import StoredContext
from tests.simulation.faults import EXECUTION
from tests.simulation.history import Event, Execution

if TYPE_CHECKING:
    from tests.simulation.world import Process

Plan = list[list[Any]]
"""Steps: `["work", n]` (n updates), `["rest", seconds]`, `["ask", key]`, `["finish"]` and `["fail"]` (end the task
now, and go on), `["raise"]`, `["stubborn", n]` (survive n attempts to be stopped), `["leave", n]` (a background task
that writes n times more), `["look"]` (stop when asked to), `["require", seconds]` (`require_input`, and `resume` after
that)."""

POLICIES: dict[str, dict[str, Any]] = {
    "once": {"on_lost": "fail"},
    "again": {"on_lost": "retry"},
    "narrow_once": {"on_lost": "fail", "concurrency": 1},
    "narrow_again": {"on_lost": "retry", "concurrency": 1},
}


class Consent(BaseModel):
    ok: bool


class Call:
    """A tool at work."""

    def __init__(self, execution: Execution, task: TaskContext) -> None:
        self.execution = execution
        self.task = task
        self.written = 0
        self.stubborn = 0
        self.left: list[asyncio.Task[None]] = []

    async def perform(self, plan: Plan) -> str:
        for what, *details in plan:
            while True:
                self.execution.waits = what == "ask"
                try:
                    await getattr(self, what)(*details)
                except (asyncio.CancelledError, LabError):
                    if self.stubborn == 0:
                        raise
                    self.stubborn -= 1
                    continue
                break
        return f"call {self.execution.number}"

    async def work(self, times: int) -> None:
        for _ in range(times):
            await self.update()
            await asyncio.sleep(0.05)

    async def update(self) -> None:
        self.written += 1
        variables = {"mark": [self.execution.number, self.written], "by": self.execution.process}
        await self.task.update(variables=variables, progress=min(1.0, self.written / 50))

    async def rest(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def ask(self, key: str) -> None:
        await self.task.elicit(f"May I ({key})?", Consent, key=key)

    async def require(self, seconds: float) -> None:
        await self.task.require_input("a moment")
        await asyncio.sleep(seconds)
        await self.task.resume()

    async def finish(self) -> None:
        await self.task.complete(f"early, call {self.execution.number}")

    async def fail(self) -> None:
        await self.task.fail(f"early, call {self.execution.number}")

    async def look(self) -> None:
        if self.task.is_cancelled:
            raise LabError("asked to stop")

    async def leave(self, times: int) -> None:
        async def go_on() -> None:
            for _ in range(times):
                await asyncio.sleep(0.5)
                try:
                    await self.update()
                except LabError:
                    return

        self.left.append(asyncio.create_task(go_on()))


async def _raise(call: Call) -> None:
    raise ValueError("as planned")


setattr(Call, "raise", _raise)


async def perform(tool: str, plan: Plan, task: TaskContext) -> str:
    process = cast("Process", asyncio.get_running_loop().process)  # type: ignore[attr-defined]
    history = process.world.history
    assert task.task_id is not None
    assert isinstance(task, StoredContext)
    run = task._run
    execution = Execution(len(history.executions) + 1, process.name, task.task_id, tool, task.attempt, run)
    history.executions.append(execution)
    note = f"{tool}, attempt {task.attempt}"
    history.add(Event(process.world.now, process.name, "starts", task.task_id, execution=execution, note=note))
    EXECUTION.set(execution)
    call = Call(execution, task)
    process.calls.append(call)
    how = "returns"
    try:
        if plan and plan[0][0] == "stubborn":
            call.stubborn = plan[0][1]
            plan = plan[1:]
        return await call.perform(plan)
    except BaseException as error:
        how = type(error).__name__
        raise
    finally:
        history.add(Event(process.world.now, process.name, "ends", task.task_id, execution=execution, note=how))


def _declare(tasks: Tasks, name: str, policy: dict[str, Any]) -> None:
    @tasks.tool(name=name, **policy)
    async def tool(plan: list[list[Any]], task: TaskContext) -> str:
        return await perform(name, plan, task)


TOOLS = Tasks()
"""Declared once: the models of their arguments take longer to make than all that one seed does."""

for _name, _policy in POLICIES.items():
    _declare(TOOLS, _name, _policy)

SERVER: MCPServer[Any] = MCPServer("declares", extensions=[TOOLS])
