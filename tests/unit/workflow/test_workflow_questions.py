"""Tools of steps that ask something themselves: of the client that calls one, and of nobody where the server does."""

from __future__ import annotations

from typing import Any

import pytest
from mcp_types import ElicitResult
from pydantic import BaseModel

from pmcp_lab.protocol.workflow_wire import Recorded, StepStatus
from pmcp_lab.server import TaskContext, Tasks
from pmcp_lab.tasks import LOCAL
from pmcp_lab.tasks.owner import of_calls
from pmcp_lab.workflow import SequentialWorkflow
from tests.unit.flow import MODES, Flow

CALLED = "the client can't be asked"


class Size(BaseModel):
    size: int


def measuring(execution: Any, asks: list[str]) -> Flow:
    tasks = Tasks(lease=0.5)

    @tasks.tool()
    async def measure(what: str, task: TaskContext) -> str:
        asks.append(what)
        answer = await task.elicit(f"How big is the {what}?", Size)
        return f"{what}: {answer.content.size if answer.content else answer.action}"

    step = {} if execution is None else {"execution": execution}
    flow = SequentialWorkflow("fit", "Make it fit").step("measure", "measure", {"what": "box"}, **step)
    return Flow(flow, tasks=tasks)


async def answer(context: Any, params: Any) -> ElicitResult:
    return ElicitResult(action="accept", content={"size": 3})


@pytest.mark.parametrize("mode", MODES)
async def test_the_client_s_call_asks_and_is_recorded_once_it_is_answered(mode: str) -> None:
    asks: list[str] = []
    flow = measuring("client", asks)
    async with flow.visitor(mode, elicitation_callback=answer) as visitor:
        begun = await visitor.get()
        state = await visitor.call("measure", {"what": "box"}, task=begun.task_id)
        assert state.recorded == Recorded(step="measure", status=StepStatus.COMPLETED)
        variables = (await flow.record(begun)).variables
    assert variables["_workflow.result.measure"]["structuredContent"] == {"result": "box: 3"}
    assert asks == ["box"]


async def test_the_server_s_own_call_has_nobody_to_ask() -> None:
    flow = measuring(None, [])
    async with flow.visitor(elicitation_callback=answer) as visitor:
        state = await visitor.get()
        assert state.pause is not None
        assert CALLED in state.pause.message
        assert (await flow.tasks.store.list(of_calls(LOCAL))).records == [], "nothing waits for an answer"
    async with measuring(None, asks := []).visitor("legacy", elicitation_callback=answer) as visitor:
        assert (await visitor.get()).status == "completed"
        assert asks == ["box"]
