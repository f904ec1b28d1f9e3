"""How a client that can't be asked passes on what its person says: by a tool. And what is no answer at all."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations
from pydantic import Field, WithJsonSchema

from pmcp_lab.errors import INVALID_PARAMS, LabError
from pmcp_lab.protocol.workflow_wire import StepStatus
from pmcp_lab.server.request import Request, is_modern, questions_of, takes_tasks
from pmcp_lab.tasks.questions import FORM
from pmcp_lab.workflow.asking import open_question
from pmcp_lab.workflow.deciding import form, misfit
from pmcp_lab.workflow.definition import SequentialWorkflow
from pmcp_lab.workflow.progress import Progress

_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]+")

Answer = Callable[[str, str, Mapping[str, Any]], Awaitable[str]]
"""Given a task's id, a step and a response: does what an answer does, and says what came of it."""


def can_be_asked(ctx: Request) -> bool:
    """Whether the questions of a task reach the client of a request."""
    return FORM in questions_of(ctx) and (takes_tasks(ctx) or not is_modern(ctx))


def tool_name(workflow: SequentialWorkflow) -> str | None:
    """Of the tool that answers a workflow; None for one that asks nothing."""
    if not any(step.execution == "manual" for step in workflow.steps):
        return None
    return f"answer_{_NO_NAME.sub('_', workflow.name)}"[:64]


def add_tool(server: MCPServer[Any], workflow: SequentialWorkflow, name: str, answer: Answer) -> None:
    """Put the tool on a server."""
    steps = [step for step in workflow.steps if step.execution == "manual"]
    forms = [{**form(step), "title": step.name, "description": step.question or ""} for step in steps]
    content = {"anyOf": [*forms, {"type": "null"}], "description": "What the person filled in, with accept"}

    async def run(task_id: str, step: str, action: str, content: dict[str, Any] | None = None) -> str:
        return await answer(task_id, step, {"action": action} | ({} if content is None else {"content": content}))

    # Here, for what a step asks is known only now.
    run.__annotations__ = {
        "task_id": Annotated[str, Field(description="Of the workflow's task")],
        "step": Annotated[
            str, Field(description="Which question", json_schema_extra={"enum": [step.name for step in steps]})
        ],
        "action": Annotated[Literal["accept", "decline"], Field(description="What the person says")],
        "content": Annotated[dict[str, Any] | None, WithJsonSchema(content)],
        "return": str,
    }
    server.add_tool(
        run,
        name=name,
        title=f"Answer for {workflow.title or workflow.name}",
        description=(
            f"Pass on what a person decides in the workflow {workflow.name}. "
            "Only a person decides: put the question to them first."
        ),
        annotations=ToolAnnotations(read_only_hint=False, open_world_hint=False),
        structured_output=False,
    )


def answered(progress: Progress, step: str, response: Mapping[str, Any]) -> Progress:
    """The workflow with an answer to a step's question.

    Raises:
        LabError: Nothing is asked there, or this is no answer to it.
    """
    name = f"workflow {progress.workflow.name!r}"
    if step not in progress.positions or progress.state(step).execution != "manual":
        raise LabError(f"{name} asks nothing at a step {step!r}", code=INVALID_PARAMS)
    state, pause = progress.state(step), progress.pause
    if state.answer is not None or state.settled or state.status is StepStatus.REFUSED:
        raise LabError(f"step {step!r} has its answer: it is {state.status}", code=INVALID_PARAMS)
    if pause is None or pause.step != step or pause.kind != "inputRequired":
        raise LabError(f"{name} does not ask at step {step!r} yet", code=INVALID_PARAMS)
    one = progress.workflow.steps[progress.positions[step]]
    check_answer(one.name, misfit(one, response))
    key, _ = open_question(one, progress)
    return progress.asked({key: response})


def check_responses(progress: Progress, responses: Mapping[str, Any]) -> None:
    """Refuse what does not fit the form of an open question.

    Raises:
        LabError: With what is wrong.
    """
    for step in progress.workflow.steps:
        key, asked = open_question(step, progress) if step.execution == "manual" else ("", False)
        if asked and key in responses:
            check_answer(step.name, misfit(step, responses[key]))


def check_answer(step: str, wrong: str | None) -> None:
    """Raise what is wrong with an answer."""
    if wrong is not None:
        raise LabError(f"the answer to step {step!r} does not fit its form: {wrong}", code=INVALID_PARAMS)
