"""What a server says of its workflows before one runs, and whether they and what is asked of them make sense."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp_types import INVALID_PARAMS

from pmcp_lab.errors import LabError, WorkflowInvalid, nearest
from pmcp_lab.protocol import workflow_wire
from pmcp_lab.protocol.durations import milliseconds
from pmcp_lab.tasks import Limits
from pmcp_lab.workflow.checking import ToolSchemas, check
from pmcp_lab.workflow.definition import SequentialWorkflow
from pmcp_lab.workflow.resolving import parse

_NOT_A_NAME = "tools/call"
"""What the tasks of tools say they are of."""


def check_all(
    workflows: Iterable[SequentialWorkflow], tools: Mapping[str, ToolSchemas] | None, limits: Limits | None = None
) -> list[tuple[str, str]]:
    """What is odd about them; raises `WorkflowInvalid` for what is wrong."""
    listed, found, odd = list(workflows), list[WorkflowInvalid](), list[tuple[str, str]]()
    for workflow in listed:
        if workflow.name == _NOT_A_NAME or [one.name for one in listed].count(workflow.name) > 1:
            found.append(WorkflowInvalid(workflow.name, [("name", "is taken")]))
        try:
            odd += [(f"workflow {workflow.name!r}, {where}", what) for where, what in check(workflow, tools)]
            if limits is not None and (late := list(_too_late(workflow, limits))):
                found.append(WorkflowInvalid(workflow.name, late))
        except WorkflowInvalid as error:
            found.append(error)
    if len(found) == 1:
        raise found[0]
    if found:
        names = ", ".join(dict.fromkeys(error.workflow for error in found))
        raise WorkflowInvalid(names, [(f"{e.workflow}, {where}", what) for e in found for where, what in e.problems])
    return odd


def _too_late(workflow: SequentialWorkflow, limits: Limits) -> Iterator[tuple[str, str]]:
    """Deadlines that a task does not live to see."""
    ttl = limits.default_ttl_ms if workflow.ttl is None else milliseconds(workflow.ttl)
    for step in workflow.steps:
        within = milliseconds(step.within) or 0
        if ttl is not None and within >= ttl:
            kept_for = f"{ttl / 1000:g} s"
            yield (
                f"step {step.name!r}, within",
                f"the task is kept for {kept_for} only: give the workflow a longer ttl=",
            )


def check_arguments(workflow: SequentialWorkflow, given: Mapping[str, str], *, complete: bool) -> None:
    """Refuse what the prompt can't take, before its task is made."""
    declared = {one.name: one for one in workflow.arguments}
    problems = [
        f"{name}: not an argument of this prompt.{nearest(name, declared)}" for name in given if name not in declared
    ]
    for name, one in declared.items():
        if name not in given:
            problems += [f"{name}: missing"] if one.required and complete else []
            continue
        try:
            parse(given[name], one.type)
        except ValueError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise LabError(
            f"prompt {workflow.name!r} can't take these arguments: {'; '.join(problems)}", code=INVALID_PARAMS
        )


def description(workflow: SequentialWorkflow) -> dict[str, Any]:
    steps = [
        {"name": one.name}
        | ({} if one.tool is None else {"tool": one.tool})
        | ({} if one.execution == "auto" else {"execution": one.execution})
        for one in workflow.steps
    ]
    arguments = [
        {"name": one.name, "description": one.description, "required": one.required}
        # PMCP's extension of the prompt's argument.
        | ({} if one.type == "string" else {"argType": one.type})
        for one in workflow.arguments
    ]
    return {"_meta": {workflow_wire.WORKFLOW: {"steps": steps}}} | ({"arguments": arguments} if arguments else {})


async def tools_of(server: MCPServer[Any]) -> dict[str, ToolSchemas]:
    return {
        tool.name: ToolSchemas(tool.input_schema, tool.output_schema, tool.description or "")
        for tool in await server.list_tools()
    }


def now(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine gives, from a plain function, whether or not an event loop runs in this thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
